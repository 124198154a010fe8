/* The 16-lane vocabulary in plain C: the definition that every other back end must meet bit for bit.
 *
 * `vb` is 16 bytes, `vf` 16 floats. Loops over the lanes are left to the compiler to vectorise. Loads and stores take
 * any address. In every decoder the product of vf_mul_add and vf_mul_sub is exact, so that a back end may fuse them. */
#ifndef PYE_SIMD_PORTABLE_H
#define PYE_SIMD_PORTABLE_H

#include <string.h>

#include "base/half.h"
#include "decode/inline.h"

typedef struct vb {
    uint8_t lane[16];
} vb;

typedef struct vf {
    float lane[16];
} vf;

#define EACH_LANE for (int i = 0; i < 16; i++)

/* ------------------------------------------------------------------------------------------- bytes */

INLINE vb vb_load(const void *from) {
    vb v;
    memcpy(v.lane, from, 16);
    return v;
}

/* Lanes 0-7 and 8-15 from two places. */
INLINE vb vb_load_8x2(const void *a, const void *b) {
    vb v;
    memcpy(v.lane, a, 8);
    memcpy(v.lane + 8, b, 8);
    return v;
}

/* Lanes 0-3, 4-7, 8-11 and 12-15 from four places. */
INLINE vb vb_load_4x4(const void *a, const void *b, const void *c, const void *d) {
    vb v;
    memcpy(v.lane, a, 4);
    memcpy(v.lane + 4, b, 4);
    memcpy(v.lane + 8, c, 4);
    memcpy(v.lane + 12, d, 4);
    return v;
}

INLINE vb vb_set(uint8_t value) {
    vb v;
    EACH_LANE v.lane[i] = value;
    return v;
}

INLINE vb vb_and(vb a, vb b) {
    EACH_LANE a.lane[i] &= b.lane[i];
    return a;
}

INLINE vb vb_or(vb a, vb b) {
    EACH_LANE a.lane[i] |= b.lane[i];
    return a;
}

INLINE vb vb_xor(vb a, vb b) {
    EACH_LANE a.lane[i] ^= b.lane[i];
    return a;
}

INLINE vb vb_add(vb a, vb b) {
    EACH_LANE a.lane[i] = (uint8_t)(a.lane[i] + b.lane[i]);
    return a;
}

INLINE vb vb_sub(vb a, vb b) {
    EACH_LANE a.lane[i] = (uint8_t)(a.lane[i] - b.lane[i]);
    return a;
}

INLINE vb vb_shift_right(vb a, int n) {
    EACH_LANE a.lane[i] = (uint8_t)(a.lane[i] >> n);
    return a;
}

INLINE vb vb_shift_left(vb a, int n) {
    EACH_LANE a.lane[i] = (uint8_t)(a.lane[i] << n);
    return a;
}

/* table.lane[index.lane[i]]; every index is below 16. */
INLINE vb vb_lookup(vb table, vb index) {
    EACH_LANE index.lane[i] = table.lane[index.lane[i] & 15];
    return index;
}

/* 255 in the lanes whose bit is set. */
INLINE vb vb_from_bits(uint32_t bits) {
    vb v;
    EACH_LANE v.lane[i] = (uint8_t)(0u - ((bits >> i) & 1u));
    return v;
}

/* 255 in the lanes where a >= b, unsigned. */
INLINE vb vb_at_least(vb a, vb b) {
    EACH_LANE a.lane[i] = (uint8_t)(a.lane[i] >= b.lane[i] ? 255 : 0);
    return a;
}

/* Lanes 0-7 of a, then lanes 0-7 of b. */
INLINE vb vb_join_low(vb a, vb b) { return vb_load_8x2(a.lane, b.lane); }

/* Lanes 8-15 of a, then lanes 8-15 of b. */
INLINE vb vb_join_high(vb a, vb b) { return vb_load_8x2(a.lane + 8, b.lane + 8); }

/* ------------------------------------------------------------------------------------------ floats */

INLINE vf vf_from_u8(vb a) {
    vf v;
    EACH_LANE v.lane[i] = (float)a.lane[i];
    return v;
}

INLINE vf vf_from_i8(vb a) {
    vf v;
    EACH_LANE v.lane[i] = (float)(int8_t)a.lane[i];
    return v;
}

INLINE vf vf_set(float value) {
    vf v;
    EACH_LANE v.lane[i] = value;
    return v;
}

/* `low` in lanes 0-7, `high` in lanes 8-15. */
INLINE vf vf_set_halves(float low, float high) {
    vf v;
    EACH_LANE v.lane[i] = i < 8 ? low : high;
    return v;
}

INLINE vf vf_add(vf a, vf b) {
    EACH_LANE a.lane[i] += b.lane[i];
    return a;
}

INLINE vf vf_mul(vf a, vf b) {
    EACH_LANE a.lane[i] *= b.lane[i];
    return a;
}

/* a b + c */
INLINE vf vf_mul_add(vf a, vf b, vf c) {
    EACH_LANE a.lane[i] = a.lane[i] * b.lane[i] + c.lane[i];
    return a;
}

/* a b - c */
INLINE vf vf_mul_sub(vf a, vf b, vf c) {
    EACH_LANE a.lane[i] = a.lane[i] * b.lane[i] - c.lane[i];
    return a;
}

/* Lane i from `set` where bit i is 1, else from `clear`. */
INLINE vf vf_select(uint32_t bits, vf set, vf clear) {
    EACH_LANE set.lane[i] = (bits >> i) & 1u ? set.lane[i] : clear.lane[i];
    return set;
}

INLINE vf vf_load(const void *from) {
    vf v;
    memcpy(v.lane, from, sizeof v.lane);
    return v;
}

INLINE vf vf_load_half(const void *from) {
    uint16_t bits[16];
    memcpy(bits, from, sizeof bits);
    vf v;
    EACH_LANE v.lane[i] = pye_half_to_float(bits[i]);
    return v;
}

INLINE vf vf_load_bfloat(const void *from) {
    uint16_t bits[16];
    memcpy(bits, from, sizeof bits);
    vf v;
    EACH_LANE v.lane[i] = pye_bfloat_to_float(bits[i]);
    return v;
}

INLINE void vf_store(void *to, vf v) { memcpy(to, v.lane, sizeof v.lane); }

INLINE void vf_store_half(void *to, vf v) {
    uint16_t bits[16];
    EACH_LANE bits[i] = pye_half_from_float(v.lane[i]);
    memcpy(to, bits, sizeof bits);
}

INLINE void vf_store_bfloat(void *to, vf v) {
    uint16_t bits[16];
    EACH_LANE bits[i] = pye_bfloat_from_float(v.lane[i]);
    memcpy(to, bits, sizeof bits);
}

/* One half to float: a block's scale. */
INLINE float half_to_float(uint16_t half) { return pye_half_to_float(half); }

/* ----------------------------------------------------------------------------- past the caches */

/* Aligned stores that need not stay in any cache: 64 bytes on a multiple of 64, 16 on a multiple of 16. */
INLINE void vf_stream(void *to, vf v) { vf_store(to, v); }
INLINE void vb_stream(void *to, vb v) { memcpy(to, v.lane, sizeof v.lane); }

/* Makes them visible to other threads in the order of the program. */
INLINE void stream_fence(void) {}

#undef EACH_LANE

#endif
