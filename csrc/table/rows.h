/* The work of a gather, once everything about it has been checked. */
#pragma once

#include "table/table.h"

typedef struct pye_row_job {
    const pye_table *table;
    const void *ids;
    pye_id_type id_type;
    pye_dtype dtype;
    uint8_t *out;
    uint64_t out_stride; /* bytes from one output row to the next */
    bool stream;         /* write past the caches */
    bool prefetch;       /* fetch rows ahead: the table is larger than the caches */
} pye_row_job;

/* ids[i], widened. Negative ids become the largest numbers there are: no table has 2^63 rows. */
uint64_t pye_id_at(const void *ids, pye_id_type type, size_t i);

/* Output rows first .. first + n - 1, n at least 1. False if an id turns out not to be a row after all. */
bool pye_rows_gather(const pye_row_job *job, size_t first, size_t n);

static inline size_t pye_dtype_bytes(pye_dtype dtype) { return dtype == PYE_DTYPE_F32 ? 4 : 2; }
