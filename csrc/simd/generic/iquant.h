/* IQ types: codebook rows with signs, or a non-linear table of 16 values. */
#pragma once

#include "simd/generic/decoder.h"
#include "simd/grids.h"

/* Signs of 16 elements, from two rows of a table: all 8 of each, or 7 and the one that makes an even number of them. */
INLINE vf signs_of(uint32_t a, uint32_t b) { return vf_load_8x2(pye_signs + 8 * a, pye_signs + 8 * b); }

INLINE vf even_signs_of(uint32_t a, uint32_t b) {
    return vf_load_8x2(pye_even_signs + 8 * (a & 127), pye_even_signs + 8 * (b & 127));
}

/* 16 elements: a scale times signed codebook values. */
INLINE void store_signed(float *to, float scale, vf grid, vf signs, vf_put put) {
    put(to, vf_mul(vf_xor(grid, signs), vf_set(scale)));
}

INLINE vf grid_pair(const float *grid, uint32_t a, uint32_t b) { return vf_load_8x2(grid + 8 * a, grid + 8 * b); }

/* (0.5 + s) / 4 and 2 s + 1: taken from a table sooner than converted. */
static const float quarter_steps[16] = {0.125f, 0.375f, 0.625f, 0.875f, 1.125f, 1.375f, 1.625f, 1.875f,
                                        2.125f, 2.375f, 2.625f, 2.875f, 3.125f, 3.375f, 3.625f, 3.875f};
static const float odd_numbers[16] = {1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31};

/* ((d (0.5 + s)) 0.25) G, s by 32 elements */
INLINE void decode_iq2_xxs(const block_iq2_xxs *block, float *to, vf_put put) {
    float d = load_half(block->d);
    for (int b = 0; b < 8; b++) {
        uint32_t rows = load_u32(block->q + 8 * b);
        uint32_t a = load_u32(block->q + 8 * b + 4);
        float scale = d * quarter_steps[a >> 28];
        store_signed(to + 32 * b, scale, grid_pair(pye_grid_iq2_xxs, rows & 255, rows >> 8 & 255),
                     even_signs_of(a, a >> 7), put);
        store_signed(to + 32 * b + 16, scale, grid_pair(pye_grid_iq2_xxs, rows >> 16 & 255, rows >> 24),
                     even_signs_of(a >> 14, a >> 21), put);
    }
}

/* ((d (0.5 + s)) 0.25) of the low nibbles in scale[0..7] and of the high ones in scale[8..15]. */
INLINE void iq2_scales(float scale[16], const uint8_t *s, const uint8_t *d) {
    vb q = vb_load_8x2(s, s);
    vb n = vb_join_low(low_nibbles(q), high_nibbles(q));
    vf steps = vf_mul(vf_add(vf_from_u8(n), vf_set(0.5f)), vf_set(0.25f));
    store_scales(scale, vf_mul(steps, vf_set_half(d)));
}

/* 16 elements of iq2_xs: two rows of eight. */
INLINE void store_iq2_xs(float *to, float scale, const uint8_t *q, vf_put put) {
    uint32_t a = load_u16(q), b = load_u16(q + 2);
    store_signed(to, scale, grid_pair(pye_grid_iq2_xs, a & 511, b & 511), even_signs_of(a >> 9, b >> 9), put);
}

INLINE void decode_iq2_xs(const block_iq2_xs *block, float *to, vf_put put) {
    float scale[16];
    iq2_scales(scale, block->s, block->d);
    for (int b = 0; b < 8; b++) { /* two of 16 elements */
        store_iq2_xs(to + 32 * b, scale[b], block->q + 8 * b, put);
        store_iq2_xs(to + 32 * b + 16, scale[8 + b], block->q + 8 * b + 4, put);
    }
}

/* The indices of 32 codebook rows: bytes of q, with two bits each above them. All of a block are put together at once and
 * taken from memory one by one, which is less work than shifting and masking for each. */
INLINE void iq2_s_rows(uint16_t rows[32], const uint8_t *q, const uint8_t *high) {
    vb bits = vb_load_8x2(high, high), three = vb_set(3);
    vb even = vb_zip_low(vb_and(bits, three), vb_and(vb_shift_right(bits, 4), three));
    vb odd = vb_zip_low(vb_and(vb_shift_right(bits, 2), three), vb_shift_right(bits, 6));
    vb_store_words(rows, vb_load(q), vb_zip_low(even, odd));
    vb_store_words(rows + 16, vb_load(q + 16), vb_zip_high(even, odd));
}

