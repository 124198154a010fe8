/* The 16-lane primitives for x86-64 with AVX2, FMA and F16C. See portable.h for what each operation means. */
#pragma once

#include "simd/x86_loads.h"
#include "simd/x86_words.h"

/* The 16 bytes twice, in both halves of the register: no instruction has to cross the halves when they become floats, and
 * most do their work on 32 bytes at the price of 16. */
typedef __m256i vb;

typedef struct vf {
    __m256 low, high;
} vf;

/* Sums of rows that are in registers at the same time. */
#define VF_SUMS 4

/* ------------------------------------------------------------------------------------------- bytes */

INLINE vb twice(__m128i a) { return _mm256_broadcastsi128_si256(a); }
INLINE vb vb_load(const void *from) { return twice(_mm_loadu_si128((const __m128i *)from)); }

/* A load into all lanes costs no shuffle. */
INLINE __m256i everywhere_4(const void *from) {
    int four;
    __builtin_memcpy(&four, from, sizeof four);
    return _mm256_set1_epi32(four);
}

#if defined(__clang__) /* it would make more shuffles of what is below than this takes */

INLINE vb vb_load_8x2(const void *a, const void *b) { return twice(load_8x2(a, b)); }
INLINE vb vb_load_4x4(const void *a, const void *b, const void *c, const void *d) {
    return twice(load_4x4(a, b, c, d));
}

#else

/* A blend may go to any unit. */
INLINE vb everywhere_8(const void *from) {
    long long eight;
    __builtin_memcpy(&eight, from, sizeof eight);
    return _mm256_set1_epi64x(eight);
}
INLINE vb vb_load_8x2(const void *a, const void *b) {
    return _mm256_blend_epi32(everywhere_8(a), everywhere_8(b), 0xCC);
}

INLINE vb vb_load_4x4(const void *a, const void *b, const void *c, const void *d) {
    vb ab = _mm256_blend_epi32(everywhere_4(a), everywhere_4(b), 0x22);
    vb cd = _mm256_blend_epi32(everywhere_4(c), everywhere_4(d), 0x88);
    return _mm256_blend_epi32(ab, cd, 0xCC);
}

#endif

INLINE vb vb_set(uint8_t value) { return _mm256_set1_epi8((char)value); }
INLINE vb vb_and(vb a, vb b) { return _mm256_and_si256(a, b); }
INLINE vb vb_or(vb a, vb b) { return _mm256_or_si256(a, b); }
INLINE vb vb_xor(vb a, vb b) { return _mm256_xor_si256(a, b); }
INLINE vb vb_and_not(vb a, vb b) { return _mm256_andnot_si256(b, a); }
INLINE vb vb_add(vb a, vb b) { return _mm256_add_epi8(a, b); }
INLINE vb vb_sub(vb a, vb b) { return _mm256_sub_epi8(a, b); }

/* There are no byte shifts: 16-bit ones, less what crossed over from the neighbour. */
INLINE vb vb_shift_right(vb a, int n) { return vb_and(_mm256_srli_epi16(a, n), vb_set((uint8_t)(0xFF >> n))); }
INLINE vb vb_shift_left(vb a, int n) { return vb_and(_mm256_slli_epi16(a, n), vb_set((uint8_t)(0xFF << n))); }

INLINE vb vb_from_bits(uint32_t bits, int half) {
    const vb spread = half ? twice(_mm_set_epi64x(0x0303030303030303, 0x0202020202020202))
                           : twice(_mm_set_epi64x(0x0101010101010101, 0));
    const vb each = _mm256_set1_epi64x((int64_t)0x8040201008040201);
    vb bytes = _mm256_shuffle_epi8(_mm256_set1_epi32((int)bits), spread);
    return _mm256_cmpeq_epi8(_mm256_and_si256(bytes, each), each);
}

INLINE vb vb_join_low(vb a, vb b) { return _mm256_unpacklo_epi64(a, b); }
INLINE vb vb_join_high(vb a, vb b) { return _mm256_unpackhi_epi64(a, b); }
INLINE vb vb_zip_low(vb a, vb b) { return _mm256_unpacklo_epi8(a, b); }
INLINE vb vb_zip_high(vb a, vb b) { return _mm256_unpackhi_epi8(a, b); }
INLINE void vb_store_words(uint16_t to[16], vb low, vb high) {
    vb words = _mm256_blend_epi32(vb_zip_low(low, high), vb_zip_high(low, high), 0xF0);
    _mm256_storeu_si256((__m256i *)to, words);
}
INLINE vb vb_lookup(vb table, vb index) { return _mm256_shuffle_epi8(table, index); }

/* ------------------------------------------------------------------------------------------ floats */

