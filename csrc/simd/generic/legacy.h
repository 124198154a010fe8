/* Blocks of 32 with one scale (and one minimum), and the one- and two-bit blocks of their kind. */
#pragma once

#include "simd/generic/decoder.h"

/* d (n - 8) */
INLINE void decode_q4_0(const block_q4_0 *block, float *to, vf_put put) {
    vf d = vf_i8_scale(vf_set_half(block->d));
    vb q = vb_load(block->q);
    put(to, vf_mul_i8(vb_sub(low_nibbles(q), vb_set(8)), d));
    put(to + 16, vf_mul_i8(vb_sub(high_nibbles(q), vb_set(8)), d));
}

/* d n + m */
INLINE void decode_q4_1(const block_q4_1 *block, float *to, vf_put put) {
    vf d = vf_set_half(block->d);
    vf m = vf_set_half(block->m);
    vb q = vb_load(block->q);
    put(to, vf_mul_add(vf_from_u8(low_nibbles(q)), d, m));
    put(to + 16, vf_mul_add(vf_from_u8(high_nibbles(q)), d, m));
}

/* d (n + 16 bit - 16). In eight bits n - 16 is n | 0xF0, so that only clear bits change anything. */
INLINE void decode_q5_0(const block_q5_0 *block, float *to, vf_put put) {
    vf d = vf_i8_scale(vf_set_half(block->d));
    uint32_t high = load_u32(block->high);
    vb q = vb_load(block->q);
    vb minus_16 = vb_set(0xF0);
    vb low = vb_or(low_nibbles(q), vb_and_not(minus_16, vb_from_bits(high, 0)));
    vb top = vb_or(high_nibbles(q), vb_and_not(minus_16, vb_from_bits(high, 1)));
    put(to, vf_mul_i8(low, d));
    put(to + 16, vf_mul_i8(top, d));
}

/* d (n + 16 bit) + m */
INLINE void decode_q5_1(const block_q5_1 *block, float *to, vf_put put) {
    vf d = vf_set_half(block->d);
    vf m = vf_set_half(block->m);
    uint32_t high = load_u32(block->high);
    vb q = vb_load(block->q);
    vb plus_16 = vb_set(16);
    vb low = vb_or(low_nibbles(q), vb_and(vb_from_bits(high, 0), plus_16));
    vb top = vb_or(high_nibbles(q), vb_and(vb_from_bits(high, 1), plus_16));
    put(to, vf_mul_add(vf_from_u8(low), d, m));
    put(to + 16, vf_mul_add(vf_from_u8(top), d, m));
}

INLINE void decode_q8_0(const block_q8_0 *block, float *to, vf_put put) {
    decode_bytes(block->q, 32, vf_set_half(block->d), to, put);
}

INLINE void decode_q8_1(const block_q8_1 *block, float *to, vf_put put) {
    decode_bytes(block->q, 32, vf_set_half(block->d), to, put);
}

/* d for a 1, -d for a 0 */
INLINE void decode_q1_0(const block_q1_0 *block, float *to, vf_put put) {
    float d = load_half(block->d);
    for (int i = 0; i < 8; i++)
        put(to + 16 * i, vf_select(load_u16(block->q + 2 * i), vf_set(d), vf_set(-d)));
}

/* d (c - 1) */
INLINE void decode_q2_0(const block_q2_0 *block, float *to, vf_put put) {
    vf d = vf_set_half(block->d);
    for (int i = 0; i < 4; i++)
        put(to + 16 * i, vf_mul_centred(vp_spread(block->q + 4 * i), d));
}
