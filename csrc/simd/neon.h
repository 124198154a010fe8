/* The 16-lane primitives for 64-bit Arm, where NEON is always there. See portable.h for what each operation means. */
#pragma once

#include <arm_neon.h>

#include "simd/inline.h"

typedef uint8x16_t vb;
typedef float32x4x4_t vf;

/* Sums of rows that are in registers at the same time. */
#define VF_SUMS 4

#define EACH_QUARTER(v, expression)                                                                               \
    for (int i = 0; i < 4; i++)                                                                                   \
    (v).val[i] = (expression)

/* ------------------------------------------------------------------------------------------- bytes */

INLINE vb vb_load(const void *from) { return vld1q_u8((const uint8_t *)from); }

INLINE vb vb_load_8x2(const void *a, const void *b) {
    return vcombine_u8(vld1_u8((const uint8_t *)a), vld1_u8((const uint8_t *)b));
}

INLINE vb vb_load_4x4(const void *a, const void *b, const void *c, const void *d) {
    uint32_t lanes[4];
    __builtin_memcpy(&lanes[0], a, 4);
    __builtin_memcpy(&lanes[1], b, 4);
    __builtin_memcpy(&lanes[2], c, 4);
    __builtin_memcpy(&lanes[3], d, 4);
    return vreinterpretq_u8_u32(vld1q_u32(lanes));
}

INLINE vb vb_set(uint8_t value) { return vdupq_n_u8(value); }
INLINE vb vb_and(vb a, vb b) { return vandq_u8(a, b); }
INLINE vb vb_or(vb a, vb b) { return vorrq_u8(a, b); }
INLINE vb vb_xor(vb a, vb b) { return veorq_u8(a, b); }
INLINE vb vb_and_not(vb a, vb b) { return vbicq_u8(a, b); }
INLINE vb vb_add(vb a, vb b) { return vaddq_u8(a, b); }
INLINE vb vb_sub(vb a, vb b) { return vsubq_u8(a, b); }
/* A shift to the right is one to the left by a negative count. */
INLINE vb vb_shift_right(vb a, int n) { return vshlq_u8(a, vdupq_n_s8((int8_t)-n)); }
INLINE vb vb_shift_left(vb a, int n) { return vshlq_u8(a, vdupq_n_s8((int8_t)n)); }

INLINE vb vb_repeat_4(const uint8_t *from) {
    uint32_t bytes;
    __builtin_memcpy(&bytes, from, sizeof bytes);
    uint8x8_t four = vreinterpret_u8_u32(vdup_n_u32(bytes));
    uint8x8_t twice = vzip1_u8(four, four); /* 0 0 1 1 2 2 3 3 */
    return vcombine_u8(vzip1_u8(twice, twice), vzip2_u8(twice, twice));
}

INLINE vb vb_from_bits(uint32_t all, int half) {
    uint32_t bits = all >> 16 * half;
    uint8x8_t each = vcreate_u8(UINT64_C(0x8040201008040201));
    uint8x16_t bytes = vcombine_u8(vdup_n_u8((uint8_t)bits), vdup_n_u8((uint8_t)(bits >> 8)));
    return vtstq_u8(bytes, vcombine_u8(each, each));
}

INLINE vb vb_at_least(vb a, vb b) { return vcgeq_u8(a, b); }

INLINE vb vb_join_low(vb a, vb b) { return vcombine_u8(vget_low_u8(a), vget_low_u8(b)); }
INLINE vb vb_join_high(vb a, vb b) { return vcombine_u8(vget_high_u8(a), vget_high_u8(b)); }

INLINE vb vb_zip_low(vb a, vb b) { return vzip1q_u8(a, b); }
INLINE vb vb_zip_high(vb a, vb b) { return vzip2q_u8(a, b); }
INLINE void vb_store_words(uint16_t to[16], vb low, vb high) {
    vst1q_u16(to, vorrq_u16(vmovl_u8(vget_low_u8(low)), vshll_n_u8(vget_low_u8(high), 8)));
    vst1q_u16(to + 8, vorrq_u16(vmovl_u8(vget_high_u8(low)), vshll_n_u8(vget_high_u8(high), 8)));
}

INLINE vb vb_lookup(vb table, vb index) { return vqtbl1q_u8(table, index); }

/* ------------------------------------------------------------------------------------------ floats */

