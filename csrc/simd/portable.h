/* The 16-lane primitives in portable C, with the vector extensions of GCC and Clang: the definition that every other back
 * end must meet bit for bit. Decoders and dot products (generic/) are written in them alone.
 *
 *     vb    16 bytes                                  vw    16 words of 16 bits, for codes
 *     vf    16 floats                                 vi    8 sums of 32 bits
 *     vp    16 pairs of bits                          vf8   8 floats, for scales and sums
 *     vd    16 fractions, to base-3 digits             vr    one register of floats, VR_LANES of them
 *     vq    16 codes of 2 to 6 bits
 *
 * A name is vector, operation and, where there are several, what it works on: vf_load_half widens 16 halves of memory. vb,
 * vf and vr are defined here, vw, vi and vf8 in portable_words.h, vp, vd and vq in generic/byte_codes.h. How many registers
 * a vector fills, and how its lanes lie in them, is up to the back end.
 *
 * Loops over the lanes are left to the compiler to vectorise. Loads and stores take any address. In every decoder the
 * product of vf_mul_add and vf_mul_sub is exact, so that a back end may fuse them. */
#pragma once

#include <stdbool.h>
#include <string.h>

#include "base/half.h"
#include "simd/inline.h"

typedef uint8_t vb __attribute__((vector_size(16)));
typedef int8_t vb_signed __attribute__((vector_size(16)));
typedef uint16_t vb_words __attribute__((vector_size(16)));
typedef int16_t vb_signed_words __attribute__((vector_size(16)));
typedef float vf_quarter __attribute__((vector_size(16)));
typedef int32_t vf_bits __attribute__((vector_size(16)));
typedef uint32_t vf_words __attribute__((vector_size(16)));
typedef uint64_t vb_halves __attribute__((vector_size(16)));

typedef struct vf {
    vf_quarter a, b, c, d;
} vf;

/* Sums of rows that are in registers at the same time. */
#define VF_SUMS 4

#define EACH_LANE for (int i = 0; i < 16; i++)

/* The low halves of two vectors in turn, lane 0 of both first, and the high halves. Compilers of today make one
 * instruction of it on every processor that has one. */
#if defined(__has_builtin)
#if __has_builtin(__builtin_shufflevector)
#define SHUFFLE(mask, a, b, ...) __builtin_shufflevector(a, b, __VA_ARGS__)
#endif
#endif
#ifndef SHUFFLE /* GCC before 12 */
#define SHUFFLE(mask, a, b, ...) __builtin_shuffle(a, b, (mask){__VA_ARGS__})
#endif
#define LOW_BYTES(a, b) SHUFFLE(vb, a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define HIGH_BYTES(a, b) SHUFFLE(vb, a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
#define LOW_WORDS(a, b) SHUFFLE(vb_words, a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define HIGH_WORDS(a, b) SHUFFLE(vb_words, a, b, 4, 12, 5, 13, 6, 14, 7, 15)

/* A lane of twice the width from its low and its high half, for the first and for the last lanes. */
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define FIRST_WORDS(low, high) ((vb_words)LOW_BYTES(high, low))
#define LAST_WORDS(low, high) ((vb_words)HIGH_BYTES(high, low))
#define FIRST_FLOATS(low, high) ((vf_quarter)LOW_WORDS(high, low))
#define LAST_FLOATS(low, high) ((vf_quarter)HIGH_WORDS(high, low))
#else
#define FIRST_WORDS(low, high) ((vb_words)LOW_BYTES(low, high))
#define LAST_WORDS(low, high) ((vb_words)HIGH_BYTES(low, high))
#define FIRST_FLOATS(low, high) ((vf_quarter)LOW_WORDS(low, high))
#define LAST_FLOATS(low, high) ((vf_quarter)HIGH_WORDS(low, high))
#endif

/* ------------------------------------------------------------------------------------------- bytes */

INLINE vb vb_load(const void *from) {
    vb v;
    memcpy(&v, from, sizeof v);
    return v;
}

/* Lanes 0-7 and 8-15 from two places. Here and below vectors are built in registers: a load of what several stores
 * wrote would have to wait for them. */
