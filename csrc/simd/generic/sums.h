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

#include "simd/generic/decoder.h"
#include "simd/kernels.h"

INLINE vf add_weighted(vf sum, vf x, const float *weights, size_t row) {
    return vf_add(sum, weights == NULL ? x : vf_mul(x, vf_set(weights[row])));
}

/* `parts` times 16 columns of all rows: sums stay in registers, and several of them hide each other's latency. */
INLINE void add_columns(float *to, const pye_addends *from, size_t at, size_t parts, size_t item_bytes,
                        vf (*load)(const void *), bool is_weighted) {
    vf lanes[VF_SUMS];
    UNROLL
    for (size_t part = 0; part < parts; part++)
        lanes[part] = vf_load(to + 16 * part);
    for (size_t row = 0; row < from->n; row++) {
        const uint8_t *columns = from->rows[row] + from->at + at * item_bytes;
        UNROLL
        for (size_t part = 0; part < parts; part++)
            lanes[part] = add_weighted(lanes[part], load(columns + 16 * part * item_bytes),
                                       is_weighted ? from->weights : NULL, row);
    }
    UNROLL
    for (size_t part = 0; part < parts; part++)
        vf_store(to + 16 * part, lanes[part]);
}

/* The last columns, fewer than 16: no load leaves a row, they go through padded copies. */
INLINE void add_last_columns(float *to, const pye_addends *from, size_t at, size_t n, size_t item_bytes,
                             vf (*load)(const void *), bool is_weighted) {
    float tail[16] = {0};
    memcpy(tail, to, n * sizeof *to);
    for (size_t row = 0; row < from->n; row++) {
        uint8_t padded[16 * sizeof(float)] = {0};
        memcpy(padded, from->rows[row] + from->at + at * item_bytes, n * item_bytes);
        vf_store(tail, add_weighted(vf_load(tail), load(padded), is_weighted ? from->weights : NULL, row));
    }
    memcpy(to, tail, n * sizeof *to);
}

/* Adds n columns of rows of floats to `to`. */
INLINE void add_floats(float *to, const pye_addends *from, size_t n, size_t item_bytes, vf (*load)(const void *),
                       bool is_weighted) {
    size_t i = 0;
#define ADD_COLUMNS(parts)                                                                                        \
    for (; n - i >= 16 * (parts); i += 16 * (parts))                                                              \
    add_columns(to + i, from, i, parts, item_bytes, load, is_weighted)
    ADD_COLUMNS(VF_SUMS);
    ADD_COLUMNS(4);
    ADD_COLUMNS(1);
#undef ADD_COLUMNS
    if (i < n)
        add_last_columns(to + i, from, i, n - i, item_bytes, load, is_weighted);
}

/* How a decoder adds 16 floats to those that are there. */
INLINE void vf_put_sum(void *to, vf v) { vf_store(to, vf_add(vf_load(to), v)); }

/* Adds a row that was decoded, n columns, a multiple of 16. */
INLINE void add_scaled(float *to, const float *row, float weight, size_t n) {
    for (size_t i = 0; i < n; i += 16)
        vf_put_sum(to + i, vf_mul(vf_load(row + i), vf_set(weight)));
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