INLINE vf vf_from_u8(vb a) {
    uint16x8_t low = vmovl_u8(vget_low_u8(a)), high = vmovl_u8(vget_high_u8(a));
    return (vf){{vcvtq_f32_u32(vmovl_u16(vget_low_u16(low))), vcvtq_f32_u32(vmovl_u16(vget_high_u16(low))),
                 vcvtq_f32_u32(vmovl_u16(vget_low_u16(high))), vcvtq_f32_u32(vmovl_u16(vget_high_u16(high)))}};
}

INLINE vf vf_from_i8(vb a) {
    int8x16_t bytes = vreinterpretq_s8_u8(a);
    int16x8_t low = vmovl_s8(vget_low_s8(bytes)), high = vmovl_s8(vget_high_s8(bytes));
    return (vf){{vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(low))),
                 vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(high)))}};
}

INLINE vf vf_load_i8(const void *from) { return vf_from_i8(vb_load(from)); }

INLINE vf vf_set(float value) {
    float32x4_t v = vdupq_n_f32(value);
    return (vf){{v, v, v, v}};
}

INLINE vf vf_set_half(const void *from) {
    uint16_t half;
    __builtin_memcpy(&half, from, sizeof half);
    float32x4_t v = vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(half)));
    return (vf){{v, v, v, v}};
}

INLINE vf vf_set_halves(float low, float high) {
    float32x4_t a = vdupq_n_f32(low), b = vdupq_n_f32(high);
    return (vf){{a, a, b, b}};
}

INLINE vf vf_add(vf a, vf b) {
    EACH_QUARTER(a, vaddq_f32(a.val[i], b.val[i]));
    return a;
}

INLINE vf vf_mul(vf a, vf b) {
    EACH_QUARTER(a, vmulq_f32(a.val[i], b.val[i]));
    return a;
}

INLINE vf vf_div(vf a, vf b) {
    EACH_QUARTER(a, vdivq_f32(a.val[i], b.val[i]));
    return a;
}

/* An index of a float becomes those of its four bytes. */
INLINE vf vf_lookup(vf table, vb index) {
    static const uint8_t byte_of[16] = {0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3};
    uint8x16x4_t bytes;
    EACH_QUARTER(bytes, vreinterpretq_u8_f32(table.val[i]));
    vb first = vshlq_n_u8(index, 2), low = vzip1q_u8(first, first), high = vzip2q_u8(first, first);
    vb four[4] = {vzip1q_u8(low, low), vzip2q_u8(low, low), vzip1q_u8(high, high), vzip2q_u8(high, high)};
    EACH_QUARTER(table, vreinterpretq_f32_u8(vqtbl4q_u8(bytes, vorrq_u8(four[i], vld1q_u8(byte_of)))));
    return table;
}

INLINE vf vf_i8_scale(vf scale) { return scale; }
INLINE vf vf_mul_i8(vb a, vf scale) { return vf_mul(vf_from_i8(a), scale); }

INLINE vf vf_mul_add(vf a, vf b, vf c) {
    EACH_QUARTER(c, vfmaq_f32(c.val[i], a.val[i], b.val[i]));
    return c;
}

/* The product is exact, so that adding -c rounds as subtracting c does; the sign of a zero result is that of a - c too. */
INLINE vf vf_mul_sub(vf a, vf b, vf c) {
    EACH_QUARTER(c, vfmaq_f32(vnegq_f32(c.val[i]), a.val[i], b.val[i]));
    return c;
}

INLINE vf vf_fuse(vf a, vf b, vf c) { return vf_mul_add(a, b, c); }

INLINE float vf_sum(vf v) {
    float32x4_t four = vaddq_f32(vaddq_f32(v.val[0], v.val[2]), vaddq_f32(v.val[1], v.val[3]));
    float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}

INLINE vf vf_select(uint32_t bits, vf set, vf clear) {
    static const uint32_t each[4] = {1, 2, 4, 8};
    EACH_QUARTER(set,
                 vbslq_f32(vtstq_u32(vdupq_n_u32(bits >> (4 * i)), vld1q_u32(each)), set.val[i], clear.val[i]));
    return set;
}

INLINE float32x4_t load_four(const uint8_t *from) { return vreinterpretq_f32_u8(vld1q_u8(from)); }

INLINE vf vf_load(const void *from) {
    vf v;
    EACH_QUARTER(v, load_four((const uint8_t *)from + 16 * i));
    return v;
}

INLINE uint16x4_t load_words(const void *from, int quarter) {
    return vreinterpret_u16_u8(vld1_u8((const uint8_t *)from + 8 * quarter));
}

