/* The work of a scan, once everything about it has been checked. */
#pragma once

#include "table/table.h"
#include "table/top.h"

/* Rows that are decoded together for several queries: the more, the less often all queries are read. One block of them and
 * of the four queries of a dot product fill 32 KiB, the first cache. A multiple of three, the rows of a dot product. */
#define PYE_SCAN_ROWS 12

/* The NaN that is returned: processors differ in the bits of theirs. */
#define PYE_NAN_BITS 0x7FC00000u

typedef struct pye_scan_job {
    const pye_table *table;
    uint64_t n_rows;          /* to look at */
    const uint64_t *ids;      /* of these rows; NULL: rows 0 .. n_rows - 1 */
    const uint64_t *excluded; /* sorted */
    size_t n_excluded;
    const float
        *queries;  /* [blocks of PYE_DOT_COLUMNS][n_queries][PYE_DOT_COLUMNS], zeros behind the last column */
    bool is_coded; /* rows are multiplied as simd/generic/coded.h says */
    const pye_coded_block *coded; /* [blocks][n_queries], of such a job */
    const double *query_norms;
    size_t n_queries;
    const float *norms; /* of all rows of the table; NULL: scores are dot products */
    size_t k;           /* 0: all scores */
    float *scores;      /* [n_queries][n_rows], of a job with k 0 */
} pye_scan_job;

/* What one thread works with. */
typedef struct pye_scan_scratch {
    float *tile;                 /* [PYE_SCAN_ROWS][PYE_DOT_COLUMNS], on a multiple of 64 */
    pye_coded_tile *coded_tiles; /* [PYE_SCAN_ROWS], of a coded job */
    double *totals;              /* [PYE_SCAN_ROWS][n_queries], [PYE_CODED_LANES] of a coded job */
    uint64_t *n_nan;             /* [n_queries] */
    pye_top *tops;               /* [n_queries] */
} pye_scan_scratch;

/* Scans positions first .. first + n - 1 of the rows to look at. */
void pye_scan_rows(const pye_scan_job *job, const pye_scan_scratch *scratch, uint64_t first, uint64_t n);

/* Norms of rows first .. first + n - 1 of a table to norms[first] and on. */
void pye_scan_norms(const pye_table *table, uint64_t first, uint64_t n, float *norms);

/* The norm of a vector of n float32, as that of a row. */
double pye_vector_norm(const pye_kernels *kernels, const float *vector, uint64_t n);
