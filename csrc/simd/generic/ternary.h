/* Ternary types: -d, 0, d. */
#pragma once

#include "simd/generic/decoder.h"

/* Three times each byte of a word. */
INLINE uint32_t bytes_times_three(uint32_t word) {
    const uint32_t even = 0x00FF00FF, odd = 0xFF00FF00;
    return ((word & even) * 3 & even) | ((word & odd) * 3 & odd);
}

/* d (t - 1), t a base-3 digit */
INLINE void decode_tq1_0(const block_tq1_0 *block, float *to, vf_put put) {
    vf d = vf_set_half(block->d);
    /* Five digits of 32 bytes, and five of 16. */
    vd first = vd_from_bytes(vb_load(block->q)), second = vd_from_bytes(vb_load(block->q + 16));
    vd third = vd_from_bytes(vb_load(block->q + 32));
    UNROLL
    for (int i = 0; i < 5; i++) {
        put(to + 32 * i, vf_mul_digits(first, d));
        put(to + 32 * i + 16, vf_mul_digits(second, d));
        first = vd_next(first);
        second = vd_next(second);
    }
    UNROLL
    for (int i = 0; i < 5; i++, third = vd_next(third))
        put(to + 160 + 16 * i, vf_mul_digits(third, d));
    /* The last four bytes give four digits each: one vector. */
    uint32_t last[4] = {load_u32(block->r)};
    for (int i = 1; i < 4; i++)
        last[i] = bytes_times_three(last[i - 1]);
    put(to + 240, vf_mul_digits(vd_from_bytes(vb_load(last)), d));
}

/* d (c - 1); code 3, which no encoder writes, gives 2 d */
INLINE void decode_tq2_0(const block_tq2_0 *block, float *to, vf_put put) {
    vf d = vf_set_half(block->d);
    for (int half = 0; half < 2; half++) {
        vp first = vp_load(block->q + 32 * half), second = vp_load(block->q + 32 * half + 16);
        UNROLL
        for (int plane = 0; plane < 4; plane++) { /* twice 16 elements */
            put(to + 128 * half + 32 * plane, vf_mul_centred(first, d));
            put(to + 128 * half + 32 * plane + 16, vf_mul_centred(second, d));
            first = vp_next(first);
            second = vp_next(second);
        }
    }
}
