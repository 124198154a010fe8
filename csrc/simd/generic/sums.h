/* Sums and maxima of rows, column by column, and what is divided by. What they are, to the bit, for rows r = 0, 1, ... in their order:
 *
 *     sum[c] = round(sum[c] + x[r][c])                     beginning with +0
 *     sum[c] = round(sum[c] + round(w[r] x[r][c]))         with weights: two roundings, none fused
 *     max[c] = x[r][c] if x[r][c] > max[c] or x[r][c] is NaN, else max[c]        beginning with x[0][c]
 *
 * all in float32, to nearest even. So a NaN stays, and of zeros that differ in their sign the first is the maximum. Compilers
 * make vectors of the loops over n: a primitive would be no faster. */
#pragma once

#include <stddef.h>
#include <string.h>

#include "simd/inline.h"

INLINE vf add_weighted(vf sum, vf x, const float *weights, size_t row) {
    return vf_add(sum, weights == NULL ? x : vf_mul(x, vf_set(weights[row])));
}

/* `parts` times 16 columns of all rows: sums stay in registers, and several of them hide each other's latency. */
INLINE void add_columns(float *to, const uint8_t *const *rows, size_t offset, const float *weights, size_t n_rows,
                        size_t parts, size_t item_bytes, vf (*load)(const void *)) {
    vf lanes[4];
    UNROLL
    for (size_t part = 0; part < parts; part++)
        lanes[part] = vf_load(to + 16 * part);
    for (size_t row = 0; row < n_rows; row++) {
        UNROLL
        for (size_t part = 0; part < parts; part++)
            lanes[part] =
                add_weighted(lanes[part], load(rows[row] + offset + 16 * part * item_bytes), weights, row);
    }
    UNROLL
    for (size_t part = 0; part < parts; part++)
        vf_store(to + 16 * part, lanes[part]);
}

/* Adds n columns of rows to `to`. No load leaves a row: the last columns go through padded copies. */
INLINE void add_rows(float *to, const uint8_t *const *rows, const float *weights, size_t n_rows, size_t n,
                     size_t item_bytes, vf (*load)(const void *)) {
    size_t i = 0;
    for (; n - i >= 64; i += 64)
        add_columns(to + i, rows, i * item_bytes, weights, n_rows, 4, item_bytes, load);
    for (; n - i >= 16; i += 16)
        add_columns(to + i, rows, i * item_bytes, weights, n_rows, 1, item_bytes, load);
    if (i == n)
        return;
    float last[16] = {0};
    memcpy(last, to + i, (n - i) * sizeof *to);
    for (size_t row = 0; row < n_rows; row++) {
        uint8_t padded[16 * sizeof(float)] = {0};
        memcpy(padded, rows[row] + i * item_bytes, (n - i) * item_bytes);
        vf_store(last, add_weighted(vf_load(last), load(padded), weights, row));
    }
    memcpy(to + i, last, (n - i) * sizeof *to);
}

INLINE void max_row(float *restrict to, const float *restrict row, size_t n) {
    for (size_t i = 0; i < n; i++) {
        float x = row[i], y = to[i];
        to[i] = ((x > y) | (x != x)) ? x : y;
    }
}

INLINE void divide(float *to, size_t n, float by) {
    for (size_t i = 0; i < n; i++)
        to[i] /= by;
}

INLINE void divide_by_double(float *to, size_t n, double by) {
    for (size_t i = 0; i < n; i++)
        to[i] = (float)((double)to[i] / by);
}
