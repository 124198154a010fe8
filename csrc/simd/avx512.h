/* The 16-lane primitives for x86-64 with AVX-512 F, BW, DQ and VL. See portable.h for what each operation means. */
#pragma once

#include "simd/x86_loads.h"
#include "simd/x86_words.h"

typedef __m128i vb;
typedef __m512 vf;

/* Sums of rows that are in registers at the same time. */
#define VF_SUMS 16

/* ------------------------------------------------------------------------------------------- bytes */

INLINE vb vb_load(const void *from) { return _mm_loadu_si128((const __m128i *)from); }
INLINE vb vb_load_8x2(const void *a, const void *b) { return load_8x2(a, b); }

INLINE vb vb_load_4x4(const void *a, const void *b, const void *c, const void *d) { return load_4x4(a, b, c, d); }

INLINE vb vb_set(uint8_t value) { return _mm_set1_epi8((char)value); }
INLINE vb vb_and(vb a, vb b) { return _mm_and_si128(a, b); }
INLINE vb vb_or(vb a, vb b) { return _mm_or_si128(a, b); }
INLINE vb vb_xor(vb a, vb b) { return _mm_xor_si128(a, b); }
INLINE vb vb_and_not(vb a, vb b) { return _mm_andnot_si128(b, a); }
INLINE vb vb_add(vb a, vb b) { return _mm_add_epi8(a, b); }
INLINE vb vb_sub(vb a, vb b) { return _mm_sub_epi8(a, b); }

/* There are no byte shifts: 16-bit ones, less what crossed over from the neighbour. */
INLINE vb vb_shift_right(vb a, int n) { return vb_and(_mm_srli_epi16(a, n), vb_set((uint8_t)(0xFF >> n))); }
INLINE vb vb_shift_left(vb a, int n) { return vb_and(_mm_slli_epi16(a, n), vb_set((uint8_t)(0xFF << n))); }

INLINE vb vb_join_low(vb a, vb b) { return _mm_unpacklo_epi64(a, b); }
INLINE vb vb_join_high(vb a, vb b) { return _mm_unpackhi_epi64(a, b); }

INLINE vb vb_zip_low(vb a, vb b) { return _mm_unpacklo_epi8(a, b); }
INLINE vb vb_zip_high(vb a, vb b) { return _mm_unpackhi_epi8(a, b); }
INLINE void vb_store_words(uint16_t to[16], vb low, vb high) {
    _mm_storeu_si128((__m128i *)to, vb_zip_low(low, high));
    _mm_storeu_si128((__m128i *)(to + 8), vb_zip_high(low, high));
}

INLINE vb vb_from_bits(uint32_t bits, int half) { return _mm_movm_epi8((__mmask16)(bits >> 16 * half)); }
INLINE vb vb_lookup(vb table, vb index) { return _mm_shuffle_epi8(table, index); }

/* ------------------------------------------------------------------------------------------ floats */

INLINE vf vf_from_u8(vb a) { return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(a)); }
INLINE vf vf_from_i8(vb a) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(a)); }
INLINE vf vf_load_i8(const void *from) { return vf_from_i8(vb_load(from)); }
INLINE vf vf_load_i16(const void *from) {
    return _mm512_cvtepi32_ps(_mm512_cvtepi16_epi32(_mm256_loadu_si256((const __m256i *)from)));
}
INLINE vf vf_load_i32(const void *from) { return _mm512_cvtepi32_ps(_mm512_loadu_si512(from)); }
INLINE vf vf_set(float value) { return _mm512_set1_ps(value); }
INLINE vf vf_set_half(const void *from) {
    int16_t half;
    __builtin_memcpy(&half, from, sizeof half);
    return _mm512_cvtph_ps(_mm256_set1_epi16(half));
}
INLINE vf vf_set_halves(float low, float high) {
    return _mm512_mask_blend_ps(0xFF00, _mm512_set1_ps(low), _mm512_set1_ps(high));
}
INLINE vf vf_add(vf a, vf b) { return _mm512_add_ps(a, b); }
INLINE vf vf_mul(vf a, vf b) { return _mm512_mul_ps(a, b); }
INLINE vf vf_div(vf a, vf b) { return _mm512_div_ps(a, b); }
INLINE vf vf_i8_scale(vf scale) { return scale; }
INLINE vf vf_mul_i8(vb a, vf scale) { return vf_mul(vf_from_i8(a), scale); }
INLINE vf vf_mul_add(vf a, vf b, vf c) { return _mm512_fmadd_ps(a, b, c); }
INLINE vf vf_mul_sub(vf a, vf b, vf c) { return _mm512_fmsub_ps(a, b, c); }
INLINE vf vf_fuse(vf a, vf b, vf c) { return vf_mul_add(a, b, c); }

