/* Whole numbers, in portable C: the definition that every other back end must meet. They carry the dot products of
 * simd/generic/coded.h.
 *
 * `vw` is 32 bytes of a file, seen as 16 words: byte 2 j is the low half of word j and byte 2 j + 1 the high one,
 * whatever the machine's byte order. Words count as signed where that matters. `vi` is eight 32-bit sums, which wrap
 * around, `vf8` eight floats. */
#pragma once

#include "simd/portable.h"

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

typedef struct vw {
    vb_words a, b;
} vw;

typedef struct vi {
    vf_words a, b;
} vi;

typedef struct vf8 {
    vf_quarter a, b;
} vf8;

INLINE vb_words words_from_bytes(const void *from) {
    vb_words words;
    memcpy(&words, from, sizeof words);
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    words = words << 8 | words >> 8;
#endif
    return words;
}

INLINE vw vw_load(const void *from) {
    return (vw){words_from_bytes(from), words_from_bytes((const uint8_t *)from + 16)};
}

/* Words as a store has left them, in this machine's order; both on a multiple of 32. */
INLINE vw vw_load_words(const void *from) {
    vw v;
    memcpy(&v.a, from, sizeof v.a);
    memcpy(&v.b, (const uint8_t *)from + 16, sizeof v.b);
    return v;
}

INLINE void vw_store(void *to, vw a) {
    memcpy(to, &a.a, sizeof a.a);
    memcpy((uint8_t *)to + 16, &a.b, sizeof a.b);
}

/* 16 bytes, and behind them the same with their high nibbles moved to the low ones. What is then in the high nibbles is
 * not said. */
INLINE vw vw_load_nibbles(const void *from) {
    vb_words words = words_from_bytes(from);
    return (vw){words, words >> 4};
}

/* 16 bytes to words of their own, unsigned or signed. */
INLINE vw vw_load_bytes(const void *from) {
    const uint8_t *bytes = (const uint8_t *)from;
    uint16_t words[16];
    for (int i = 0; i < 16; i++)
        words[i] = bytes[i];
    return vw_load_words(words);
}

INLINE vw vw_load_signed(const void *from) {
    const int8_t *bytes = (const int8_t *)from;
    uint16_t words[16];
    for (int i = 0; i < 16; i++)
        words[i] = (uint16_t)bytes[i];
    return vw_load_words(words);
}

/* Bytes: 255 where the bit of that number is set. */
INLINE vw vw_from_bits(uint32_t bits) {
    vb low = vb_from_bits(bits, 0), high = vb_from_bits(bits, 1);
    return (vw){words_from_bytes(&low), words_from_bytes(&high)};
}

/* Words: table[index], signed; every index is below 16. */
INLINE vw vw_lookup(const int8_t table[16], vw index) {
    uint16_t words[16];
    memcpy(words, &index.a, sizeof index.a);
    memcpy(words + 8, &index.b, sizeof index.b);
    for (int i = 0; i < 16; i++)
        words[i] = (uint16_t)table[words[i]];
    return vw_load_words(words);
}

INLINE vw vw_and(vw a, uint16_t mask) { return (vw){a.a & mask, a.b & mask}; }
INLINE vw vw_or(vw a, vw b) { return (vw){a.a | b.a, a.b | b.b}; }
INLINE vw vw_minus(vw a, int16_t b) { return (vw){a.a - (uint16_t)b, a.b - (uint16_t)b}; }

/* Words that are halves, widened. */
INLINE vf vf_from_halves(vw a) {
    vf v;
    widen_halves(a.a, &v.a, &v.b);
    widen_halves(a.b, &v.c, &v.d);
    return v;
}

/* Every byte on its own. */
INLINE vw vw_minus_bytes(vw a, int8_t b) {
    return (vw){(vb_words)((vb)a.a - vb_set((uint8_t)b)), (vb_words)((vb)a.b - vb_set((uint8_t)b))};
}

INLINE vw vw_shift_right(vw a, int n) { return (vw){a.a >> (uint16_t)n, a.b >> (uint16_t)n}; }
INLINE vw vw_shift_left(vw a, int n) { return (vw){a.a << (uint16_t)n, a.b << (uint16_t)n}; }

/* To the right, with copies of the sign coming in. */
INLINE vw vw_shift_signed(vw a, int n) {
    return (vw){(vb_words)((vb_signed_words)a.a >> (int16_t)n), (vb_words)((vb_signed_words)a.b >> (int16_t)n)};
}