INLINE vb vb_load_8x2(const void *a, const void *b) {
    uint64_t low, high;
    memcpy(&low, a, 8);
    memcpy(&high, b, 8);
    return (vb)(vb_halves){low, high};
}

/* Lanes 0-3, 4-7, 8-11 and 12-15 from four places. */
INLINE vb vb_load_4x4(const void *a, const void *b, const void *c, const void *d) {
    uint32_t quarters[4];
    memcpy(&quarters[0], a, 4);
    memcpy(&quarters[1], b, 4);
    memcpy(&quarters[2], c, 4);
    memcpy(&quarters[3], d, 4);
    return (vb)(vf_words){quarters[0], quarters[1], quarters[2], quarters[3]};
}

INLINE vb vb_set(uint8_t value) { return (vb){0} + value; }
INLINE vb vb_and(vb a, vb b) { return a & b; }
INLINE vb vb_or(vb a, vb b) { return a | b; }
INLINE vb vb_xor(vb a, vb b) { return a ^ b; }
INLINE vb vb_and_not(vb a, vb b) { return a & ~b; }
INLINE vb vb_add(vb a, vb b) { return a + b; }
INLINE vb vb_sub(vb a, vb b) { return a - b; }

/* Many machines shift 16-bit lanes but no bytes: what crossed over from the neighbour is masked out. */
INLINE vb vb_shift_right(vb a, int n) { return (vb)((vb_words)a >> (uint16_t)n) & vb_set((uint8_t)(0xFF >> n)); }
INLINE vb vb_shift_left(vb a, int n) { return (vb)((vb_words)a << (uint16_t)n) & vb_set((uint8_t)(0xFF << n)); }

/* Each of four bytes in four lanes: 0 0 0 0 1 1 1 1 2 2 2 2 3 3 3 3. */
INLINE vb vb_repeat_4(const uint8_t *from) {
    vb bytes = vb_load_4x4(from, from, from, from);
    vb twice = LOW_BYTES(bytes, bytes);
    return (vb)LOW_WORDS((vb_words)twice, (vb_words)twice);
}

/* 255 in the lanes whose bit is set, of the low half or of the high half of all. */
INLINE vb vb_from_bits(uint32_t all, int half) {
    uint32_t bits = all >> (16 * half);
    vb bit = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    vb_halves halves = {(bits & 255) * UINT64_C(0x0101010101010101),
                        (bits >> 8 & 255) * UINT64_C(0x0101010101010101)};
    return (vb)(((vb)halves & bit) == bit);
}

/* 255 in the lanes where a >= b, unsigned. */
INLINE vb vb_at_least(vb a, vb b) { return (vb)(a >= b); }

/* Lanes 0-7 of a, then lanes 0-7 of b. */
INLINE vb vb_join_low(vb a, vb b) { return vb_load_8x2(&a, &b); }

/* Lanes 8-15 of a, then lanes 8-15 of b. */
INLINE vb vb_join_high(vb a, vb b) { return vb_load_8x2((const uint8_t *)&a + 8, (const uint8_t *)&b + 8); }

/* Lanes 0-7, and lanes 8-15, of a and b in turn. */
INLINE vb vb_zip_low(vb a, vb b) { return LOW_BYTES(a, b); }
INLINE vb vb_zip_high(vb a, vb b) { return HIGH_BYTES(a, b); }

/* low + 256 high of each lane: indices into tables. */
INLINE void vb_store_words(uint16_t to[16], vb low, vb high) {
    vb_words first = FIRST_WORDS(low, high), last = LAST_WORDS(low, high);
    memcpy(to, &first, sizeof first);
    memcpy(to + 8, &last, sizeof last);
}

/* table[index] of each lane; every index is below 16. */
INLINE vb vb_lookup(vb table, vb index) {
    vb found = {0};
    UNROLL
    for (int i = 0; i < 16; i++)
        found |= (vb)(index == (uint8_t)i) & vb_set(table[i]);
    return found;
}

/* ------------------------------------------------------------------------------------------ floats */

INLINE vf_quarter load_quarter(const uint8_t *from) {
    vf_quarter v;
    memcpy(&v, from, sizeof v);
    return v;
}

