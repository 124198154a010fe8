/* IQ types: codebook rows with signs, or a non-linear table of 16 values. */
#ifndef PYE_DECODE_IQUANT_H
#define PYE_DECODE_IQUANT_H

#include "decode/grids.h"
#include "decode/legacy.h"

/* Which of 16 lanes to negate, from two rows of a table of masks: all 8 signs, or 7 that make an even number. */
INLINE vb signs_of(uint32_t a, uint32_t b) { return vb_load_8x2(pye_negate + 8 * a, pye_negate + 8 * b); }

INLINE vb even_signs_of(uint32_t a, uint32_t b) {
    return vb_load_8x2(pye_negate_even + 8 * (a & 127), pye_negate_even + 8 * (b & 127));
}

/* 16 elements: the scale times signed codebook values. */
INLINE void store_signed(sink to, float scale, vb grid, vb signs) {
    vb signed_grid = vb_sub(vb_xor(grid, signs), signs);
    emit(to, vf_mul_i8(signed_grid, vf_i8_scale(vf_set(scale))));
}

INLINE vb grid_pair(const int8_t *grid, uint32_t a, uint32_t b) { return vb_load_8x2(grid + 8 * a, grid + 8 * b); }

/* (0.5 + s) / 4 and 2 s + 1: taken from a table sooner than converted. */
static const float quarter_steps[16] = {0.125f, 0.375f, 0.625f, 0.875f, 1.125f, 1.375f, 1.625f, 1.875f,
                                        2.125f, 2.375f, 2.625f, 2.875f, 3.125f, 3.375f, 3.625f, 3.875f};
static const float odd_numbers[16] = {1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31};

/* ((d (0.5 + s)) 0.25) G, s by 32 elements */
INLINE void decode_iq2_xxs(const block_iq2_xxs *block, sink to) {
    float d = load_half(block->d);
    for (int b = 0; b < 8; b++) {
        uint32_t rows = load_u32(block->q + 8 * b);
        uint32_t a = load_u32(block->q + 8 * b + 4);
        float scale = d * quarter_steps[a >> 28];
        store_signed(skip(to, 32 * b), scale, grid_pair(pye_grid_iq2_xxs, rows & 255, rows >> 8 & 255),
                     even_signs_of(a, a >> 7));
        store_signed(skip(to, 32 * b + 16), scale, grid_pair(pye_grid_iq2_xxs, rows >> 16 & 255, rows >> 24),
                     even_signs_of(a >> 14, a >> 21));
    }
}

/* The scale of 16 elements: nibble k & 1 of byte k >> 1. */
INLINE float iq2_scale(float d, const uint8_t *s, int k) {
    return d * quarter_steps[s[k >> 1] >> (4 * (k & 1)) & 15];
}

INLINE void decode_iq2_xs(const block_iq2_xs *block, sink to) {
    float d = load_half(block->d);
    for (int k = 0; k < 16; k++) {
        uint32_t w0 = load_u16(block->q + 4 * k), w1 = load_u16(block->q + 4 * k + 2);
        store_signed(skip(to, 16 * k), iq2_scale(d, block->s, k), grid_pair(pye_grid_iq2_xs, w0 & 511, w1 & 511),
                     even_signs_of(w0 >> 9, w1 >> 9));
    }
}

INLINE void decode_iq2_s(const block_iq2_s *block, sink to) {
    float d = load_half(block->d);
    for (int k = 0; k < 16; k++) {
        uint32_t high = (uint32_t)block->high[k >> 1] >> (4 * (k & 1));
        uint32_t a = block->q[2 * k] | (high & 3) << 8;
        uint32_t b = block->q[2 * k + 1] | (high >> 2 & 3) << 8;
        store_signed(skip(to, 16 * k), iq2_scale(d, block->s, k), grid_pair(pye_grid_iq2_s, a, b),
                     signs_of(block->signs[2 * k], block->signs[2 * k + 1]));
    }
}

/* Four rows of four; bit i of `high` is bit 8 of row i. */
INLINE vb grid_four(const int8_t *grid, const uint8_t *q, uint32_t high) {
    return vb_load_4x4(grid + 4 * (q[0] | (high << 8 & 256)), grid + 4 * (q[1] | (high << 7 & 256)),
                       grid + 4 * (q[2] | (high << 6 & 256)), grid + 4 * (q[3] | (high << 5 & 256)));
}

/* ((d (0.5 + s)) 0.5) G, s by 32 elements */
INLINE void decode_iq3_xxs(const block_iq3_xxs *block, sink to) {
    float d = load_half(block->d);
    for (int b = 0; b < 8; b++) {
        const uint8_t *q = block->q + 8 * b;
        uint32_t a = load_u32(block->a + 4 * b);
        float scale = d * quarter_steps[a >> 28] * 2.0f;
        store_signed(skip(to, 32 * b), scale, grid_four(pye_grid_iq3_xxs, q, 0), even_signs_of(a, a >> 7));
        store_signed(skip(to, 32 * b + 16), scale, grid_four(pye_grid_iq3_xxs, q + 4, 0),
                     even_signs_of(a >> 14, a >> 21));
    }
}