INLINE float vf_sum(vf v) {
    __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

INLINE vf vf_select(uint32_t bits, vf set, vf clear) { return _mm512_mask_blend_ps((__mmask16)bits, clear, set); }
INLINE vf vf_load(const void *from) { return _mm512_loadu_ps(from); }
INLINE vf vf_load_half(const void *from) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)from)); }

INLINE vf vf_from_halves(vw a) { return _mm512_cvtph_ps(a); }

INLINE vf vf_load_bfloat(const void *from) {
    __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)from));
    return _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16));
}

INLINE vf vf_load_f64(const void *from) {
    const double *p = (const double *)from;
    __m256 low = _mm512_cvtpd_ps(_mm512_loadu_pd(p)), high = _mm512_cvtpd_ps(_mm512_loadu_pd(p + 8));
    return _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1);
}

INLINE vf vf_load_i64(const void *from) {
    const uint8_t *p = (const uint8_t *)from;
    __m256 low = _mm512_cvtepi64_ps(_mm512_loadu_si512(p)), high = _mm512_cvtepi64_ps(_mm512_loadu_si512(p + 64));
    return _mm512_insertf32x8(_mm512_castps256_ps512(low), high, 1);
}

INLINE vf vf_load_8x2(const float *a, const float *b) {
    return _mm512_insertf32x8(_mm512_castps256_ps512(_mm256_loadu_ps(a)), _mm256_loadu_ps(b), 1);
}

INLINE vf vf_load_4x4(const float *a, const float *b, const float *c, const float *d) {
    __m256 ab = _mm256_loadu2_m128(b, a), cd = _mm256_loadu2_m128(d, c);
    return _mm512_insertf32x8(_mm512_castps256_ps512(ab), cd, 1);
}

INLINE vf vf_xor(vf a, vf b) { return _mm512_xor_ps(a, b); }

INLINE void vf_store(void *to, vf v) { _mm512_storeu_ps(to, v); }

INLINE void vf_store_half(void *to, vf v) {
    __m256i half = _mm512_cvtps_ph(v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    _mm256_storeu_si256((__m256i *)to, half);
}

INLINE void vf_store_bfloat(void *to, vf v) {
    __m512i bits = _mm512_castps_si512(v);
    __m512i top = _mm512_srli_epi32(bits, 16);
    __m512i odd = _mm512_and_si512(top, _mm512_set1_epi32(1));
    __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7FFF)), odd);
    __mmask16 is_nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
    __m512i narrow = _mm512_mask_or_epi32(_mm512_srli_epi32(rounded, 16), is_nan, top, _mm512_set1_epi32(0x40));
    _mm256_storeu_si256((__m256i *)to, _mm512_cvtepi32_epi16(narrow));
}

INLINE float half_to_float(uint16_t half) { return _mm_cvtss_f32(_mm_cvtph_ps(_mm_cvtsi32_si128(half))); }

/* One register of floats, for loops that need them all. */
typedef __m512 vr;
#define VR_LANES 16
INLINE vr vr_zero(void) { return _mm512_setzero_ps(); }
INLINE vr vr_load(const float *from) { return _mm512_loadu_ps(from); }
INLINE void vr_store(float *to, vr v) { _mm512_storeu_ps(to, v); }
INLINE vr vr_fuse(vr a, vr b, vr c) { return _mm512_fmadd_ps(a, b, c); }

/* --------------------------------------------------------------------------- pairs of bits, digits */

/* Pairs in 32-bit lanes, whose two lowest bits choose one of four floats; the others are ignored. */
typedef __m512i vp;

INLINE vp vp_load(const void *from) { return _mm512_cvtepu8_epi32(vb_load(from)); }

INLINE vp vp_spread(const uint8_t *four) {
    int32_t bits;
    __builtin_memcpy(&bits, four, sizeof bits);
    const __m512i lanes = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
    return _mm512_srlv_epi32(_mm512_set1_epi32(bits), lanes);
}

INLINE vp vp_load_8x2(const uint16_t *a, const uint16_t *b) {
    const __m512i lanes = _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 0, 2, 4, 6, 8, 10, 12, 14);
    int32_t first, second;
    __builtin_memcpy(&first, a, sizeof first);
    __builtin_memcpy(&second, b, sizeof second);
    return _mm512_srlv_epi32(_mm512_mask_set1_epi32(_mm512_set1_epi32(first), 0xFF00, second), lanes);
}

