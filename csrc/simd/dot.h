/* Dot products, written once in the 16-lane vocabulary. What they are, to the bit:
 *
 * The columns are cut into blocks of 512; the last block is filled up with zeros to a multiple of 64. Within a block,
 * 64 lanes begin at zero, and column c goes to lane c mod 64: lane = round(x[c] y[c] + lane), one rounding, in order of
 * c. The lanes l, l + 16, l + 32, l + 48 are then added as (0 + 16) + (32 + 48), and the 16 sums in halves: l and l + 8,
 * l and l + 4, l and l + 2, l and l + 1. All that is float32. The sums of the blocks are added in float64, in order.
 *
 * So a term is rounded at most 8 + 2 + 4 times on its way into a block's sum. With u = 2^-24 the sum is off by less than
 * 14.1 u = 8.4e-7 of the sum of |x[c] y[c]|, for any width, as long as nothing over- or underflows; the usual case is ten
 * times better. */
#ifndef PYE_SIMD_DOT_H
#define PYE_SIMD_DOT_H

#include <stddef.h>

#include "decode/blocks.h"
#include "simd/kernels.h"

INLINE float sums_total(sums all) { return vf_sum(vf_add(vf_add(all.a, all.b), vf_add(all.c, all.d))); }

/* The sum of a block, n a multiple of 64. The four groups are independent, which hides the latency of the sums. */
INLINE float dot_block(const float *row, const float *query, size_t n) {
    sums all = {vf_set(0), vf_set(0), vf_set(0), vf_set(0)};
    for (size_t i = 0; i < n; i += 64) {
        UNROLL
        for (int part = 0; part < 64; part += 16)
            emit((sink){NULL, &all, query + i, part}, vf_load(row + i + part));
    }
    return sums_total(all);
}

/* One group of lanes for two rows and three queries at once: five loads for six products, and sums enough to hide
 * their latency. */
INLINE void dot_lanes_2x3(const float *row, const float *query, size_t n, vf parts[6]) {
    const float *row_1 = row + PYE_DOT_COLUMNS, *query_1 = query + PYE_DOT_COLUMNS;
    const float *query_2 = query_1 + PYE_DOT_COLUMNS;
    vf a0 = vf_set(0), a1 = a0, a2 = a0, b0 = a0, b1 = a0, b2 = a0;
    for (size_t i = 0; i < n; i += 64) {
        vf a = vf_load(row + i), b = vf_load(row_1 + i);
        vf q = vf_load(query + i);
        a0 = vf_fuse(a, q, a0);
        b0 = vf_fuse(b, q, b0);
        q = vf_load(query_1 + i);
        a1 = vf_fuse(a, q, a1);
        b1 = vf_fuse(b, q, b1);
        q = vf_load(query_2 + i);
        a2 = vf_fuse(a, q, a2);
        b2 = vf_fuse(b, q, b2);
    }
    parts[0] = a0;
    parts[1] = a1;
    parts[2] = a2;
    parts[3] = b0;
    parts[4] = b1;
    parts[5] = b2;
}

INLINE void dot_block_2x3(const float *row, const float *query, size_t n, double *totals, size_t stride) {
    vf lanes[4][6];
    for (size_t group = 0; group < 4; group++)
        dot_lanes_2x3(row + 16 * group, query + 16 * group, n, lanes[group]);
    for (size_t i = 0; i < 6; i++) {
        vf sum = vf_add(vf_add(lanes[0][i], lanes[1][i]), vf_add(lanes[2][i], lanes[3][i]));
        totals[i / 3 * stride + i % 3] += (double)vf_sum(sum);
    }
}

/* One query after the other, so that of each the rows find it in the first cache. */
INLINE void dot_query(const float *rows, size_t n_rows, const float *query, size_t n, double *totals,
                      size_t stride) {
    for (size_t row = 0; row < n_rows; row++)
        totals[row * stride] += (double)dot_block(rows + row * PYE_DOT_COLUMNS, query, n);
}

/* Three queries at a time stay in the first cache while all rows, which are there already, pass by. */
INLINE void dot_rows(const float *rows, size_t n_rows, const float *queries, size_t n_queries, size_t n,
                     double *totals) {
    size_t query = 0, even = n_rows / 2 * 2;
    for (; n_queries - query >= 3; query += 3) {
        const float *three = queries + query * PYE_DOT_COLUMNS;
        for (size_t row = 0; row < even; row += 2)
            dot_block_2x3(rows + row * PYE_DOT_COLUMNS, three, n, totals + row * n_queries + query, n_queries);
        for (size_t i = 0; i < 3; i++)
            dot_query(rows + even * PYE_DOT_COLUMNS, n_rows - even, three + i * PYE_DOT_COLUMNS, n,
                      totals + even * n_queries + query + i, n_queries);
    }
    for (; query < n_queries; query++)
        dot_query(rows, n_rows, queries + query * PYE_DOT_COLUMNS, n, totals + query, n_queries);
}

/* Squares of float32 are exact in float64, so that it makes no difference here whether a product and a sum are fused. */
INLINE void add_squares(const float *row, size_t n, double lanes[PYE_SQUARE_LANES]) {
    for (size_t i = 0; i < n; i += PYE_SQUARE_LANES)
        for (size_t lane = 0; lane < PYE_SQUARE_LANES; lane++)
            lanes[lane] += (double)row[i + lane] * (double)row[i + lane];
}

#endif