INLINE vf vf_load(const void *from) {
    const uint8_t *p = (const uint8_t *)from;
    return (vf){load_quarter(p), load_quarter(p + 16), load_quarter(p + 32), load_quarter(p + 48)};
}

/* Lanes 0-7 and 8-15 from two places; lanes 0-3, 4-7, 8-11 and 12-15 from four. */
INLINE vf vf_load_8x2(const float *a, const float *b) {
    const uint8_t *p = (const uint8_t *)a, *q = (const uint8_t *)b;
    return (vf){load_quarter(p), load_quarter(p + 16), load_quarter(q), load_quarter(q + 16)};
}

INLINE vf vf_load_4x4(const float *a, const float *b, const float *c, const float *d) {
    return (vf){load_quarter((const uint8_t *)a), load_quarter((const uint8_t *)b),
                load_quarter((const uint8_t *)c), load_quarter((const uint8_t *)d)};
}

/* The bits of x that differ from those of y: where y is minus zero, x with the other sign. */
INLINE vf vf_xor(vf x, vf y) {
    return (vf){(vf_quarter)((vf_bits)x.a ^ (vf_bits)y.a), (vf_quarter)((vf_bits)x.b ^ (vf_bits)y.b),
                (vf_quarter)((vf_bits)x.c ^ (vf_bits)y.c), (vf_quarter)((vf_bits)x.d ^ (vf_bits)y.d)};
}

/* A quarter at a time: of the whole struct compilers would keep a copy on the stack. */
INLINE void vf_store(void *to, vf v) {
    uint8_t *p = (uint8_t *)to;
    memcpy(p, &v.a, sizeof v.a);
    memcpy(p + 16, &v.b, sizeof v.b);
    memcpy(p + 32, &v.c, sizeof v.c);
    memcpy(p + 48, &v.d, sizeof v.d);
}

/* Bytes as floats, less `offset`: as the low bits of 2^23 they need no conversion, and the difference is exact. */
INLINE vf floats_of_bytes(vb a, float offset) {
    vb_words first = FIRST_WORDS(a, (vb){0}), last = LAST_WORDS(a, (vb){0});
    vb_words exponent = (vb_words){0} + 0x4B00;
    vf_quarter less = {offset, offset, offset, offset};
    return (vf){FIRST_FLOATS(first, exponent) - less, LAST_FLOATS(first, exponent) - less,
                FIRST_FLOATS(last, exponent) - less, LAST_FLOATS(last, exponent) - less};
}

INLINE vf vf_from_u8(vb a) { return floats_of_bytes(a, 0x1p23f); }
INLINE vf vf_from_i8(vb a) { return floats_of_bytes(vb_xor(a, vb_set(0x80)), 0x1p23f + 128); }

/* 16 signed bytes of memory. */
INLINE vf vf_load_i8(const void *from) { return vf_from_i8(vb_load(from)); }

/* 16 whole numbers of 16 and of 32 bits, the latter rounded to nearest even. */
INLINE vf vf_load_i32(const void *from) {
    vf_bits v[4];
    memcpy(v, from, sizeof v);
    return (vf){__builtin_convertvector(v[0], vf_quarter), __builtin_convertvector(v[1], vf_quarter),
                __builtin_convertvector(v[2], vf_quarter), __builtin_convertvector(v[3], vf_quarter)};
}

INLINE vf vf_load_i16(const void *from) {
    vb_words zero = {0}, first, last;
    memcpy(&first, from, sizeof first);
    memcpy(&last, (const uint8_t *)from + sizeof first, sizeof last);
    /* As the high half of a lane, and then moved down with its sign. */
    vf_bits wide[4] = {(vf_bits)FIRST_FLOATS(zero, first) >> 16, (vf_bits)LAST_FLOATS(zero, first) >> 16,
                       (vf_bits)FIRST_FLOATS(zero, last) >> 16, (vf_bits)LAST_FLOATS(zero, last) >> 16};
    return vf_load_i32(wide);
}

/* 16 doubles and 16 whole numbers of 64 bits, rounded to nearest even, once. */
#define LOAD_ROUNDED(name, number)                                                                                \
    INLINE vf name(const void *from) {                                                                            \
        number values[16];                                                                                        \
        float rounded[16];                                                                                        \
        memcpy(values, from, sizeof values);                                                                      \
        EACH_LANE rounded[i] = (float)values[i];                                                                  \
        return vf_load(rounded);                                                                                  \
    }