INLINE vf vf_mul(vf a, vf b) { return (vf){_mm256_mul_ps(a.low, b.low), _mm256_mul_ps(a.high, b.high)}; }
INLINE vf vf_div(vf a, vf b) { return (vf){_mm256_div_ps(a.low, b.low), _mm256_div_ps(a.high, b.high)}; }
INLINE vf vf_set(float value) { return (vf){_mm256_set1_ps(value), _mm256_set1_ps(value)}; }

/* Bytes `first` to `first` + 7 to 32-bit lanes, as their lowest or highest byte; 0x80 asks for a zero. */
INLINE __m256 spread_low(vb a, int first) {
    const __m256i lanes = _mm256_setr_epi32((int)0x80808000, (int)0x80808001, (int)0x80808002, (int)0x80808003,
                                            (int)0x80808004, (int)0x80808005, (int)0x80808006, (int)0x80808007);
    vb spread = _mm256_shuffle_epi8(a, _mm256_add_epi32(lanes, _mm256_set1_epi32(first)));
    return _mm256_cvtepi32_ps(spread);
}

INLINE __m256 spread_high(vb a, int first) {
    const __m256i lanes = _mm256_setr_epi32(0x00808080, 0x01808080, 0x02808080, 0x03808080, 0x04808080, 0x05808080,
                                            0x06808080, 0x07808080);
    vb spread = _mm256_shuffle_epi8(a, _mm256_add_epi32(lanes, _mm256_set1_epi32(first << 24)));
    return _mm256_cvtepi32_ps(spread);
}

INLINE vf vf_from_u8(vb a) { return (vf){spread_low(a, 0), spread_low(a, 8)}; }

/* As the highest byte of a lane a signed byte needs no extension, and is 2^24 times too large. */
INLINE vf vf_i8_scale(vf scale) { return vf_mul(scale, vf_set(0x1p-24f)); }
INLINE vf vf_mul_i8(vb a, vf scale) { return vf_mul((vf){spread_high(a, 0), spread_high(a, 8)}, scale); }
INLINE vf vf_from_i8(vb a) { return vf_mul_i8(a, vf_i8_scale(vf_set(1))); }

INLINE vf vf_load_i8(const void *from) {
    const uint8_t *p = (const uint8_t *)from;
    return (vf){_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)p))),
                _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(p + 8))))};
}

INLINE vf vf_load_i16(const void *from) {
    const __m128i *p = (const __m128i *)from;
    return (vf){_mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(_mm_loadu_si128(p))),
                _mm256_cvtepi32_ps(_mm256_cvtepi16_epi32(_mm_loadu_si128(p + 1)))};
}

INLINE vf vf_load_i32(const void *from) {
    const __m256i *p = (const __m256i *)from;
    return (vf){_mm256_cvtepi32_ps(_mm256_loadu_si256(p)), _mm256_cvtepi32_ps(_mm256_loadu_si256(p + 1))};
}

INLINE vf vf_set_half(const void *from) {
    int16_t half;
    __builtin_memcpy(&half, from, sizeof half);
    __m256 wide = _mm256_cvtph_ps(_mm_set1_epi16(half));
    return (vf){wide, wide};
}

INLINE vf vf_set_halves(float low, float high) { return (vf){_mm256_set1_ps(low), _mm256_set1_ps(high)}; }

INLINE vf vf_add(vf a, vf b) { return (vf){_mm256_add_ps(a.low, b.low), _mm256_add_ps(a.high, b.high)}; }

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

INLINE vf vf_from_halves(vw a) {
    return (vf){_mm256_cvtph_ps(_mm256_castsi256_si128(a)), _mm256_cvtph_ps(_mm256_extracti128_si256(a, 1))};
}

INLINE vf vf_load_bfloat(const void *from) {
    const __m128i *p = (const __m128i *)from;
    return (vf){widen_bfloat(_mm_loadu_si128(p)), widen_bfloat(_mm_loadu_si128(p + 1))};
}

INLINE __m256 load_doubles(const double *from) {
    return _mm256_setr_m128(_mm256_cvtpd_ps(_mm256_loadu_pd(from)), _mm256_cvtpd_ps(_mm256_loadu_pd(from + 4)));
}

INLINE vf vf_load_f64(const void *from) {
    const double *p = (const double *)from;
    return (vf){load_doubles(p), load_doubles(p + 8)};
}

/* To float32 by way of doubles, which must not round: of numbers that are longer than a double's significand the last 14 bits
 * become one that tells whether any was set, and the next rounding is the same as without. Each half of a number is then
 * the low bits of a double, 2^52 or 2^84 too large. */
