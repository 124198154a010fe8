/* IQ types: codebook rows with signs, or a non-linear table of 16 values. */
#ifndef PYE_DECODE_IQUANT_H
#define PYE_DECODE_IQUANT_H

#include "decode/grids.h"
#include "decode/legacy.h"

/* Negates the lanes whose bit is set. */
INLINE vb negate_bits(vb v, uint32_t bits) {
    vb mask = vb_from_bits(bits);
    return vb_sub(vb_xor(v, mask), mask);
}

/* Two signs of 7 bits each; the eighth makes the number of set bits even. */
INLINE uint32_t even_signs(uint32_t a, uint32_t b) {
    return pye_sign_mask_even[a & 127] | (uint32_t)pye_sign_mask_even[b & 127] << 8;
}

/* 32 elements as two vectors of 16: scale times signed codebook values. */
INLINE void store_signed(float *to, float scale, vb grid, uint32_t signs) {
    vf_store(to, vf_mul(vf_from_i8(negate_bits(grid, signs)), vf_set(scale)));
}

INLINE vb grid_pair(const int8_t *grid, uint32_t a, uint32_t b) { return vb_load_8x2(grid + 8 * a, grid + 8 * b); }

/* ((d (0.5 + s)) 0.25) G, s by 32 elements */
INLINE void decode_iq2_xxs(const block_iq2_xxs *block, float *to) {
    float d = load_half(block->d);
    for (int b = 0; b < 8; b++) {
        uint32_t rows = load_u32(block->q + 8 * b);
        uint32_t a = load_u32(block->q + 8 * b + 4);
        float scale = d * (0.5f + (float)(a >> 28)) * 0.25f;
        store_signed(to + 32 * b, scale, grid_pair(pye_grid_iq2_xxs, rows & 255, rows >> 8 & 255),
                     even_signs(a, a >> 7));
        store_signed(to + 32 * b + 16, scale, grid_pair(pye_grid_iq2_xxs, rows >> 16 & 255, rows >> 24),
                     even_signs(a >> 14, a >> 21));
    }
}

/* The scale of 16 elements: nibble k & 1 of byte k >> 1. */
INLINE float iq2_scale(float d, const uint8_t *s, int k) {
    return d * (0.5f + (float)(s[k >> 1] >> (4 * (k & 1)) & 15)) * 0.25f;
}

INLINE void decode_iq2_xs(const block_iq2_xs *block, float *to) {
    float d = load_half(block->d);
    for (int k = 0; k < 16; k++) {
        uint32_t w0 = load_u16(block->q + 4 * k), w1 = load_u16(block->q + 4 * k + 2);
        store_signed(to + 16 * k, iq2_scale(d, block->s, k), grid_pair(pye_grid_iq2_xs, w0 & 511, w1 & 511),
                     even_signs(w0 >> 9, w1 >> 9));
    }
}

INLINE void decode_iq2_s(const block_iq2_s *block, float *to) {
    float d = load_half(block->d);
    for (int k = 0; k < 16; k++) {
        uint32_t high = (uint32_t)block->high[k >> 1] >> (4 * (k & 1));
        uint32_t a = block->q[2 * k] | (high & 3) << 8;
        uint32_t b = block->q[2 * k + 1] | (high >> 2 & 3) << 8;
        store_signed(to + 16 * k, iq2_scale(d, block->s, k), grid_pair(pye_grid_iq2_s, a, b),
                     load_u16(block->signs + 2 * k));
    }
}

/* Four rows of four; bit i of `high` is bit 8 of row i. */
INLINE vb grid_four(const int8_t *grid, const uint8_t *q, uint32_t high) {
    return vb_load_4x4(grid + 4 * (q[0] | (high << 8 & 256)), grid + 4 * (q[1] | (high << 7 & 256)),
                       grid + 4 * (q[2] | (high << 6 & 256)), grid + 4 * (q[3] | (high << 5 & 256)));
}

/* ((d (0.5 + s)) 0.5) G, s by 32 elements */
INLINE void decode_iq3_xxs(const block_iq3_xxs *block, float *to) {
    float d = load_half(block->d);
    for (int b = 0; b < 8; b++) {
        const uint8_t *q = block->q + 8 * b;
        uint32_t a = load_u32(block->a + 4 * b);
        float scale = d * (0.5f + (float)(a >> 28)) * 0.5f;
        store_signed(to + 32 * b, scale, grid_four(pye_grid_iq3_xxs, q, 0), even_signs(a, a >> 7));
        store_signed(to + 32 * b + 16, scale, grid_four(pye_grid_iq3_xxs, q + 4, 0), even_signs(a >> 14, a >> 21));
    }
}