LOAD_ROUNDED(vf_load_f64, double)
LOAD_ROUNDED(vf_load_i64, int64_t)
#undef LOAD_ROUNDED

INLINE vf vf_set(float value) {
    vf_quarter v = {value, value, value, value};
    return (vf){v, v, v, v};
}

/* One half to float: a block's scale, which is hardly ever anything but a normal number. */
INLINE float half_to_float(uint16_t half) {
    uint32_t magnitude = half & 0x7FFFu;
    if (__builtin_expect(magnitude - 0x0400u < 0x7800u, 1))
        return pye_float_from_bits((half & 0x8000u) << 16 | ((magnitude << 13) + ((127u - 15u) << 23)));
    return pye_half_to_float(half);
}

/* A half of memory in all lanes. */
INLINE vf vf_set_half(const void *from) {
    uint16_t half;
    memcpy(&half, from, sizeof half);
    return vf_set(half_to_float(half));
}

/* `low` in lanes 0-7, `high` in lanes 8-15. */
INLINE vf vf_set_halves(float low, float high) {
    vf_quarter a = {low, low, low, low}, b = {high, high, high, high};
    return (vf){a, a, b, b};
}

INLINE vf vf_add(vf x, vf y) { return (vf){x.a + y.a, x.b + y.b, x.c + y.c, x.d + y.d}; }
INLINE vf vf_mul(vf x, vf y) { return (vf){x.a * y.a, x.b * y.b, x.c * y.c, x.d * y.d}; }
INLINE vf vf_div(vf x, vf y) { return (vf){x.a / y.a, x.b / y.b, x.c / y.c, x.d / y.d}; }

/* Signed bytes times a scale, which vf_i8_scale has made ready for it. Scales other than zero are at least 2^-102, so that
 * a back end may move a power of two from one factor to the other. */
INLINE vf vf_i8_scale(vf scale) { return scale; }
INLINE vf vf_mul_i8(vb a, vf scale) { return vf_mul(vf_from_i8(a), scale); }

/* x y + z */
INLINE vf vf_mul_add(vf x, vf y, vf z) { return vf_add(vf_mul(x, y), z); }

/* x y - z */
INLINE vf vf_mul_sub(vf x, vf y, vf z) {
    return (vf){x.a * y.a - z.a, x.b * y.b - z.b, x.c * y.c - z.c, x.d * y.d - z.d};
}

#if defined(__FP_FAST_FMAF)

INLINE vf_quarter fuse_four(vf_quarter x, vf_quarter y, vf_quarter z) {
    for (int i = 0; i < 4; i++)
        z[i] = __builtin_fmaf(x[i], y[i], z[i]);
    return z;
}

#else

typedef float two_floats __attribute__((vector_size(8)));
typedef double two_doubles __attribute__((vector_size(16)));
typedef int64_t two_longs __attribute__((vector_size(16)));

/* Where there is no instruction for it: the product is exact in float64; the sum is rounded to odd, so that rounding it
 * again, to float32, gives what one rounding gives (Boldo and Melquiond, "Emulation of a FMA and correctly rounded sums",
 * IEEE Transactions on Computers 57, 2008). Its error is exact too (Knuth's TwoSum); it is not a number where the sum is
 * infinite or none, and then nothing is changed. */
INLINE two_floats fuse_two(two_floats x, two_floats y, two_floats z) {
    two_doubles product = __builtin_convertvector(x, two_doubles) * __builtin_convertvector(y, two_doubles);
    two_doubles addend = __builtin_convertvector(z, two_doubles);
    two_doubles sum = product + addend;
    two_doubles rest = sum - product;
    two_doubles error = (product - (sum - rest)) + (addend - rest);
    two_longs above = error < 0, below = error > 0, is_negative = sum < 0;
    two_longs too_large =
        (above & ~is_negative) | (below & is_negative); /* in magnitude: a step back towards zero */
    two_longs odd = ((two_longs)sum + too_large) | ((above | below) & 1);
    return __builtin_convertvector((two_doubles)odd, two_floats);
}