INLINE void decode_iq2_s(const block_iq2_s *block, float *to, vf_put put) {
    float scale[16];
    uint16_t rows[32];
    iq2_scales(scale, block->s, block->d);
    iq2_s_rows(rows, block->q, block->high);
    for (int b = 0; b < 8; b++) {
        const uint8_t *signs = block->signs + 4 * b;
        const uint16_t *row = rows + 4 * b;
        store_signed(to + 32 * b, scale[b], grid_pair(pye_grid_iq2_s, row[0], row[1]),
                     signs_of(signs[0], signs[1]), put);
        store_signed(to + 32 * b + 16, scale[8 + b], grid_pair(pye_grid_iq2_s, row[2], row[3]),
                     signs_of(signs[2], signs[3]), put);
    }
}

/* d (2 s + 1) */
INLINE void store_odd_scales(float scale[16], vb s, float d) {
    vb odd = vb_add(vb_add(s, s), vb_set(1));
    store_scales(scale, vf_mul(vf_from_u8(odd), vf_set(d)));
}

INLINE vf grid_four(const float *grid, uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
    return vf_load_4x4(grid + 4 * a, grid + 4 * b, grid + 4 * c, grid + 4 * d);
}

/* ((d (0.5 + s)) 0.5) G, s by 32 elements */
INLINE void decode_iq3_xxs(const block_iq3_xxs *block, float *to, vf_put put) {
    float d = load_half(block->d);
    for (int b = 0; b < 8; b++) {
        const uint8_t *q = block->q + 8 * b;
        uint32_t a = load_u32(block->a + 4 * b);
        float scale = d * quarter_steps[a >> 28] * 2.0f;
        store_signed(to + 32 * b, scale, grid_four(pye_grid_iq3_xxs, q[0], q[1], q[2], q[3]),
                     even_signs_of(a, a >> 7), put);
        store_signed(to + 32 * b + 16, scale, grid_four(pye_grid_iq3_xxs, q[4], q[5], q[6], q[7]),
                     even_signs_of(a >> 14, a >> 21), put);
    }
}

/* 32 elements of iq3_s: eight rows of four. */
INLINE void store_iq3_s(float *to, float scale, const uint16_t *row, const uint8_t *signs, vf_put put) {
    store_signed(to, scale, grid_four(pye_grid_iq3_s, row[0], row[1], row[2], row[3]),
                 signs_of(signs[0], signs[1]), put);
    store_signed(to + 16, scale, grid_four(pye_grid_iq3_s, row[4], row[5], row[6], row[7]),
                 signs_of(signs[2], signs[3]), put);
}

/* (d (1 + 2 s)) G, s by 32 elements */
INLINE void decode_iq3_s(const block_iq3_s *block, float *to, vf_put put) {
    float scale[16];   /* of low nibbles, and from 8 on of high ones */
    uint16_t rows[64]; /* bytes of q, with a bit each above them */
    vb s = vb_load_4x4(block->s, block->s, block->s, block->s);
    store_odd_scales(scale, vb_join_low(low_nibbles(s), high_nibbles(s)), load_half(block->d));
    for (int i = 0; i < 4; i++) {
        vb ninth = vb_and(vb_from_bits(load_u32(block->high + 4 * (i >> 1)), i & 1), vb_set(1));
        vb_store_words(rows + 16 * i, vb_load(block->q + 16 * i), ninth);
    }
    for (int b = 0; b < 4; b++) { /* two of 32 elements */
        store_iq3_s(to + 64 * b, scale[b], rows + 16 * b, block->signs + 8 * b, put);
        store_iq3_s(to + 64 * b + 32, scale[8 + b], rows + 16 * b + 8, block->signs + 8 * b + 4, put);
    }
}

/* 16 elements, two rows of the codebook: a scale times G + delta. */
INLINE void store_iq1(float *to, float scale, const uint16_t rows[2], vf delta, vf_put put) {
    vp grid = vp_load_8x2(&pye_grid_iq1_s[rows[0]], &pye_grid_iq1_s[rows[1]]);
    put(to, vf_mul_shifted(grid, delta, vf_set(scale)));
}

/* Twice four times three bits, a byte each: the low twelve bits of two words. */
INLINE uint64_t spread_triples(uint32_t first, uint32_t second) {
    uint64_t bits = first | (uint64_t)second << 32;
    bits = (bits & 0x0000003F0000003F) | (bits & 0x00000FC000000FC0) << 10;
    return lowest_first((bits & 0x0007000700070007) | (bits & 0x0038003800380038) << 5);
}

