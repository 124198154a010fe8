/* Queries as the kernels take them. */
#pragma once

#include "simd/kernels.h"

/* Blocks of n_columns columns, the last one perhaps in part. */
static inline size_t pye_n_blocks(size_t n_columns, size_t block_columns) {
    return n_columns / block_columns + (n_columns % block_columns > 0);
}

/* queries[n_queries][n_columns] to [blocks][n_queries][PYE_DOT_COLUMNS], zeros behind the last column. */
void pye_pack_floats(const float *queries, size_t n_queries, size_t n_columns, float *to);

/* The same, finite, to [blocks][n_queries] in whole numbers. */
void pye_pack_codes(const float *queries, size_t n_queries, size_t n_columns, pye_coded_block *to);
