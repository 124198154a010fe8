/* What AVX2 and AVX-512 have in common: 16 bytes in an SSE register. */
#ifndef PYE_SIMD_X86_BYTES_H
#define PYE_SIMD_X86_BYTES_H

#include <immintrin.h>
#include <stdint.h>

#include "decode/inline.h"

typedef __m128i vb;

INLINE vb vb_load(const void *from) { return _mm_loadu_si128((const __m128i *)from); }

INLINE vb vb_load_8x2(const void *a, const void *b) {
    return _mm_castpd_si128(
        _mm_loadh_pd(_mm_castsi128_pd(_mm_loadl_epi64((const __m128i *)a)), (const double *)b));
}

INLINE vb vb_load_4x4(const void *a, const void *b, const void *c, const void *d) {
    __m128i ab = _mm_unpacklo_epi32(_mm_loadu_si32(a), _mm_loadu_si32(b));
    __m128i cd = _mm_unpacklo_epi32(_mm_loadu_si32(c), _mm_loadu_si32(d));
    return _mm_unpacklo_epi64(ab, cd);
}

INLINE vb vb_set(uint8_t value) { return _mm_set1_epi8((char)value); }
INLINE vb vb_and(vb a, vb b) { return _mm_and_si128(a, b); }
INLINE vb vb_or(vb a, vb b) { return _mm_or_si128(a, b); }
INLINE vb vb_xor(vb a, vb b) { return _mm_xor_si128(a, b); }
INLINE vb vb_add(vb a, vb b) { return _mm_add_epi8(a, b); }
INLINE vb vb_sub(vb a, vb b) { return _mm_sub_epi8(a, b); }

/* There are no byte shifts: 16-bit ones, less what crossed over from the neighbour. */
INLINE vb vb_shift_right(vb a, int n) { return vb_and(_mm_srli_epi16(a, n), vb_set((uint8_t)(0xFF >> n))); }
INLINE vb vb_shift_left(vb a, int n) { return vb_and(_mm_slli_epi16(a, n), vb_set((uint8_t)(0xFF << n))); }

INLINE vb vb_repeat_4(const uint8_t *from) {
    const __m128i lanes = _mm_set_epi8(3, 3, 3, 3, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0, 0);
    return _mm_shuffle_epi8(_mm_loadu_si32(from), lanes);
}

INLINE vb vb_join_low(vb a, vb b) { return _mm_unpacklo_epi64(a, b); }
INLINE vb vb_join_high(vb a, vb b) { return _mm_unpackhi_epi64(a, b); }

INLINE void vb_stream(void *to, vb v) { _mm_stream_si128((__m128i *)to, v); }
INLINE void stream_fence(void) { _mm_sfence(); }

#endif