INLINE vp vp_next(vp a) { return _mm512_srli_epi32(a, 2); }

INLINE vf vf_mul_centred(vp a, vf scale) {
    vf four = _mm512_mul_ps(_mm512_broadcast_f32x4(_mm_setr_ps(-1, 0, 1, 2)), scale);
    return _mm512_permutevar_ps(four, a);
}

INLINE vf vf_mul_shifted(vp a, vf shift, vf scale) {
    vf four = _mm512_add_ps(_mm512_broadcast_f32x4(_mm_setr_ps(-1, 0, 1, 2)), shift);
    return _mm512_permutevar_ps(_mm512_mul_ps(four, scale), a);
}

INLINE vf vf_mul_sub_pairs(vp a, vf scale, vf minimum) {
    vf four = vf_mul_sub(_mm512_broadcast_f32x4(_mm_setr_ps(0, 1, 2, 3)), scale, minimum);
    return _mm512_permutevar_ps(four, a);
}

/* Bytes as the second lowest of 32-bit lanes. */
typedef __m512i vd;

INLINE vd vd_from_bytes(vb a) { return _mm512_slli_epi32(_mm512_cvtepu8_epi32(a), 8); }
INLINE vd vd_next(vd a) { return _mm512_mullo_epi16(a, _mm512_set1_epi16(3)); }
INLINE vf vf_mul_digits(vd a, vf scale) {
    return vf_mul_centred(_mm512_mulhi_epu16(a, _mm512_set1_epi16(3)), scale);
}

/* ------------------------------------------------------------------------ codes of 2 to 6 bits */

/* In the lowest bits of 32-bit lanes; what is above them is not said. */
typedef __m512i vq;

/* Four bytes in the lanes of a mask, instead of what is there. */
INLINE __m512i put_4(__m512i all, __mmask16 lanes, const uint8_t *from) {
    int32_t four;
    __builtin_memcpy(&four, from, sizeof four);
    return _mm512_mask_set1_epi32(all, lanes, four);
}

/* Each lane shifts the four bytes that its code is in to the right. The last four begin early, so as to end where the codes
 * do. */
INLINE vq vq_load(const void *from, int n_bits) {
    const uint8_t *p = (const uint8_t *)from, *last = p + 2 * n_bits - 4;
    const int second = n_bits / 2; /* byte where lane 4 begins, for the longer codes */
    const int a = n_bits > 4 ? 8 * second : 0, c = 8 * (2 * n_bits - 4), b = n_bits > 4 ? 8 * n_bits : c;
    const __m512i begins = _mm512_setr_epi32(0, 0, 0, 0, a, a, a, a, b, b, b, b, c, c, c, c);
    const __m512i lanes = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    const __m512i bits = _mm512_mullo_epi32(lanes, _mm512_set1_epi32(n_bits));
    __m512i bytes = put_4(_mm512_setzero_si512(), 0xFFFF, p);
    if (n_bits > 4)
        bytes = put_4(put_4(bytes, 0x00F0, p + second), 0x0F00, p + n_bits);
    if (n_bits > 2)
        bytes = put_4(bytes, n_bits > 4 ? 0xF000 : 0xFF00, last);
    return _mm512_srlv_epi32(bytes, _mm512_sub_epi32(bits, begins));
}

INLINE vf vf_from_vq(vq a, int n_bits) {
    return _mm512_cvtepi32_ps(_mm512_and_si512(a, _mm512_set1_epi32((1 << n_bits) - 1)));
}

INLINE vf vf_pick(vf table, vq a, int n_bits) {
    (void)n_bits;
    return _mm512_permutexvar_ps(a, table);
}

INLINE vf vf_pick_signed(vf table, vq a) { return vf_pick(table, a, 4); }

/* ----------------------------------------------------------------------------- past the caches */

INLINE void vf_stream(void *to, vf v) {
    float *p = (float *)to;
    if (__builtin_expect((uintptr_t)p % 64 == 0, 1)) {
        _mm512_stream_ps(p, v);
    } else {
        _mm_stream_ps(p, _mm512_castps512_ps128(v));
        _mm_stream_ps(p + 4, _mm512_extractf32x4_ps(v, 1));
        _mm_stream_ps(p + 8, _mm512_extractf32x4_ps(v, 2));
        _mm_stream_ps(p + 12, _mm512_extractf32x4_ps(v, 3));
    }
}

INLINE void stream_fence(void) { _mm_sfence(); }