INLINE __m128 round_longs(__m256i a) {
    const __m256i last = _mm256_set1_epi64x(0x3FFF);
    __m256i beyond = _mm256_srli_epi64(_mm256_add_epi64(a, _mm256_set1_epi64x(INT64_C(1) << 51)), 52);
    __m256i any = _mm256_or_si256(a, _mm256_add_epi64(_mm256_and_si256(a, last), last));
    __m256i is_short = _mm256_cmpeq_epi64(beyond, _mm256_setzero_si256());
    __m256i exact = _mm256_blendv_epi8(_mm256_andnot_si256(last, any), a, is_short);
    __m256i high = _mm256_xor_si256(_mm256_srli_epi64(exact, 32), _mm256_set1_epi64x(0x4530000080000000));
    __m256i low = _mm256_blend_epi32(exact, _mm256_set1_epi64x(0x4330000000000000), 0xAA);
    __m256d top = _mm256_sub_pd(_mm256_castsi256_pd(high), _mm256_set1_pd(0x1p84 + 0x1p63 + 0x1p52));
    return _mm256_cvtpd_ps(_mm256_add_pd(top, _mm256_castsi256_pd(low)));
}

INLINE vf vf_load_i64(const void *from) {
    const __m256i *p = (const __m256i *)from;
    return (vf){_mm256_setr_m128(round_longs(_mm256_loadu_si256(p)), round_longs(_mm256_loadu_si256(p + 1))),
                _mm256_setr_m128(round_longs(_mm256_loadu_si256(p + 2)), round_longs(_mm256_loadu_si256(p + 3)))};
}

INLINE vf vf_load_8x2(const float *a, const float *b) { return (vf){_mm256_loadu_ps(a), _mm256_loadu_ps(b)}; }
INLINE vf vf_load_4x4(const float *a, const float *b, const float *c, const float *d) {
    return (vf){_mm256_loadu2_m128(b, a), _mm256_loadu2_m128(d, c)};
}

INLINE vf vf_xor(vf a, vf b) { return (vf){_mm256_xor_ps(a.low, b.low), _mm256_xor_ps(a.high, b.high)}; }

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

/* --------------------------------------------------------------------------- pairs of bits, digits */

/* Pairs in 32-bit lanes, whose two lowest bits choose one of four floats; the others are ignored. */
typedef struct vp {
    __m256i low, high;
} vp;

INLINE vp vp_load(const void *from) {
    const uint8_t *p = (const uint8_t *)from;
    return (vp){_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p)),
                _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(p + 8)))};
}

INLINE vp vp_spread(const uint8_t *four) {
    int32_t bits;
    __builtin_memcpy(&bits, four, sizeof bits);
    const __m256i low = _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14);
    const __m256i high = _mm256_setr_epi32(16, 18, 20, 22, 24, 26, 28, 30);
    __m256i all = _mm256_set1_epi32(bits);
    return (vp){_mm256_srlv_epi32(all, low), _mm256_srlv_epi32(all, high)};
}

INLINE vp vp_load_8x2(const uint16_t *a, const uint16_t *b) {
    int32_t first, second;
    __builtin_memcpy(&first, a, sizeof first);
    __builtin_memcpy(&second, b, sizeof second);
    const __m256i lanes = _mm256_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14);
    return (vp){_mm256_srlv_epi32(_mm256_set1_epi32(first), lanes),
                _mm256_srlv_epi32(_mm256_set1_epi32(second), lanes)};
}

INLINE vp vp_next(vp a) { return (vp){_mm256_srli_epi32(a.low, 2), _mm256_srli_epi32(a.high, 2)}; }

/* One of four floats in each lane. `four` has the same in both halves. */
INLINE vf pick(__m256 four, vp a) {
    return (vf){_mm256_permutevar_ps(four, a.low), _mm256_permutevar_ps(four, a.high)};
}

INLINE __m256 minus_one_to_two(void) { return _mm256_setr_ps(-1, 0, 1, 2, -1, 0, 1, 2); }

INLINE vf vf_mul_centred(vp a, vf scale) { return pick(_mm256_mul_ps(minus_one_to_two(), scale.low), a); }

INLINE vf vf_mul_shifted(vp a, vf shift, vf scale) {
    __m256 low = _mm256_mul_ps(_mm256_add_ps(minus_one_to_two(), shift.low), scale.low);
    __m256 high = _mm256_mul_ps(_mm256_add_ps(minus_one_to_two(), shift.high), scale.high);
    return (vf){_mm256_permutevar_ps(low, a.low), _mm256_permutevar_ps(high, a.high)};
}

INLINE vf vf_mul_sub_pairs(vp a, vf scale, vf minimum) {
    return pick(_mm256_fmsub_ps(_mm256_setr_ps(0, 1, 2, 3, 0, 1, 2, 3), scale.low, minimum.low), a);
}

/* Byte i as the high byte of word 2 i, byte 8 + i as that of word 2 i + 1. */
typedef __m256i vd;

