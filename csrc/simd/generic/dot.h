/* Dot products, written once in the 16-lane primitives. What they are, to the bit:
 *
 * The columns are cut into blocks of 512; the last block is filled up with zeros to a multiple of 64. Within a block,
 * 64 lanes begin at zero, and column c goes to lane c mod 64: lane = round(x[c] y[c] + lane), one rounding, in order of
 * c. The lanes l, l + 16, l + 32, l + 48 are then added as (0 + 16) + (32 + 48), and the 16 sums in halves: l and l + 8,
 * l and l + 4, l and l + 2, l and l + 1. All that is float32. The sums of the blocks are added in float64, in order.
 *
 * So a term is rounded at most 8 + 2 + 4 times on its way into a block's sum. With u = 2^-24 the sum is off by less than
 * 14.1 u = 8.4e-7 of the sum of |x[c] y[c]|, for any width, as long as nothing over- or underflows; the usual case is ten
 * times better. */
#pragma once

#include <stddef.h>

#include "simd/inline.h"
#include "simd/kernels.h"

typedef struct sums {
    vf a, b, c, d;
} sums;

/* The products of 16 columns, from column `part` of 64 on, into their lanes. */
INLINE void add_product(sums *all, int part, vf weights, vf query) {
    vf *lanes = part == 0 ? &all->a : part == 16 ? &all->b : part == 32 ? &all->c : &all->d;
    *lanes = vf_fuse(weights, query, *lanes);
}

INLINE float sums_total(sums all) { return vf_sum(vf_add(vf_add(all.a, all.b), vf_add(all.c, all.d))); }

/* The sum of a block, n a multiple of 64. The four groups are independent, which hides the latency of the sums. */
INLINE float dot_block(const float *row, const float *query, size_t n) {
    sums all = {vf_set(0), vf_set(0), vf_set(0), vf_set(0)};
    for (size_t i = 0; i < n; i += 64) {
        UNROLL
        for (int part = 0; part < 64; part += 16)
            add_product(&all, part, vf_load(row + i + part), vf_load(query + i + part));
    }
    return sums_total(all);
}

/* As many of the 64 lanes as a register holds, for three rows and four queries at once: seven loads for twelve products,
 * and sums enough to hide their latency; with the operands they fill 16 registers. */
INLINE void dot_lanes_3x4(const float *row, const float *query, size_t n, float (*lanes)[64]) {
    enum { NEXT = PYE_DOT_COLUMNS };
    vr a0 = vr_zero(), a1 = vr_zero(), a2 = vr_zero(), a3 = vr_zero();
    vr b0 = vr_zero(), b1 = vr_zero(), b2 = vr_zero(), b3 = vr_zero();
    vr c0 = vr_zero(), c1 = vr_zero(), c2 = vr_zero(), c3 = vr_zero();
    for (size_t i = 0; i < n; i += 64) {
        vr a = vr_load(row + i), b = vr_load(row + NEXT + i), c = vr_load(row + 2 * NEXT + i);
        vr q = vr_load(query + i);
        a0 = vr_fuse(a, q, a0);
        b0 = vr_fuse(b, q, b0);
        c0 = vr_fuse(c, q, c0);
        q = vr_load(query + NEXT + i);
        a1 = vr_fuse(a, q, a1);
        b1 = vr_fuse(b, q, b1);
        c1 = vr_fuse(c, q, c1);
        q = vr_load(query + 2 * NEXT + i);
        a2 = vr_fuse(a, q, a2);
        b2 = vr_fuse(b, q, b2);
        c2 = vr_fuse(c, q, c2);
        q = vr_load(query + 3 * NEXT + i);
        a3 = vr_fuse(a, q, a3);
        b3 = vr_fuse(b, q, b3);
        c3 = vr_fuse(c, q, c3);
    }
    vr_store(lanes[0], a0);
    vr_store(lanes[1], a1);
    vr_store(lanes[2], a2);
    vr_store(lanes[3], a3);
    vr_store(lanes[4], b0);
    vr_store(lanes[5], b1);
    vr_store(lanes[6], b2);
    vr_store(lanes[7], b3);
    vr_store(lanes[8], c0);
    vr_store(lanes[9], c1);
    vr_store(lanes[10], c2);
    vr_store(lanes[11], c3);
}

INLINE void dot_block_3x4(const float *row, const float *query, size_t n, double *totals, size_t stride) {
    _Alignas(64) float lanes[12][64];
    for (size_t lane = 0; lane < 64; lane += VR_LANES)
        dot_lanes_3x4(row + lane, query + lane, n, (float (*)[64])(void *)(lanes[0] + lane));
    for (size_t i = 0; i < 12; i++) {
        const float *of = lanes[i];
        sums all = {vf_load(of), vf_load(of + 16), vf_load(of + 32), vf_load(of + 48)};
        totals[i / 4 * stride + i % 4] += (double)sums_total(all);
    }
}

/* One query after the other, so that of each the rows find it in the first cache. */
INLINE void dot_query(const float *rows, size_t n_rows, const float *query, size_t n, double *totals,
                      size_t stride) {
    for (size_t row = 0; row < n_rows; row++)
        totals[row * stride] += (double)dot_block(rows + row * PYE_DOT_COLUMNS, query, n);
}

/* Four queries at a time stay in the first cache while all rows, which are there already, pass by. */
INLINE void dot_rows(const float *rows, size_t n_rows, const float *queries, size_t n_queries, size_t n,
                     double *totals) {
    size_t query = 0, whole = n_rows / 3 * 3;
    for (; n_queries - query >= 4; query += 4) {
        const float *four = queries + query * PYE_DOT_COLUMNS;
        for (size_t row = 0; row < whole; row += 3)
            dot_block_3x4(rows + row * PYE_DOT_COLUMNS, four, n, totals + row * n_queries + query, n_queries);
        for (size_t i = 0; i < 4; i++)
            dot_query(rows + whole * PYE_DOT_COLUMNS, n_rows - whole, four + i * PYE_DOT_COLUMNS, n,
                      totals + whole * n_queries + query + i, n_queries);
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