INLINE vf_quarter fuse_four(vf_quarter x, vf_quarter y, vf_quarter z) {
    two_floats a[2], b[2], c[2];
    memcpy(a, &x, sizeof x);
    memcpy(b, &y, sizeof y);
    memcpy(c, &z, sizeof z);
    c[0] = fuse_two(a[0], b[0], c[0]);
    c[1] = fuse_two(a[1], b[1], c[1]);
    memcpy(&z, c, sizeof z);
    return z;
}

#endif

/* x y + z with one rounding, whatever the product. */
INLINE vf vf_fuse(vf x, vf y, vf z) {
    return (vf){fuse_four(x.a, y.a, z.a), fuse_four(x.b, y.b, z.b), fuse_four(x.c, y.c, z.c),
                fuse_four(x.d, y.d, z.d)};
}

/* The sum of all lanes, in halves: l and l + 8, l and l + 4, l and l + 2, l and l + 1. */
INLINE float vf_sum(vf v) {
    vf_quarter four = (v.a + v.c) + (v.b + v.d);
    return (four[0] + four[2]) + (four[1] + four[3]);
}

INLINE vf_quarter select_four(uint32_t bits, vf_quarter set, vf_quarter clear) {
    vf_bits each = {1, 2, 4, 8};
    vf_bits all = (vf_bits){0} + (int32_t)bits;
    vf_bits mask = (all & each) == each;
    return (vf_quarter)(((vf_bits)set & mask) | ((vf_bits)clear & ~mask));
}

/* Lane i from `set` where bit i is 1, else from `clear`. */
INLINE vf vf_select(uint32_t bits, vf set, vf clear) {
    return (vf){select_four(bits, set.a, clear.a), select_four(bits >> 4, set.b, clear.b),
                select_four(bits >> 8, set.c, clear.c), select_four(bits >> 12, set.d, clear.d)};
}

/* table[index] of each lane; every index is below 16. */
INLINE vf vf_lookup(vf table, vb index) {
    float from[16];
    uint64_t at[2];
    vf_store(from, table);
    memcpy(at, &index, sizeof at);
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
#define FOUND(i) from[at[(i) / 8] >> (56 - 8 * ((i) % 8)) & 15]
#else
#define FOUND(i) from[at[(i) / 8] >> 8 * ((i) % 8) & 15]
#endif
    return (vf){{FOUND(0), FOUND(1), FOUND(2), FOUND(3)},
                {FOUND(4), FOUND(5), FOUND(6), FOUND(7)},
                {FOUND(8), FOUND(9), FOUND(10), FOUND(11)},
                {FOUND(12), FOUND(13), FOUND(14), FOUND(15)}};
#undef FOUND
}

/* pye_half_to_float, eight at a time, in 16-bit lanes as far as that goes. The exponent gets the other bias; a subnormal
 * half gets one more, which makes it 2^-14 too large, and the difference is exact. */
INLINE void widen_halves(vb_words half, vf_quarter *first, vf_quarter *last) {
    vb_words magnitude = half & 0x7FFF;
    vb_words is_normal = (vb_words)((vb_signed_words)magnitude > 0x03FF);
    vb_words is_special = (vb_words)((vb_signed_words)magnitude > 0x7BFF);
    vb_words is_nan = (vb_words)((vb_signed_words)magnitude > 0x7C00);
    vb_words zero = {0}, excess = ~is_normal & 0x3880;
    vb_words low = half << 13, high = (magnitude >> 3) + (excess | 0x3800);
    vb_words top = (half & 0x8000) | (is_special & 0x7F80) | (is_nan & 0x0040);
    vf_quarter a = FIRST_FLOATS(low, high) - FIRST_FLOATS(zero, excess);
    vf_quarter b = LAST_FLOATS(low, high) - LAST_FLOATS(zero, excess);
    *first = (vf_quarter)((vf_bits)a | (vf_bits)FIRST_FLOATS(zero, top));
    *last = (vf_quarter)((vf_bits)b | (vf_bits)LAST_FLOATS(zero, top));
}

