/* The work of pooling, once everything about it has been checked. */
#pragma once

#include "base/ids.h"
#include "table/table.h"

typedef struct pye_bag_job {
    const pye_table *table;
    const void *ids;
    size_t n_ids;
    pye_id_type id_type;
    const int64_t *offsets;
    const float *weights; /* may be NULL */
    pye_pool_mode mode;
    bool normalize;
    bool prefetch;   /* fetch rows ahead: the table is larger than the caches */
    bool is_present; /* all rows are in memory, as far as is known */
    float *out;
} pye_bag_job;

/* Pools bags first .. first + n - 1. False if ids or offsets turn out not to be what they were when they were checked. */
bool pye_bags_pool(const pye_bag_job *job, size_t first, size_t n);

/* One bag in parts, in their order: the ids from `first`, counted from the bag's first, to first + n - 1. */
bool pye_bag_part(const pye_bag_job *job, size_t bag, size_t first, size_t n);