/* (d (2 s + 1)) (G + delta), s and delta, an eighth with a sign, by 32 elements */
INLINE void decode_iq1_s(const block_iq1_s *block, float *to, vf_put put) {
    static const float eighths[2] = {0.125f, -0.125f};
    float d = load_half(block->d);
    uint16_t rows[32]; /* bytes of q, with three bits each above them */
    uint32_t w[8];
    for (int b = 0; b < 8; b++)
        w[b] = load_u16(block->w + 2 * b);
    for (int i = 0; i < 2; i++) {
        const uint32_t *four = w + 4 * i;
        uint64_t high[2] = {spread_triples(four[0], four[1]), spread_triples(four[2], four[3])};
        vb_store_words(rows + 16 * i, vb_load(block->q + 16 * i), vb_load_8x2(&high[0], &high[1]));
    }
    for (int b = 0; b < 8; b++) {
        const uint16_t *row = rows + 4 * b;
        float scale = d * odd_numbers[w[b] >> 12 & 7];
        vf delta = vf_set(eighths[w[b] >> 15]);
        store_iq1(to + 32 * b, scale, row, delta, put);
        store_iq1(to + 32 * b + 16, scale, row + 2, delta, put);
    }
}

/* An eighth, negative in lanes 0-7 where bit 3 is set, in lanes 8-15 where bit 7 is: from a table, as a branch on it would
 * be guessed wrong every other time, and one with gaps, which needs no shifts. */
INLINE vf iq1_m_deltas(uint32_t bits) {
#define EIGHT(x) x, x, x, x, x, x, x, x
    static _Alignas(64) const float deltas[18][16] = {
        [0] = {EIGHT(0.125f), EIGHT(0.125f)},
        [1] = {EIGHT(-0.125f), EIGHT(0.125f)},
        [16] = {EIGHT(0.125f), EIGHT(-0.125f)},
        [17] = {EIGHT(-0.125f), EIGHT(-0.125f)},
    };
#undef EIGHT
    return vf_load(deltas[(bits & 0x88) >> 3]);
}

/* As iq1_s, s by 16 elements and delta by 8; d is scattered over the top nibbles of the scale words. */
INLINE void decode_iq1_m(const block_iq1_m *block, float *to, vf_put put) {
    uint32_t w[4], d = 0;
    for (int i = 0; i < 4; i++) {
        w[i] = load_u16(block->s + 2 * i);
        d |= (w[i] >> 12) << (4 * i);
    }
    uint64_t s[2] = {spread_triples(w[0], w[1]), spread_triples(w[2], w[3])};
    float scale[16];
    store_odd_scales(scale, vb_load_8x2(&s[0], &s[1]), half_to_float((uint16_t)d));
    uint16_t rows[32]; /* bytes of q, with three bits each above them */
    for (int i = 0; i < 2; i++) {
        vb r = vb_load_8x2(block->high + 8 * i, block->high + 8 * i), seven = vb_set(7);
        vb_store_words(rows + 16 * i, vb_load(block->q + 16 * i),
                       vb_zip_low(vb_and(r, seven), vb_and(vb_shift_right(r, 4), seven)));
    }
    for (int k = 0; k < 16; k++)
        store_iq1(to + 16 * k, scale[k], rows + 2 * k, iq1_m_deltas(block->high[k]), put);
}

/* ------------------------------------------------------------------------- tables of 16 values */

static const int8_t iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

/* A scale, ready for vf_mul_i8, times the table's value of each nibble: 32 elements of 16 bytes. `values` are signed. */
INLINE void decode_nibbles(const uint8_t *nibbles, const int8_t *values, vf d, float *to, vf_put put) {
    vb table = vb_load(values);
    vb q = vb_load(nibbles);
    put(to, vf_mul_i8(vb_lookup(table, low_nibbles(q)), d));
    put(to + 16, vf_mul_i8(vb_lookup(table, high_nibbles(q)), d));
}

INLINE void decode_iq4_nl(const block_iq4_nl *block, float *to, vf_put put) {
    decode_nibbles(block->q, iq4_values, vf_i8_scale(vf_set_half(block->d)), to, put);
}

/* The 6-bit scales of iq4_xs, less 32, in lanes 0-7: nibbles of s, with two bits each above them. */
INLINE vb iq4_xs_scales(const block_iq4_xs *block) {
    uint64_t top = load_u16(block->t);
    top = (top & 0x000000FF) | (top & 0x0000FF00) << 24;
    top = (top & 0x0000000F0000000F) | (top & 0x000000F0000000F0) << 12;
    top = lowest_first((top & 0x0003000300030003) << 4 | (top & 0x000C000C000C000C) << 10);
    vb s = vb_load_4x4(block->s, block->s, block->s, block->s);
    vb low = vb_zip_low(low_nibbles(s), high_nibbles(s));
    return vb_sub(vb_or(low, vb_load_8x2(&top, &top)), vb_set(32));
}

/* (d (s - 32)) K(n), s by 32 elements */
INLINE void decode_iq4_xs(const block_iq4_xs *block, float *to, vf_put put) {
    float scale[16];
    store_scales(scale, vf_i8_scale(vf_mul(vf_from_i8(iq4_xs_scales(block)), vf_set_half(block->d))));
    for (int b = 0; b < 8; b++)
        decode_nibbles(block->q + 16 * b, iq4_values, vf_set(scale[b]), to + 32 * b, put);
}