INLINE vf vf_load_half(const void *from) {
    vb_words a, b;
    vf v;
    memcpy(&a, from, sizeof a);
    memcpy(&b, (const uint8_t *)from + sizeof a, sizeof b);
    widen_halves(a, &v.a, &v.b);
    widen_halves(b, &v.c, &v.d);
    return v;
}

INLINE vf vf_load_bfloat(const void *from) {
    vb_words zero = {0}, first, last;
    memcpy(&first, from, sizeof first);
    memcpy(&last, (const uint8_t *)from + 16, sizeof last);
    return (vf){FIRST_FLOATS(zero, first), LAST_FLOATS(zero, first), FIRST_FLOATS(zero, last),
                LAST_FLOATS(zero, last)};
}

/* pye_half_from_float, four at a time. */
INLINE vf_bits narrow_to_halves(vf_quarter v) {
    vf_bits bits = (vf_bits)v, sign = (bits >> 16) & 0x8000, magnitude = bits & 0x7FFFFFFF;
    /* Unsigned, because compilers add in an order of their own, in which the greatest NaN overflows. */
    vf_words words = (vf_words)magnitude;
    vf_bits normal = (vf_bits)(words - ((127u - 15u) << 23) + 0x0FFFu + ((words >> 13) & 1u)) >> 13;
    vf_bits subnormal = (vf_bits)((vf_quarter)magnitude + 0.5f) - 0x3F000000;
    vf_bits nan = ((magnitude >> 13) & 0x03FF) | 0x7E00;
    vf_bits is_small = magnitude < 0x38800000, is_large = magnitude > 0x477FEFFF, is_nan = magnitude > 0x7F800000;
    vf_bits half = (subnormal & is_small) | (normal & ~(is_small | is_large)) | (0x7C00 & (is_large & ~is_nan)) |
                   (nan & is_nan);
    return half | sign;
}

/* pye_bfloat_from_float, four at a time. */
INLINE vf_bits narrow_to_bfloats(vf_quarter v) {
    vf_bits bits = (vf_bits)v, top = (bits >> 16) & 0xFFFF, is_nan = (bits & 0x7FFFFFFF) > 0x7F800000;
    /* Infinity may be rounded like a number, but a NaN could overflow into the sign. */
    vf_bits rounded = (vf_bits)((vf_words)bits + 0x7FFF + ((vf_words)top & 1)) >> 16 & 0xFFFF;
    return (rounded & ~is_nan) | ((top | 0x0040) & is_nan);
}

/* The low halves of 32-bit lanes. */
INLINE void store_low_words(void *to, vf_bits a, vf_bits b, vf_bits c, vf_bits d) {
    int32_t wide[16];
    uint16_t words[16];
    memcpy(wide, &a, 16);
    memcpy(wide + 4, &b, 16);
    memcpy(wide + 8, &c, 16);
    memcpy(wide + 12, &d, 16);
    EACH_LANE words[i] = (uint16_t)wide[i];
    memcpy(to, words, sizeof words);
}

INLINE void vf_store_half(void *to, vf v) {
    store_low_words(to, narrow_to_halves(v.a), narrow_to_halves(v.b), narrow_to_halves(v.c),
                    narrow_to_halves(v.d));
}

INLINE void vf_store_bfloat(void *to, vf v) {
    store_low_words(to, narrow_to_bfloats(v.a), narrow_to_bfloats(v.b), narrow_to_bfloats(v.c),
                    narrow_to_bfloats(v.d));
}

/* One register of floats, for loops that need them all: VR_LANES is 4, 8 or 16. */
typedef vf_quarter vr;
#define VR_LANES 4
INLINE vr vr_zero(void) { return (vr){0}; }
INLINE vr vr_load(const float *from) { return load_quarter((const uint8_t *)from); }
INLINE void vr_store(float *to, vr v) { memcpy(to, &v, sizeof v); }
INLINE vr vr_fuse(vr a, vr b, vr c) { return fuse_four(a, b, c); }

/* ----------------------------------------------------------------------------- past the caches */

/* A store, to a multiple of PYE_STREAM_ALIGNMENT, that need not stay in any cache. */
INLINE void vf_stream(void *to, vf v) { vf_store(to, v); }

/* Makes them visible to other threads in the order of the program. */
INLINE void stream_fence(void) {}

#undef EACH_LANE
