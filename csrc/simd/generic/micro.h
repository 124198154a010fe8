/* Micro-scaling types: 4-bit floats (E2M1) under a shared exponent (MXFP4) or small float (NVFP4). */
#pragma once

#include "simd/generic/decoder.h"
#include "simd/grids.h"

/* Twice the E2M1 values, so that they are whole. Code 8, minus zero, decodes to plus zero. */
static const int8_t e2m1_doubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};

/* The scale may be too small for vf_mul_i8. */
INLINE void decode_mxfp4(const block_mxfp4 *block, float *to, vf_put put) {
    vf d = vf_set(pye_e8m0_halved[block->e]);
    vb table = vb_load(e2m1_doubled);
    vb q = vb_load(block->q);
    put(to, vf_mul(vf_from_i8(vb_lookup(table, low_nibbles(q))), d));
    put(to + 16, vf_mul(vf_from_i8(vb_lookup(table, high_nibbles(q))), d));
}

INLINE void decode_nvfp4(const block_nvfp4 *block, float *to, vf_put put) {
    vb table = vb_load(e2m1_doubled);
    for (int pair = 0; pair < 2; pair++) { /* two groups of 16 in 16 bytes */
        vb q = vb_load(block->q + 16 * pair);
        vb low = low_nibbles(q);
        vb high = high_nibbles(q);
        vf first = vf_i8_scale(vf_set(pye_e4m3_halved[block->s[2 * pair]]));
        vf second = vf_i8_scale(vf_set(pye_e4m3_halved[block->s[2 * pair + 1]]));
        put(to + 32 * pair, vf_mul_i8(vb_lookup(table, vb_join_low(low, high)), first));
        put(to + 32 * pair + 16, vf_mul_i8(vb_lookup(table, vb_join_high(low, high)), second));
    }
}
