/* The work of a gather, once everything about it has been checked. */
#pragma once

#include "base/ids.h"
#include "table/table.h"

typedef struct pye_row_job {
    const pye_table *table;
    const pye_interrupt *interrupt; /* may end the work */
    const void *ids;
    pye_id_type id_type;
    pye_dtype dtype;
    uint8_t *out;
    uint64_t out_bytes;    /* of an output row */
    uint64_t out_stride;   /* from one output row to the next */
    uint8_t *scales;       /* of PYE_DTYPE_RAW: where everything but the codes goes; NULL: behind them */
    uint64_t scales_bytes; /* of a row of it */
    uint64_t scales_stride;
    uint64_t first, n_rows; /* the rows that may be asked for: first .. first + n_rows - 1 */
    bool has_window;        /* other ids stand for rows of zeros; without one they are errors */
    bool stream;            /* write past the caches */
    bool prefetch;          /* fetch rows ahead: the table is larger than the caches */
} pye_row_job;

/* Whether an id names none of the job's rows. */
static inline bool pye_is_outside(const pye_row_job *job, uint64_t id) { return id - job->first >= job->n_rows; }

/* Output rows first .. first + n - 1, n at least 1. False if an id turns out not to be a row after all. */
bool pye_rows_gather(const pye_row_job *job, size_t first, size_t n);

/* Of a number; raw rows have none. */
static inline size_t pye_dtype_bytes(pye_dtype dtype) { return dtype == PYE_DTYPE_F32 ? 4 : 2; }
