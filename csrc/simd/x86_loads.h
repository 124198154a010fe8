/* What AVX2 and AVX-512 have in common: 16 bytes from several places. */
#pragma once

#include <immintrin.h>
#include <stdint.h>

#include "simd/inline.h"

INLINE __m128i load_8x2(const void *a, const void *b) {
    return _mm_castpd_si128(
        _mm_loadh_pd(_mm_castsi128_pd(_mm_loadl_epi64((const __m128i *)a)), (const double *)b));
}

INLINE __m128i load_4x4(const void *a, const void *b, const void *c, const void *d) {
    __m128i ab = _mm_unpacklo_epi32(_mm_loadu_si32(a), _mm_loadu_si32(b));
    __m128i cd = _mm_unpacklo_epi32(_mm_loadu_si32(c), _mm_loadu_si32(d));
    return _mm_unpacklo_epi64(ab, cd);
}