/* (d (1 + 2 s)) G, s by 32 elements */
INLINE void decode_iq3_s(const block_iq3_s *block, float *to) {
    float d = load_half(block->d);
    for (int b = 0; b < 8; b++) {
        const uint8_t *q = block->q + 8 * b;
        uint32_t high = block->high[b];
        float scale = d * (float)(1 + 2 * (block->s[b >> 1] >> (4 * (b & 1)) & 15));
        store_signed(to + 32 * b, scale, grid_four(pye_grid_iq3_s, q, high), load_u16(block->signs + 4 * b));
        store_signed(to + 32 * b + 16, scale, grid_four(pye_grid_iq3_s, q + 4, high >> 4),
                     load_u16(block->signs + 4 * b + 2));
    }
}

/* 1/8, negative where the bit is set: taken from a table, as a branch on it would be guessed wrong every other time. */
INLINE float iq1_delta(uint32_t bit) {
    static const float deltas[2] = {0.125f, -0.125f};
    return deltas[bit & 1];
}

/* scale (G + delta), with a delta for each 8 elements */
INLINE void store_shifted(float *to, float scale, vb grid, float low, float high) {
    vf_store(to, vf_mul(vf_add(vf_from_i8(grid), vf_set_halves(low, high)), vf_set(scale)));
}

/* (d (2 s + 1)) (G + delta), s and delta by 32 elements */
INLINE void decode_iq1_s(const block_iq1_s *block, float *to) {
    float d = load_half(block->d);
    for (int b = 0; b < 8; b++) {
        const uint8_t *q = block->q + 4 * b;
        uint32_t w = load_u16(block->w + 2 * b);
        float scale = d * (float)(2 * (w >> 12 & 7) + 1);
        float delta = iq1_delta(w >> 15);
        store_shifted(to + 32 * b, scale, grid_pair(pye_grid_iq1_s, q[0] | (w & 7) << 8, q[1] | (w >> 3 & 7) << 8),
                      delta, delta);
        store_shifted(to + 32 * b + 16, scale,
                      grid_pair(pye_grid_iq1_s, q[2] | (w >> 6 & 7) << 8, q[3] | (w >> 9 & 7) << 8), delta, delta);
    }
}

/* As iq1_s, s by 16 elements and delta by 8; d is scattered over the top nibbles of the scale words. */
INLINE void decode_iq1_m(const block_iq1_m *block, float *to) {
    uint32_t s[4], bits = 0;
    for (int i = 0; i < 4; i++) {
        s[i] = load_u16(block->s + 2 * i);
        bits |= (s[i] >> 12) << (4 * i);
    }
    float d = half_to_float((uint16_t)bits);
    for (int k = 0; k < 16; k++) {
        uint32_t r = block->high[k];
        float scale = d * (float)(2 * (s[k >> 2] >> (3 * (k & 3)) & 7) + 1);
        vb grid =
            grid_pair(pye_grid_iq1_s, block->q[2 * k] | (r & 7) << 8, block->q[2 * k + 1] | (r >> 4 & 7) << 8);
        store_shifted(to + 16 * k, scale, grid, iq1_delta(r >> 3), iq1_delta(r >> 7));
    }
}

/* ------------------------------------------------------------------------- tables of 16 values */

static const int8_t iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

/* d times the table's value of each nibble: 32 elements of 16 bytes. `values` are signed. */
INLINE void decode_nibbles(const uint8_t *nibbles, const int8_t *values, float scale, float *to) {
    vf d = vf_set(scale);
    vb table = vb_load(values);
    vb q = vb_load(nibbles);
    vf_store(to, vf_mul(vf_lookup(table, low_nibbles(q)), d));
    vf_store(to + 16, vf_mul(vf_lookup(table, high_nibbles(q)), d));
}

INLINE void decode_iq4_nl(const block_iq4_nl *block, float *to) {
    decode_nibbles(block->q, iq4_values, load_half(block->d), to);
}

/* (d (s - 32)) K(n), s by 32 elements */
INLINE void decode_iq4_xs(const block_iq4_xs *block, float *to) {
    float d = load_half(block->d);
    uint32_t top = load_u16(block->t);
    for (int b = 0; b < 8; b++) {
        int s = (block->s[b >> 1] >> (4 * (b & 1)) & 15) | (int)(top >> (2 * b) & 3) << 4;
        decode_nibbles(block->q + 16 * b, iq4_values, d * (float)(s - 32), to + 32 * b);
    }
}

#endif
