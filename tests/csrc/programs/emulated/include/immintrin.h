/* Stands in for the compiler's header: SIMDe (https://github.com/simd-everywhere/simde) has functions in plain C for most
 * intrinsics, under their names, and those that its version 0.7.4 lacks are here, lane by lane, as Intel's Intrinsics Guide
 * words them. */
#ifndef PYE_TESTS_EMULATED_IMMINTRIN_H
#define PYE_TESTS_EMULATED_IMMINTRIN_H

#define SIMDE_ENABLE_NATIVE_ALIASES
#include <simde/x86/avx512.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/half.h"

typedef simde__mmask16 __mmask16;

#define _MM_FROUND_NO_EXC SIMDE_MM_FROUND_NO_EXC

/* A function of one vector: `result` of each of n lanes x, which are `lane`. */
#define MAP(type, name, from_type, from_lane, to_lane, n, result)                                                 \
    static inline type name(from_type a) {                                                                        \
        from_lane in[n];                                                                                          \
        to_lane out[n];                                                                                           \
        type made;                                                                                                \
        memcpy(in, &a, sizeof in);                                                                                \
        for (int i = 0; i < (n); i++) {                                                                           \
            from_lane x = in[i];                                                                                  \
            out[i] = (result);                                                                                    \
        }                                                                                                         \
        memcpy(&made, out, sizeof made);                                                                          \
        return made;                                                                                              \
    }
MAP(__m512i, _mm512_cvtepu8_epi32, __m128i, uint8_t, int32_t, 16, x)
MAP(__m512i, _mm512_cvtepi8_epi32, __m128i, int8_t, int32_t, 16, x)
MAP(__m512i, _mm512_cvtepu16_epi32, __m256i, uint16_t, int32_t, 16, x)
MAP(__m512i, _mm512_cvtepi16_epi32, __m256i, int16_t, int32_t, 16, x)
MAP(__m256i, _mm512_cvtepi32_epi16, __m512i, uint32_t, uint16_t, 16, (uint16_t)x)
MAP(__m512, _mm512_cvtepi32_ps, __m512i, int32_t, float, 16, (float)x)
MAP(__m256, _mm512_cvtepi64_ps, __m512i, int64_t, float, 8, (float)x)
MAP(__m256, _mm512_cvtpd_ps, __m512d, double, float, 8, (float)x)
/* SIMDe's leave signalling NaNs as they are. */
MAP(__m512, _mm512_cvtph_ps, __m256i, uint16_t, float, 16, pye_half_to_float(x))
MAP(__m256, half_cvtph_ps, __m128i, uint16_t, float, 8, pye_half_to_float(x))
MAP(__m256i, half_cvtps_ph, __m512, float, uint16_t, 16, pye_half_from_float(x))
#undef MAP
#define _mm_cvtph_ps(a) _mm256_castps256_ps128(half_cvtph_ps(a))
#define _mm256_cvtph_ps(a) half_cvtph_ps(a)
#define _mm512_cvtps_ph(a, rounding) half_cvtps_ph(a) /* to nearest even */

/* SIMDe's round twice. */
#define FUSED(type, name, lane, n, fused, sign)                                                                   \
    static inline type name(type a, type b, type c) {                                                             \
        lane x[n], y[n], z[n];                                                                                    \
        memcpy(x, &a, sizeof x);                                                                                  \
        memcpy(y, &b, sizeof y);                                                                                  \
        memcpy(z, &c, sizeof z);                                                                                  \
        for (int i = 0; i < (n); i++)                                                                             \
            x[i] = fused(x[i], y[i], sign z[i]);                                                                  \
        memcpy(&a, x, sizeof a);                                                                                  \
        return a;                                                                                                 \
    }
FUSED(__m512, fused_mul_add_512, float, 16, fmaf, +)
FUSED(__m512, fused_mul_sub_512, float, 16, fmaf, -)
FUSED(__m256, fused_mul_add_256, float, 8, fmaf, +)
FUSED(__m256d, fused_mul_add_256d, double, 4, fma, +)
#undef FUSED
#undef _mm512_fmadd_ps
#undef _mm512_fmsub_ps
#undef _mm256_fmadd_ps
#undef _mm256_fmadd_pd
#define _mm512_fmadd_ps fused_mul_add_512
#define _mm512_fmsub_ps fused_mul_sub_512
#define _mm256_fmadd_ps fused_mul_add_256
#define _mm256_fmadd_pd fused_mul_add_256d

static inline __m256 _mm512_extractf32x8_ps(__m512 a, int half) {
    float lanes[16];
    memcpy(lanes, &a, sizeof lanes);
    return simde_mm256_loadu_ps(lanes + 8 * half);
}

static inline __m512i _mm512_mulhi_epu16(__m512i a, __m512i b) {
    uint16_t x[32], y[32];
    memcpy(x, &a, sizeof x);
    memcpy(y, &b, sizeof y);
    for (int i = 0; i < 32; i++)
        x[i] = (uint16_t)((uint32_t)x[i] * y[i] >> 16);
    memcpy(&a, x, sizeof x);
    return a;
}

static inline __m512 _mm512_permutevar_ps(__m512 a, __m512i b) {
    float lanes[16], out[16];
    uint32_t chosen[16];
    memcpy(lanes, &a, sizeof lanes);
    memcpy(chosen, &b, sizeof chosen);
    for (int i = 0; i < 16; i++)
        out[i] = lanes[i / 4 * 4 + (chosen[i] & 3)];
    memcpy(&a, out, sizeof out);
    return a;
}

static inline void _mm512_stream_ps(float *to, __m512 a) { memcpy(to, &a, sizeof a); }

#endif