INLINE vd vd_from_bytes(vb a) {
    const __m256i lanes = _mm256_setr_epi32(0x08800080, 0x09800180, 0x0A800280, 0x0B800380, 0x0C800480, 0x0D800580,
                                            0x0E800680, 0x0F800780);
    return _mm256_shuffle_epi8(a, lanes);
}

INLINE vd vd_next(vd a) { return _mm256_mullo_epi16(a, _mm256_set1_epi16(3)); }

INLINE vf vf_mul_digits(vd a, vf scale) {
    __m256i digits = _mm256_mulhi_epu16(a, _mm256_set1_epi16(3));
    return vf_mul_centred((vp){digits, _mm256_srli_epi32(digits, 16)}, scale);
}

/* ------------------------------------------------------------------------ codes of 2 to 6 bits */

/* In the lowest bits of 32-bit lanes; what is above them is not said. */
typedef vp vq;

/* Each lane shifts the four bytes that its code is in to the right. The last four begin early, so as to end where the codes
 * do. */
INLINE vq vq_load(const void *from, int n_bits) {
    const uint8_t *p = (const uint8_t *)from, *last = p + 2 * n_bits - 4;
    const __m256i lanes = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    const __m256i shifts = _mm256_mullo_epi32(lanes, _mm256_set1_epi32(n_bits));
    if (n_bits <= 4)
        return (vq){
            _mm256_srlv_epi32(everywhere_4(p), shifts),
            _mm256_srlv_epi32(everywhere_4(last), _mm256_add_epi32(shifts, _mm256_set1_epi32(8 * (4 - n_bits))))};
    const int second = n_bits / 2; /* byte where lane 4 begins */
    const __m256i fours = _mm256_setr_epi32(0, 0, 0, 0, 1, 1, 1, 1);
    const __m256i low = _mm256_sub_epi32(shifts, _mm256_mullo_epi32(fours, _mm256_set1_epi32(8 * second)));
    const __m256i high = _mm256_sub_epi32(shifts, _mm256_mullo_epi32(fours, _mm256_set1_epi32(8 * (n_bits - 4))));
    return (vq){_mm256_srlv_epi32(_mm256_blend_epi32(everywhere_4(p), everywhere_4(p + second), 0xF0), low),
                _mm256_srlv_epi32(_mm256_blend_epi32(everywhere_4(p + n_bits), everywhere_4(last), 0xF0), high)};
}

INLINE vf vf_from_vq(vq a, int n_bits) {
    const __m256i mask = _mm256_set1_epi32((1 << n_bits) - 1);
    return (vf){_mm256_cvtepi32_ps(_mm256_and_si256(a.low, mask)),
                _mm256_cvtepi32_ps(_mm256_and_si256(a.high, mask))};
}

INLINE __m256 pick_eight(vf table, __m256i a, int n_bits) {
    __m256 low = _mm256_permutevar8x32_ps(table.low, a);
    if (n_bits < 4)
        return low;
    __m256 is_high = _mm256_castsi256_ps(_mm256_slli_epi32(a, 28));
    return _mm256_blendv_ps(low, _mm256_permutevar8x32_ps(table.high, a), is_high);
}

/* One shuffle instead of two, and the sign is the code's highest bit. */
INLINE __m256 pick_eight_signed(__m256 table, __m256i a) {
    __m256 sign = _mm256_and_ps(_mm256_castsi256_ps(_mm256_slli_epi32(a, 28)), _mm256_set1_ps(-0.0f));
    return _mm256_xor_ps(_mm256_permutevar8x32_ps(table, a), sign);
}

INLINE vf vf_pick_signed(vf table, vq a) {
    return (vf){pick_eight_signed(table.low, a.low), pick_eight_signed(table.low, a.high)};
}

INLINE vf vf_pick(vf table, vq a, int n_bits) {
    return (vf){pick_eight(table, a.low, n_bits), pick_eight(table, a.high, n_bits)};
}

/* ----------------------------------------------------------------------------- past the caches */

INLINE void vf_stream(void *to, vf v) {
    float *p = (float *)to;
    if (__builtin_expect((uintptr_t)p % 32 == 0, 1)) {
        _mm256_stream_ps(p, v.low);
        _mm256_stream_ps(p + 8, v.high);
    } else {
        _mm_stream_ps(p, _mm256_castps256_ps128(v.low));
        _mm_stream_ps(p + 4, _mm256_extractf128_ps(v.low, 1));
        _mm_stream_ps(p + 8, _mm256_castps256_ps128(v.high));
        _mm_stream_ps(p + 12, _mm256_extractf128_ps(v.high, 1));
    }
}

INLINE void stream_fence(void) { _mm_sfence(); }