/* Products of neighbours, added: a[2 j] b[2 j] + a[2 j + 1] b[2 j + 1]. Only -32768 four times would not fit. */
INLINE vf_words four_pairs(vb_words words, const int16_t *b) {
#if defined(__SSE2__) /* part of every 64-bit x86, and no compiler finds it */
    return (vf_words)_mm_madd_epi16((__m128i)words, _mm_loadu_si128((const __m128i *)(const void *)b));
#else
    int16_t a[8];
    uint32_t sums[4];
    vf_words found;
    memcpy(a, &words, sizeof a);
    for (int j = 0; j < 4; j++)
        sums[j] = (uint32_t)(a[2 * j] * b[2 * j] + a[2 * j + 1] * b[2 * j + 1]);
    memcpy(&found, sums, sizeof found);
    return found;
#endif
}

/* Sums of neighbours' products with 256 high[16] + low[16]. */
INLINE vi vi_dot(vw words, const int16_t *high, const int16_t *low) {
    return (vi){(four_pairs(words.a, high) << 8) + four_pairs(words.a, low),
                (four_pairs(words.b, high + 8) << 8) + four_pairs(words.b, low + 8)};
}

/* The same of two at once, the second with high[16..31] and low[16..31]. */
INLINE vi vi_dot_2(vw first, vw second, const int16_t *high, const int16_t *low) {
    vi one = vi_dot(first, high, low), two = vi_dot(second, high + 16, low + 16);
    return (vi){one.a + two.a, one.b + two.b};
}

/* Sums of four neighbours' products: of signed bytes from -64 to 64, which come as they are and as words, the even and the
 * odd ones, with 256 high[32] + low[32], high in the order of the words and low in that of the bytes. */
INLINE vi vi_dot_bytes(vw bytes, vw even, vw odd, const int16_t *high, const uint8_t *low) {
    (void)bytes;
    int16_t words[32];
    for (int i = 0; i < 16; i++) {
        words[i] = low[2 * i];
        words[16 + i] = low[2 * i + 1];
    }
    vi one = vi_dot(even, high, words), two = vi_dot(odd, high + 16, words + 16);
    return (vi){one.a + two.a, one.b + two.b};
}

INLINE vf8 vf8_set(float value) {
    vf_quarter v = {value, value, value, value};
    return (vf8){v, v};
}

/* A half of memory. */
INLINE vf8 vf8_set_half(const void *from) {
    uint16_t half;
    memcpy(&half, from, sizeof half);
    return vf8_set(pye_half_to_float(half));
}

/* from[0] in lanes 0-3, from[1] in lanes 4-7. */
INLINE vf8 vf8_set_2(const float *from) { return (vf8){vf8_set(from[0]).a, vf8_set(from[1]).a}; }

INLINE vf8 vf8_load(const float *from) {
    const uint8_t *p = (const uint8_t *)from;
    return (vf8){load_quarter(p), load_quarter(p + 16)};
}

/* The eight bytes of a number, as they lie in memory. */
INLINE vf8 vf8_from_bytes(uint64_t number) {
    uint8_t bytes[8];
    float values[8];
    memcpy(bytes, &number, sizeof number);
    for (int i = 0; i < 8; i++)
        values[i] = (float)bytes[i];
    return vf8_load(values);
}

INLINE void vf8_store(float *to, vf8 v) {
    memcpy(to, &v.a, sizeof v.a);
    memcpy(to + 4, &v.b, sizeof v.b);
}

INLINE vf8 vf8_negative(vf8 x) { return (vf8){-x.a, -x.b}; }
INLINE vf8 vf8_mul(vf8 x, vf8 y) { return (vf8){x.a * y.a, x.b * y.b}; }
INLINE vf8 vf8_add(vf8 x, vf8 y) { return (vf8){x.a + y.a, x.b + y.b}; }
INLINE vf8 vf8_fuse(vf8 x, vf8 y, vf8 z) { return (vf8){fuse_four(x.a, y.a, z.a), fuse_four(x.b, y.b, z.b)}; }

/* Signed sums, rounded to nearest even. */
INLINE vf8 vf8_from_vi(vi a) {
    return (vf8){__builtin_convertvector((vf_bits)a.a, vf_quarter),
                 __builtin_convertvector((vf_bits)a.b, vf_quarter)};
}

/* to[j] += scale v[j], where the scale is a power of two. */
INLINE void vf8_add_scaled(double to[8], vf8 v, double scale) {
    for (int j = 0; j < 4; j++) {
        to[j] += (double)v.a[j] * scale;
        to[4 + j] += (double)v.b[j] * scale;
    }
}
