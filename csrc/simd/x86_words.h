/* Whole numbers, for AVX2 and AVX-512 alike: see portable_words.h for what each operation means. */
#pragma once

#include "simd/x86_loads.h"

typedef __m256i vw;
typedef __m256i vi;
typedef __m256 vf8;

INLINE vw vw_load(const void *from) { return _mm256_loadu_si256((const __m256i *)from); }

INLINE vw vw_load_words(const void *from) { return _mm256_load_si256((const __m256i *)from); }
INLINE void vw_store(void *to, vw a) { _mm256_store_si256((__m256i *)to, a); }

INLINE vw vw_load_nibbles(const void *from) {
    __m256i both = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)from));
    return _mm256_blend_epi32(both, _mm256_srli_epi16(both, 4), 0xF0);
}

INLINE vw vw_load_bytes(const void *from) { return _mm256_cvtepu8_epi16(_mm_loadu_si128((const __m128i *)from)); }
INLINE vw vw_load_signed(const void *from) { return _mm256_cvtepi8_epi16(_mm_loadu_si128((const __m128i *)from)); }

INLINE vw vw_from_bits(uint32_t bits) {
    const __m256i byte_of = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i each = _mm256_set1_epi64x((int64_t)0x8040201008040201);
    __m256i bytes = _mm256_shuffle_epi8(_mm256_set1_epi32((int)bits), byte_of);
    return _mm256_cmpeq_epi8(_mm256_and_si256(bytes, each), each);
}

INLINE vw vw_lookup(const int8_t table[16], vw index) {
    __m256i both = _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)table));
    return _mm256_srai_epi16(_mm256_slli_epi16(_mm256_shuffle_epi8(both, index), 8), 8);
}

INLINE vw vw_and(vw a, uint16_t mask) { return _mm256_and_si256(a, _mm256_set1_epi16((int16_t)mask)); }
INLINE vw vw_or(vw a, vw b) { return _mm256_or_si256(a, b); }
INLINE vw vw_minus(vw a, int16_t b) { return _mm256_sub_epi16(a, _mm256_set1_epi16(b)); }
INLINE vw vw_minus_bytes(vw a, int8_t b) { return _mm256_sub_epi8(a, _mm256_set1_epi8(b)); }
INLINE vw vw_shift_right(vw a, int n) { return _mm256_srli_epi16(a, n); }
INLINE vw vw_shift_left(vw a, int n) { return _mm256_slli_epi16(a, n); }
INLINE vw vw_shift_signed(vw a, int n) { return _mm256_srai_epi16(a, n); }

INLINE __m256i pairs(vw a, const int16_t *b) {
    return _mm256_madd_epi16(a, _mm256_load_si256((const __m256i *)(const void *)b));
}

INLINE vi vi_dot(vw words, const int16_t *high, const int16_t *low) {
    return _mm256_add_epi32(_mm256_slli_epi32(pairs(words, high), 8), pairs(words, low));
}

INLINE vi vi_dot_2(vw first, vw second, const int16_t *high, const int16_t *low) {
    __m256i highs = _mm256_add_epi32(pairs(first, high), pairs(second, high + 16));
    __m256i lows = _mm256_add_epi32(pairs(first, low), pairs(second, low + 16));
    return _mm256_add_epi32(_mm256_slli_epi32(highs, 8), lows);
}

INLINE vi vi_dot_bytes(vw bytes, vw even, vw odd, const int16_t *high, const uint8_t *low) {
    __m256i highs = _mm256_add_epi32(pairs(even, high), pairs(odd, high + 16));
    __m256i lows = _mm256_maddubs_epi16(_mm256_load_si256((const __m256i *)(const void *)low), bytes);
    return _mm256_add_epi32(_mm256_slli_epi32(highs, 8), _mm256_madd_epi16(lows, _mm256_set1_epi16(1)));
}

INLINE vf8 vf8_set(float value) { return _mm256_set1_ps(value); }

INLINE vf8 vf8_set_half(const void *from) {
    int16_t half;
    __builtin_memcpy(&half, from, sizeof half);
    return _mm256_cvtph_ps(_mm_set1_epi16(half));
}

INLINE vf8 vf8_set_2(const float *from) {
    double both;
    __builtin_memcpy(&both, from, sizeof both);
    __m256 pair = _mm256_castpd_ps(_mm256_set1_pd(both));
    return _mm256_permutevar_ps(pair, _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1));
}

INLINE vf8 vf8_from_bytes(uint64_t bytes) {
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_cvtsi64_si128((int64_t)bytes)));
}

INLINE vf8 vf8_load(const float *from) { return _mm256_loadu_ps(from); }
INLINE void vf8_store(float *to, vf8 v) { _mm256_storeu_ps(to, v); }
INLINE vf8 vf8_negative(vf8 a) { return _mm256_xor_ps(a, _mm256_set1_ps(-0.0f)); }
INLINE vf8 vf8_mul(vf8 a, vf8 b) { return _mm256_mul_ps(a, b); }
INLINE vf8 vf8_add(vf8 a, vf8 b) { return _mm256_add_ps(a, b); }
INLINE vf8 vf8_fuse(vf8 a, vf8 b, vf8 c) { return _mm256_fmadd_ps(a, b, c); }
INLINE vf8 vf8_from_vi(vi a) { return _mm256_cvtepi32_ps(a); }

INLINE void vf8_add_scaled(double to[8], vf8 v, double scale) {
    __m256d low = _mm256_cvtps_pd(_mm256_castps256_ps128(v)), high = _mm256_cvtps_pd(_mm256_extractf128_ps(v, 1));
    _mm256_storeu_pd(to, _mm256_fmadd_pd(low, _mm256_set1_pd(scale), _mm256_loadu_pd(to)));
    _mm256_storeu_pd(to + 4, _mm256_fmadd_pd(high, _mm256_set1_pd(scale), _mm256_loadu_pd(to + 4)));
}
