/* Pairs of bits, base-3 digits and codes of a few bits: the 16-lane primitives for them, and their definition for every
 * back end. Here bytes become floats as elsewhere; where the bits of a lane can choose among several floats in one
 * instruction, as with AVX2, a back end has its own. Included after simd/portable.h or simd/neon.h. */
#pragma once

#include "simd/generic/decoder.h"

/* 16 bytes, whose two lowest bits are a code from 0 to 3. */
typedef vb vp;

INLINE vp vp_load(const void *from) { return vb_load(from); }

/* The sixteen pairs of bits in four bytes. A byte is repeated four times, and each copy keeps other bits. */
INLINE vp vp_spread(const uint8_t *four) {
    static const uint8_t keep[16] = {3, 12, 48, 192, 3, 12, 48, 192, 3, 12, 48, 192, 3, 12, 48, 192};
    vb c = vb_and(vb_repeat_4(four), vb_load(keep));
    return vb_or(vb_or(c, vb_shift_right(c, 2)), vb_or(vb_shift_right(c, 4), vb_shift_right(c, 6)));
}

/* Eight pairs from each of two words. Four bytes may be read at each. */
INLINE vp vp_load_8x2(const uint16_t *a, const uint16_t *b) {
    uint32_t words = *a | (uint32_t)*b << 16;
    uint8_t four[4] = {(uint8_t)words, (uint8_t)(words >> 8), (uint8_t)(words >> 16), (uint8_t)(words >> 24)};
    return vp_spread(four);
}

/* The next two bits of each byte become the lowest. */
INLINE vp vp_next(vp a) { return vb_shift_right(a, 2); }

/* scale (c - 1). `scale`, and the minimum below, is the same in all lanes. */
INLINE vf vf_mul_centred(vp a, vf scale) {
    return vf_mul_i8(vb_sub(vb_and(a, vb_set(3)), vb_set(1)), vf_i8_scale(scale));
}

/* scale (c - 1 + shift), where c is at most 2 */
INLINE vf vf_mul_shifted(vp a, vf shift, vf scale) {
    vf centred = vf_from_i8(vb_sub(vb_and(a, vb_set(3)), vb_set(1)));
    return vf_mul(vf_add(centred, shift), scale);
}

/* scale c - minimum */
INLINE vf vf_mul_sub_pairs(vp a, vf scale, vf minimum) {
    return vf_mul_sub(vf_from_u8(vb_and(a, vb_set(3))), scale, minimum);
}

/* 16 bytes, each the fraction byte / 256. */
typedef vb vd;

INLINE vd vd_from_bytes(vb a) { return a; }

/* Three times the fraction, without its integer part: brings the next base-3 digit to the front. */
INLINE vd vd_next(vd a) { return vb_add(vb_add(a, a), a); }

/* scale (t - 1), where t is the leading digit, (3 byte) >> 8: 1 from 86 on, 2 from 171 on. A comparison yields -1, so the
 * digit is what is subtracted. */
INLINE vf vf_mul_digits(vd a, vf scale) {
    vb minus_digit = vb_add(vb_at_least(a, vb_set(86)), vb_at_least(a, vb_set(171)));
    return vf_mul_i8(vb_sub(vb_set(255), minus_digit), vf_i8_scale(scale));
}

/* 16 bytes that are codes. */
typedef vb vq;

/* Eight codes of n_bits, lowest first, to a byte each: in halves, quarters and eighths of a word. */
INLINE uint64_t spread_eight(const uint8_t *from, int n_bits) {
    uint64_t x = 0, one = (UINT64_C(1) << n_bits) - 1, two = (UINT64_C(1) << 2 * n_bits) - 1,
             four = (UINT64_C(1) << 4 * n_bits) - 1;
    uint64_t each_two = two * UINT64_C(0x0000000100000001), each = one * UINT64_C(0x0001000100010001);
    for (int i = 0; i < n_bits; i++)
        x |= (uint64_t)from[i] << 8 * i;
    x = (x & four) | x >> 4 * n_bits << 32;
    x = (x & each_two) | (x >> 2 * n_bits & each_two) << 16;
    x = (x & each) | (x >> n_bits & each) << 8;
    return lowest_first(x);
}

/* The codes of 2, 3, 4, 5 or 6 bits in 2 n_bits bytes: bit 0 of the first byte is the lowest of lane 0. */
INLINE vq vq_load(const void *from, int n_bits) {
    const uint8_t *p = (const uint8_t *)from;
    if (n_bits == 4) {
        vb q = vb_load_8x2(p, p);
        return vb_zip_low(low_nibbles(q), high_nibbles(q));
    }
    uint64_t first = spread_eight(p, n_bits), last = spread_eight(p + n_bits, n_bits);
    return vb_load_8x2(&first, &last);
}

INLINE vf vf_from_vq(vq a, int n_bits) {
    (void)n_bits;
    return vf_from_u8(a);
}

/* table[code] of each lane, for codes of up to 4 bits. A table for shorter ones repeats itself to its end. */
INLINE vf vf_pick(vf table, vq a, int n_bits) {
    (void)n_bits;
    return vf_lookup(table, a);
}

/* The same for codes of 4 bits and a table whose second half is the first with the other sign. */
INLINE vf vf_pick_signed(vf table, vq a) { return vf_pick(table, a, 4); }
