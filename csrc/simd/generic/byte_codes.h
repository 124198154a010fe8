/* Pairs of bits and base-3 digits: the 16-lane primitives for them, and their definition for every back end. Here
 * bytes become floats as elsewhere; where a bit or two of a lane can choose among four floats in one instruction, as with AVX2,
 * a back end has its own. Included after simd/portable.h or simd/neon.h. */
#pragma once

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
