/* Whole numbers, for 64-bit Arm: see portable_words.h for what each operation means. */
#pragma once

#include "simd/neon.h"

typedef uint16x8x2_t vw;
typedef int32x4x2_t vi;
typedef float32x4x2_t vf8;

INLINE uint16x8_t load_eight_words(const void *from) {
    return vreinterpretq_u16_u8(vld1q_u8((const uint8_t *)from));
}

INLINE vw vw_load(const void *from) {
    return (vw){{load_eight_words(from), load_eight_words((const uint8_t *)from + 16)}};
}

INLINE vw vw_load_words(const void *from) { return vw_load(from); }

INLINE void vw_store(void *to, vw a) {
    vst1q_u8((uint8_t *)to, vreinterpretq_u8_u16(a.val[0]));
    vst1q_u8((uint8_t *)to + 16, vreinterpretq_u8_u16(a.val[1]));
}

INLINE vw vw_load_nibbles(const void *from) {
    uint16x8_t words = load_eight_words(from);
    return (vw){{words, vshrq_n_u16(words, 4)}};
}

INLINE vw vw_load_bytes(const void *from) {
    uint8x16_t bytes = vld1q_u8((const uint8_t *)from);
    return (vw){{vmovl_u8(vget_low_u8(bytes)), vmovl_u8(vget_high_u8(bytes))}};
}

INLINE vw vw_signed(int8x16_t bytes) {
    return (vw){{vreinterpretq_u16_s16(vmovl_s8(vget_low_s8(bytes))),
                 vreinterpretq_u16_s16(vmovl_s8(vget_high_s8(bytes)))}};
}

INLINE vw vw_load_signed(const void *from) {
    return vw_signed(vreinterpretq_s8_u8(vld1q_u8((const uint8_t *)from)));
}

INLINE vw vw_from_bits(uint32_t bits) {
    return (vw){{vreinterpretq_u16_u8(vb_from_bits(bits, 0)), vreinterpretq_u16_u8(vb_from_bits(bits, 1))}};
}

INLINE vw vw_lookup(const int8_t table[16], vw index) {
    uint8x16_t bytes = vcombine_u8(vmovn_u16(index.val[0]), vmovn_u16(index.val[1]));
    return vw_signed(vqtbl1q_s8(vld1q_s8(table), bytes));
}

INLINE vw vw_and(vw a, uint16_t mask) {
    uint16x8_t all = vdupq_n_u16(mask);
    return (vw){{vandq_u16(a.val[0], all), vandq_u16(a.val[1], all)}};
}

INLINE vw vw_or(vw a, vw b) { return (vw){{vorrq_u16(a.val[0], b.val[0]), vorrq_u16(a.val[1], b.val[1])}}; }

INLINE vw vw_minus(vw a, int16_t b) {
    uint16x8_t all = vdupq_n_u16((uint16_t)b);
    return (vw){{vsubq_u16(a.val[0], all), vsubq_u16(a.val[1], all)}};
}

INLINE vf vf_from_halves(vw a) {
    float16x8_t low = vreinterpretq_f16_u16(a.val[0]), high = vreinterpretq_f16_u16(a.val[1]);
    return (vf){{vcvt_f32_f16(vget_low_f16(low)), vcvt_high_f32_f16(low), vcvt_f32_f16(vget_low_f16(high)),
                 vcvt_high_f32_f16(high)}};
}

INLINE vw vw_minus_bytes(vw a, int8_t b) {
    uint8x16_t all = vdupq_n_u8((uint8_t)b);
    return (vw){{vreinterpretq_u16_u8(vsubq_u8(vreinterpretq_u8_u16(a.val[0]), all)),
                 vreinterpretq_u16_u8(vsubq_u8(vreinterpretq_u8_u16(a.val[1]), all))}};
}

/* A shift to the right is one to the left by a negative count. */
INLINE vw vw_shift_left(vw a, int n) {
    int16x8_t by = vdupq_n_s16((int16_t)n);
    return (vw){{vshlq_u16(a.val[0], by), vshlq_u16(a.val[1], by)}};
}

INLINE vw vw_shift_right(vw a, int n) { return vw_shift_left(a, -n); }

INLINE vw vw_shift_signed(vw a, int n) {
    int16x8_t by = vdupq_n_s16((int16_t)-n);
    return (vw){{vreinterpretq_u16_s16(vshlq_s16(vreinterpretq_s16_u16(a.val[0]), by)),
                 vreinterpretq_u16_s16(vshlq_s16(vreinterpretq_s16_u16(a.val[1]), by))}};
}