INLINE vf vf_load_half(const void *from) {
    vf v;
    EACH_QUARTER(v, vcvt_f32_f16(vreinterpret_f16_u16(load_words(from, i))));
    return v;
}

INLINE vf vf_load_bfloat(const void *from) {
    vf v;
    EACH_QUARTER(v, vreinterpretq_f32_u32(vshll_n_u16(load_words(from, i), 16)));
    return v;
}

INLINE vf vf_load_i16(const void *from) {
    vf v;
    EACH_QUARTER(v, vcvtq_f32_s32(vmovl_s16(vreinterpret_s16_u16(load_words(from, i)))));
    return v;
}

INLINE vf vf_load_i32(const void *from) {
    vf v;
    EACH_QUARTER(v, vcvtq_f32_s32(vreinterpretq_s32_u8(vb_load((const uint8_t *)from + 16 * i))));
    return v;
}

INLINE vf vf_load_f64(const void *from) {
    const double *p = (const double *)from;
    vf v;
    EACH_QUARTER(v, vcvt_high_f32_f64(vcvt_f32_f64(vld1q_f64(p + 4 * i)), vld1q_f64(p + 4 * i + 2)));
    return v;
}

/* By way of doubles they would be rounded twice. */
INLINE vf vf_load_i64(const void *from) {
    int64_t values[16];
    float rounded[16];
    __builtin_memcpy(values, from, sizeof values);
    for (int i = 0; i < 16; i++)
        rounded[i] = (float)values[i];
    return vf_load(rounded);
}

INLINE vf vf_load_8x2(const float *a, const float *b) {
    return (vf){{vld1q_f32(a), vld1q_f32(a + 4), vld1q_f32(b), vld1q_f32(b + 4)}};
}

INLINE vf vf_load_4x4(const float *a, const float *b, const float *c, const float *d) {
    return (vf){{vld1q_f32(a), vld1q_f32(b), vld1q_f32(c), vld1q_f32(d)}};
}

INLINE vf vf_xor(vf a, vf b) {
    EACH_QUARTER(
        a, vreinterpretq_f32_u32(veorq_u32(vreinterpretq_u32_f32(a.val[i]), vreinterpretq_u32_f32(b.val[i]))));
    return a;
}

INLINE void vf_store(void *to, vf v) {
    for (int i = 0; i < 4; i++)
        vst1q_u8((uint8_t *)to + 16 * i, vreinterpretq_u8_f32(v.val[i]));
}

INLINE void store_words(void *to, int quarter, uint16x4_t words) {
    vst1_u8((uint8_t *)to + 8 * quarter, vreinterpret_u8_u16(words));
}

INLINE void vf_store_half(void *to, vf v) {
    for (int i = 0; i < 4; i++)
        store_words(to, i, vreinterpret_u16_f16(vcvt_f16_f32(v.val[i])));
}

INLINE uint16x4_t narrow_bfloat(float32x4_t v) {
    uint32x4_t bits = vreinterpretq_u32_f32(v);
    uint32x4_t odd = vandq_u32(vshrq_n_u32(bits, 16), vdupq_n_u32(1));
    uint32x4_t rounded = vaddq_u32(vaddq_u32(bits, vdupq_n_u32(0x7FFF)), odd);
    uint32x4_t nan = vorrq_u32(bits, vdupq_n_u32(0x00400000));
    return vshrn_n_u32(vbslq_u32(vceqq_f32(v, v), rounded, nan), 16);
}

INLINE void vf_store_bfloat(void *to, vf v) {
    for (int i = 0; i < 4; i++)
        store_words(to, i, narrow_bfloat(v.val[i]));
}

INLINE float half_to_float(uint16_t half) {
    return vgetq_lane_f32(vcvt_f32_f16(vreinterpret_f16_u16(vdup_n_u16(half))), 0);
}

/* One register of floats, for loops that need them all. */
typedef float32x4_t vr;
#define VR_LANES 4
INLINE vr vr_zero(void) { return vdupq_n_f32(0); }
INLINE vr vr_load(const float *from) { return vld1q_f32(from); }
INLINE void vr_store(float *to, vr v) { vst1q_f32(to, v); }
INLINE vr vr_fuse(vr a, vr b, vr c) { return vfmaq_f32(c, a, b); }

/* ----------------------------------------------------------------------------- past the caches */

/* Arm has a hint (STNP) that no intrinsic reaches, and cores that detect streams by themselves. */
INLINE void vf_stream(void *to, vf v) { vf_store(to, v); }
INLINE void stream_fence(void) {}

#undef EACH_QUARTER