/* (d (1 + 2 s)) G, s by 32 elements */
INLINE void decode_iq3_s(const block_iq3_s *block, sink to) {
    float d = load_half(block->d);
    for (int b = 0; b < 8; b++) {
        const uint8_t *q = block->q + 8 * b;
        uint32_t high = block->high[b];
        float scale = d * odd_numbers[block->s[b >> 1] >> (4 * (b & 1)) & 15];
        store_signed(skip(to, 32 * b), scale, grid_four(pye_grid_iq3_s, q, high),
                     signs_of(block->signs[4 * b], block->signs[4 * b + 1]));
        store_signed(skip(to, 32 * b + 16), scale, grid_four(pye_grid_iq3_s, q + 4, high >> 4),
                     signs_of(block->signs[4 * b + 2], block->signs[4 * b + 3]));
    }
}

/* 1/8, negative where the bit is set: taken from a table, as a branch on it would be guessed wrong every other time. */
INLINE float iq1_delta(uint32_t bit) {
    static const float deltas[2] = {0.125f, -0.125f};
    return deltas[bit & 1];
}

/* scale (G + delta), with a delta for each 8 elements */
INLINE void store_shifted(sink to, float scale, vb grid, float low, float high) {
    emit(to, vf_mul(vf_add(vf_from_i8(grid), vf_set_halves(low, high)), vf_set(scale)));
}

/* (d (2 s + 1)) (G + delta), s and delta by 32 elements */
INLINE void decode_iq1_s(const block_iq1_s *block, sink to) {
    float d = load_half(block->d);
    for (int b = 0; b < 8; b++) {
        const uint8_t *q = block->q + 4 * b;
        uint32_t w = load_u16(block->w + 2 * b);
        float scale = d * odd_numbers[w >> 12 & 7];
        float delta = iq1_delta(w >> 15);
        store_shifted(skip(to, 32 * b), scale,
                      grid_pair(pye_grid_iq1_s, q[0] | (w & 7) << 8, q[1] | (w >> 3 & 7) << 8), delta, delta);
        store_shifted(skip(to, 32 * b + 16), scale,
                      grid_pair(pye_grid_iq1_s, q[2] | (w >> 6 & 7) << 8, q[3] | (w >> 9 & 7) << 8), delta, delta);
    }
}

/* As iq1_s, s by 16 elements and delta by 8; d is scattered over the top nibbles of the scale words. */
INLINE void decode_iq1_m(const block_iq1_m *block, sink to) {
    uint32_t s[4], bits = 0;
    for (int i = 0; i < 4; i++) {
        s[i] = load_u16(block->s + 2 * i);
        bits |= (s[i] >> 12) << (4 * i);
    }
    float d = half_to_float((uint16_t)bits);
    for (int k = 0; k < 16; k++) {
        uint32_t r = block->high[k];
        float scale = d * odd_numbers[s[k >> 2] >> (3 * (k & 3)) & 7];
        vb grid =
            grid_pair(pye_grid_iq1_s, block->q[2 * k] | (r & 7) << 8, block->q[2 * k + 1] | (r >> 4 & 7) << 8);
        store_shifted(skip(to, 16 * k), scale, grid, iq1_delta(r >> 3), iq1_delta(r >> 7));
    }
}

/* ------------------------------------------------------------------------- tables of 16 values */

static const int8_t iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

/* d times the table's value of each nibble: 32 elements of 16 bytes. `values` are signed. */
INLINE void decode_nibbles(const uint8_t *nibbles, const int8_t *values, float scale, sink to) {
    vf d = vf_i8_scale(vf_set(scale));
    vb table = vb_load(values);
    vb q = vb_load(nibbles);
    emit(to, vf_mul_i8(vb_lookup(table, low_nibbles(q)), d));
    emit(skip(to, 16), vf_mul_i8(vb_lookup(table, high_nibbles(q)), d));
}

INLINE void decode_iq4_nl(const block_iq4_nl *block, sink to) {
    decode_nibbles(block->q, iq4_values, load_half(block->d), to);
}

/* (d (s - 32)) K(n), s by 32 elements */
INLINE void decode_iq4_xs(const block_iq4_xs *block, sink to) {
    float d = load_half(block->d);
    uint32_t top = load_u16(block->t);
    for (int b = 0; b < 8; b++) {
        int s = (block->s[b >> 1] >> (4 * (b & 1)) & 15) | (int)(top >> (2 * b) & 3) << 4;
        decode_nibbles(block->q + 16 * b, iq4_values, d * (float)(s - 32), skip(to, 32 * b));
    }
}

#endif
