/* The 16-lane vocabulary for x86-64 with AVX2, FMA and F16C. See portable.h for what each operation means. */
#ifndef PYE_SIMD_AVX2_H
#define PYE_SIMD_AVX2_H

#include "simd/x86_bytes.h"

typedef struct vf {
    __m256 low, high;
} vf;

/* ------------------------------------------------------------------------------------------- bytes */

INLINE vb vb_from_bits(uint32_t bits) {
    __m128i spread = _mm_set_epi64x(0x0101010101010101, 0);
    __m128i each = _mm_set1_epi64x((int64_t)0x8040201008040201);
    __m128i bytes = _mm_shuffle_epi8(_mm_cvtsi32_si128((int)bits), spread);
    return _mm_cmpeq_epi8(_mm_and_si128(bytes, each), each);
}

INLINE vb vb_at_least(vb a, vb b) { return _mm_cmpeq_epi8(_mm_max_epu8(a, b), a); }

/* ------------------------------------------------------------------------------------------ floats */

/* Bytes to 32-bit lanes: of a register in both halves, a shuffle that crosses no half costs less than the instruction
 * that widens. */
INLINE __m256i spread_bytes(__m256i twice, int first) {
    const __m256i lanes = _mm256_setr_epi32((int)0x80808000, (int)0x80808001, (int)0x80808002, (int)0x80808003,
                                            (int)0x80808004, (int)0x80808005, (int)0x80808006, (int)0x80808007);
    return _mm256_shuffle_epi8(twice, _mm256_add_epi32(lanes, _mm256_set1_epi32(first)));
}

INLINE vf vf_from_u8(vb a) {
    __m256i twice = _mm256_broadcastsi128_si256(a);
    return (vf){_mm256_cvtepi32_ps(spread_bytes(twice, 0)), _mm256_cvtepi32_ps(spread_bytes(twice, 8))};
}

INLINE vf vf_from_i8(vb a) {
    return (vf){_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(a)),
                _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_unpackhi_epi64(a, a)))};
}

INLINE vf vf_load_i8(const void *from) {
    const uint8_t *p = (const uint8_t *)from;
    return (vf){_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p))),
                _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(p + 8))))};
}

INLINE vf vf_lookup(vb table, vb index) { return vf_from_i8(_mm_shuffle_epi8(table, index)); }
INLINE vf vf_set(float value) { return (vf){_mm256_set1_ps(value), _mm256_set1_ps(value)}; }

INLINE vf vf_set_half(const void *from) {
    int16_t half;
    __builtin_memcpy(&half, from, sizeof half);
    __m256 wide = _mm256_cvtph_ps(_mm_set1_epi16(half));
    return (vf){wide, wide};
}

INLINE vf vf_set_halves(float low, float high) { return (vf){_mm256_set1_ps(low), _mm256_set1_ps(high)}; }

INLINE vf vf_add(vf a, vf b) { return (vf){_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)}; }
INLINE vf vf_mul(vf a, vf b) { return (vf){_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)}; }

INLINE vf vf_mul_add(vf a, vf b, vf c) {
    return (vf){_mm256_fmadd_ps(a.low, b.low, c.low), _mm256_fmadd_ps(a.high, b.high, c.high)};
}

INLINE vf vf_mul_sub(vf a, vf b, vf c) {
    return (vf){_mm256_fmsub_ps(a.low, b.low, c.low), _mm256_fmsub_ps(a.high, b.high, c.high)};
}

INLINE vf vf_fuse(vf a, vf b, vf c) { return vf_mul_add(a, b, c); }

INLINE float vf_sum(vf v) {
    __m256 eight = _mm256_add_ps(v.low, v.high);
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

INLINE __m256 select_eight(__m256i bits, __m256i each, __m256 set, __m256 clear) {
    __m256i mask = _mm256_cmpeq_epi32(_mm256_and_si256(bits, each), each);
    return _mm256_blendv_ps(clear, set, _mm256_castsi256_ps(mask));
}

INLINE vf vf_select(uint32_t bits, vf set, vf clear) {
    __m256i all = _mm256_set1_epi32((int)bits);
    __m256i each = _mm256_setr_epi32(1, 2, 4, 8, 16, 32, 64, 128);
    return (vf){select_eight(all, each, set.low, clear.low),
                select_eight(all, _mm256_slli_epi32(each, 8), set.high, clear.high)};
}

INLINE vf vf_load(const void *from) {
    const float *p = (const float *)from;
    return (vf){_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)};
}

INLINE vf vf_load_half(const void *from) {
    const __m128i *p = (const __m128i *)from;
    return (vf){_mm256_cvtph_ps(_mm_loadu_si128(p)), _mm256_cvtph_ps(_mm_loadu_si128(p + 1))};
}

INLINE __m256 widen_bfloat(__m128i bits) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(bits), 16));
}

INLINE vf vf_load_bfloat(const void *from) {
    const __m128i *p = (const __m128i *)from;
    return (vf){widen_bfloat(_mm_loadu_si128(p)), widen_bfloat(_mm_loadu_si128(p + 1))};
}

INLINE void vf_store(void *to, vf v) {
    float *p = (float *)to;
    _mm256_storeu_ps(p, v.low);
    _mm256_storeu_ps(p + 8, v.high);
}

INLINE void vf_store_half(void *to, vf v) {
    __m128i *p = (__m128i *)to;
    _mm_storeu_si128(p, _mm256_cvtps_ph(v.low, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    _mm_storeu_si128(p + 1, _mm256_cvtps_ph(v.high, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}

/* Eight bfloats in the low halves of 32-bit lanes. */
INLINE __m256i narrow_bfloat(__m256 v) {
    __m256i bits = _mm256_castps_si256(v);
    __m256i top = _mm256_srli_epi32(bits, 16);
    __m256i odd = _mm256_and_si256(top, _mm256_set1_epi32(1));
    __m256i rounded = _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7FFF)), odd);
    __m256i nan = _mm256_or_si256(top, _mm256_set1_epi32(0x40));
    __m256i is_nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    return _mm256_blendv_epi8(_mm256_srli_epi32(rounded, 16), nan, is_nan);
}

INLINE void vf_store_bfloat(void *to, vf v) {
    __m256i packed = _mm256_packus_epi32(narrow_bfloat(v.low), narrow_bfloat(v.high));
    _mm256_storeu_si256((__m256i *)to, _mm256_permute4x64_epi64(packed, 0xD8));
}

INLINE float half_to_float(uint16_t half) { return _cvtsh_ss(half); }

/* One register of floats, for loops that need them all. */
typedef __m256 vr;
#define VR_LANES 8
INLINE vr vr_zero(void) { return _mm256_setzero_ps(); }
INLINE vr vr_load(const float *from) { return _mm256_loadu_ps(from); }
INLINE void vr_store(float *to, vr v) { _mm256_storeu_ps(to, v); }
INLINE vr vr_fuse(vr a, vr b, vr c) { return _mm256_fmadd_ps(a, b, c); }

/* ----------------------------------------------------------------------------- past the caches */

INLINE void vf_stream(void *to, vf v) {
    float *p = (float *)to;
    _mm256_stream_ps(p, v.low);
    _mm256_stream_ps(p + 8, v.high);
}

#endif