INLINE int32x4_t four_pairs(uint16x8_t words, int16x8_t b) {
    int16x8_t a = vreinterpretq_s16_u16(words);
    return vpaddq_s32(vmull_s16(vget_low_s16(a), vget_low_s16(b)), vmull_high_s16(a, b));
}

INLINE vi vi_dot(vw words, const int16_t *high, const int16_t *low) {
    vi sums;
    for (int i = 0; i < 2; i++)
        sums.val[i] = vaddq_s32(vshlq_n_s32(four_pairs(words.val[i], vld1q_s16(high + 8 * i)), 8),
                                four_pairs(words.val[i], vld1q_s16(low + 8 * i)));
    return sums;
}

INLINE vi vi_dot_2(vw first, vw second, const int16_t *high, const int16_t *low) {
    vi one = vi_dot(first, high, low), two = vi_dot(second, high + 16, low + 16);
    return (vi){{vaddq_s32(one.val[0], two.val[0]), vaddq_s32(one.val[1], two.val[1])}};
}

INLINE vi vi_dot_bytes(vw bytes, vw even, vw odd, const int16_t *high, const uint8_t *low) {
    (void)bytes;
    vi sums;
    for (int i = 0; i < 2; i++) {
        uint16x8_t words = load_eight_words(low + 16 * i);
        int16x8_t low_even = vreinterpretq_s16_u16(vandq_u16(words, vdupq_n_u16(255)));
        int16x8_t low_odd = vreinterpretq_s16_u16(vshrq_n_u16(words, 8));
        int32x4_t highs = vaddq_s32(four_pairs(even.val[i], vld1q_s16(high + 8 * i)),
                                    four_pairs(odd.val[i], vld1q_s16(high + 16 + 8 * i)));
        int32x4_t lows = vaddq_s32(four_pairs(even.val[i], low_even), four_pairs(odd.val[i], low_odd));
        sums.val[i] = vaddq_s32(vshlq_n_s32(highs, 8), lows);
    }
    return sums;
}

INLINE vf8 vf8_set(float value) { return (vf8){{vdupq_n_f32(value), vdupq_n_f32(value)}}; }

INLINE vf8 vf8_set_half(const void *from) {
    uint16_t half;
    __builtin_memcpy(&half, from, sizeof half);
    return vf8_set(half_to_float(half));
}

INLINE vf8 vf8_set_2(const float *from) { return (vf8){{vdupq_n_f32(from[0]), vdupq_n_f32(from[1])}}; }

INLINE vf8 vf8_from_bytes(uint64_t bytes) {
    uint16x8_t words = vmovl_u8(vcreate_u8(bytes));
    return (vf8){{vcvtq_f32_u32(vmovl_u16(vget_low_u16(words))), vcvtq_f32_u32(vmovl_u16(vget_high_u16(words)))}};
}

INLINE vf8 vf8_load(const float *from) { return (vf8){{vld1q_f32(from), vld1q_f32(from + 4)}}; }

INLINE void vf8_store(float *to, vf8 v) {
    vst1q_f32(to, v.val[0]);
    vst1q_f32(to + 4, v.val[1]);
}

INLINE vf8 vf8_negative(vf8 a) { return (vf8){{vnegq_f32(a.val[0]), vnegq_f32(a.val[1])}}; }

INLINE vf8 vf8_mul(vf8 a, vf8 b) { return (vf8){{vmulq_f32(a.val[0], b.val[0]), vmulq_f32(a.val[1], b.val[1])}}; }
INLINE vf8 vf8_add(vf8 a, vf8 b) { return (vf8){{vaddq_f32(a.val[0], b.val[0]), vaddq_f32(a.val[1], b.val[1])}}; }

INLINE vf8 vf8_fuse(vf8 a, vf8 b, vf8 c) {
    return (vf8){{vfmaq_f32(c.val[0], a.val[0], b.val[0]), vfmaq_f32(c.val[1], a.val[1], b.val[1])}};
}

INLINE vf8 vf8_from_vi(vi a) { return (vf8){{vcvtq_f32_s32(a.val[0]), vcvtq_f32_s32(a.val[1])}}; }

INLINE void vf8_add_scaled(double to[8], vf8 v, double scale) {
    float64x2_t by = vdupq_n_f64(scale);
    for (int i = 0; i < 2; i++) {
        vst1q_f64(to + 4 * i, vfmaq_f64(vld1q_f64(to + 4 * i), vcvt_f64_f32(vget_low_f32(v.val[i])), by));
        vst1q_f64(to + 4 * i + 2, vfmaq_f64(vld1q_f64(to + 4 * i + 2), vcvt_high_f64_f32(v.val[i]), by));
    }
}
