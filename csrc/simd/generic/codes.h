/* The whole numbers in the blocks of every type that coded.h multiplies, and their scales: the formulas of the decoders
 * beside this file, before a code becomes a float. A minimum is kept apart from the codes. */
#pragma once

#include "simd/generic/coded.h"
#include "simd/generic/iquant.h"
#include "simd/generic/kquant.h"
#include "simd/generic/micro.h"

#define CODES_PREFETCH_BYTES 4096

/* Prefetches what is unpacked next, in this row or another, or beyond the last: a prefetch never faults. */
INLINE void prefetch_later(const void *from, size_t n_bytes) {
    UNROLL
    for (size_t i = 0; i < n_bytes; i += 64)
        __builtin_prefetch((const uint8_t *)from + CODES_PREFETCH_BYTES + i, 0, 3);
}

/* Of each byte the bits of a mask, after a shift to the right, or to the left where that is negative. All bits of the mask
 * come from the same byte. */
INLINE vw field(vw bytes, int shift, uint8_t mask) {
    vw shifted = shift < 0 ? vw_shift_left(bytes, -shift) : shift > 0 ? vw_shift_right(bytes, shift) : bytes;
    return vw_and(shifted, (uint16_t)(mask * 0x0101));
}

/* ------------------------------------------------------------------------------- blocks of 32 */

INLINE void codes_q4_0(const block_q4_0 *block, size_t g, int parity, coded_sink *to, float *minima) {
    (void)minima;
    vw q = vw_load_bytes(block->q);
    emit_words(to, g, parity, vw_minus(vw_and(q, 15), 8), vw_minus(vw_shift_right(q, 4), 8),
               vf8_set_half(block->d));
}

INLINE void codes_q4_1(const block_q4_1 *block, size_t g, int parity, coded_sink *to, float *minima) {
    vw q = vw_load_bytes(block->q);
    emit_words(to, g, parity, vw_and(q, 15), vw_shift_right(q, 4), vf8_set_half(block->d));
    minima[g] = load_half(block->m);
}

INLINE vw five_bits(const uint8_t *q, const uint8_t *high) {
    return vw_or(field(vw_load_nibbles(q), 0, 15), field(vw_from_bits(load_u32(high)), 0, 16));
}

INLINE void codes_q5_0(const block_q5_0 *block, size_t g, int parity, coded_sink *to, float *minima) {
    (void)minima;
    vw bytes = vw_minus_bytes(five_bits(block->q, block->high), 16);
    emit_bytes(to, g, parity, bytes, vf8_set_half(block->d));
}

INLINE void codes_q5_1(const block_q5_1 *block, size_t g, int parity, coded_sink *to, float *minima) {
    emit_bytes(to, g, parity, five_bits(block->q, block->high), vf8_set_half(block->d));
    minima[g] = load_half(block->m);
}

INLINE void codes_q8_0(const block_q8_0 *block, size_t g, int parity, coded_sink *to, float *minima) {
    (void)parity, (void)minima;
    emit_wide_words(to, g, vw_load_signed(block->q), vw_load_signed(block->q + 16), vf8_set_half(block->d));
}

INLINE void codes_iq4_nl(const block_iq4_nl *block, size_t g, int parity, coded_sink *to, float *minima) {
    (void)parity, (void)minima;
    vw q = vw_load_bytes(block->q);
    emit_wide_words(to, g, vw_lookup(iq4_values, vw_and(q, 15)), vw_lookup(iq4_values, vw_shift_right(q, 4)),
                    vf8_set_half(block->d));
}

INLINE void codes_mxfp4(const block_mxfp4 *block, size_t g, int parity, coded_sink *to, float *minima) {
    (void)minima;
    vw q = vw_load_bytes(block->q);
    emit_words(to, g, parity, vw_lookup(e2m1_doubled, vw_and(q, 15)),
               vw_lookup(e2m1_doubled, vw_shift_right(q, 4)), vf8_set(pye_e8m0_halved[block->e]));
}

#define UNPACK_32(name)                                                                                           \
    INLINE void unpack_##name(const uint8_t *from, size_t n_columns, coded_sink *to, float *minima) {             \
        const block_##name *block = (const block_##name *)(const void *)from;                                     \
        size_t g = 0;                                                                                             \
        for (; 32 * g + 64 <= n_columns; g += 2) {                                                                \
            prefetch_later(block + g, sizeof *block);                                                             \
            codes_##name(block + g, g, 0, to, minima);                                                            \
            codes_##name(block + g + 1, g + 1, 1, to, minima);                                                    \
        }                                                                                                         \
        if (32 * g < n_columns)                                                                                   \
            codes_##name(block + g, g, 0, to, minima);                                                            \
    }
UNPACK_32(q4_0)
UNPACK_32(q4_1)
UNPACK_32(q5_0)
UNPACK_32(q5_1)
UNPACK_32(q8_0)
UNPACK_32(iq4_nl)
UNPACK_32(mxfp4)
#undef UNPACK_32

/* ------------------------------------------------------------------------------ blocks of 256 */

/* Each hands out eight groups, k of them, from group g of the block of columns on. */

INLINE void codes_q2_k(const block_q2_k *block, size_t g, coded_sink *to, float *minima) {
    float scale[16];
    vb s = vb_load(block->s);
    store_scales(scale, vf_mul(vf_from_u8(low_nibbles(s)), vf_set_half(block->d)));
    vf_store(minima + 2 * g, vf_mul(vf_from_u8(high_nibbles(s)), vf_set(-load_half(block->dm))));
    UNROLL
    for (int k = 0; k < 8; k++) {
        vw plane = field(vw_load(block->q + 32 * (k / 4)), 2 * (k % 4), 3);
        emit_bytes(to, g + (size_t)k, k % 2, plane, vf8_set_2(scale + 2 * k));
    }
}

INLINE void codes_q3_k(const block_q3_k *block, size_t g, coded_sink *to, float *minima) {
    (void)minima;
    float scale[16];
    store_scales(scale, vf_mul(vf_from_i8(q3_k_scales(block->s)), vf_set_half(block->d)));
    vw mask = vw_load(block->mask);
    UNROLL
    for (int k = 0; k < 8; k++) {
        vw low = field(vw_load(block->q + 32 * (k / 4)), 2 * (k % 4), 3);
        vw bytes = vw_minus_bytes(vw_or(low, field(mask, k - 2, 4)), 4);
        emit_bytes(to, g + (size_t)k, k % 2, bytes, vf8_set_2(scale + 2 * k));
    }
}

/* Scales and, below zero, minima of eight groups. */
INLINE void store_q4_k_scales(const uint8_t *s, const uint8_t *d, const uint8_t *dm, float scale[8],
                              float minima[8]) {
    uint64_t bytes[2];
    q4_k_scale_bytes(s, bytes);
    vf8_store(scale, vf8_mul(vf8_from_bytes(bytes[0]), vf8_set_half(d)));
    vf8_store(minima, vf8_mul(vf8_from_bytes(bytes[1]), vf8_negative(vf8_set_half(dm))));
    KEEP_IN_MEMORY(scale, 8);
}

INLINE void codes_q4_k(const block_q4_k *block, size_t g, coded_sink *to, float *minima) {
    float scale[8];
    store_q4_k_scales(block->s, block->d, block->dm, scale, minima + g);
    UNROLL
    for (int k = 0; k < 8; k += 2) {
        vw a = vw_load_bytes(block->q + 16 * k), b = vw_load_bytes(block->q + 16 * k + 16);
        emit_words(to, g + (size_t)k, 0, vw_and(a, 15), vw_and(b, 15), vf8_set(scale[k]));
        emit_words(to, g + (size_t)k + 1, 1, vw_shift_right(a, 4), vw_shift_right(b, 4), vf8_set(scale[k + 1]));
    }
}

INLINE void codes_q5_k(const block_q5_k *block, size_t g, coded_sink *to, float *minima) {
    float scale[8];
    store_q4_k_scales(block->s, block->d, block->dm, scale, minima + g);
    vw high = vw_load(block->high);
    UNROLL
    for (int k = 0; k < 8; k++) {
        vw nibbles = field(vw_load(block->q + 32 * (k / 2)), 4 * (k % 2), 15);
        emit_bytes(to, g + (size_t)k, k % 2, vw_or(nibbles, field(high, k - 4, 16)), vf8_set(scale[k]));
    }
}

INLINE void codes_q6_k(const block_q6_k *block, size_t g, coded_sink *to, float *minima) {
    (void)minima;
    float scale[16];
    store_scales(scale, vf_mul(vf_from_i8(vb_load(block->s)), vf_set_half(block->d)));
    UNROLL
    for (int k = 0; k < 8; k++) {
        int half = k / 4, plane = k % 4;
        vw low = field(vw_load(block->low + 64 * half + 32 * (plane % 2)), 4 * (plane / 2), 15);
        vw high = field(vw_load(block->high + 32 * half), 2 * plane - 4, 0x30);
        vw bytes = vw_minus_bytes(vw_or(low, high), 32);
        emit_bytes(to, g + (size_t)k, k % 2, bytes, vf8_set_2(scale + 2 * k));
    }
}

#define UNPACK_256(name)                                                                                          \
    INLINE void unpack_##name(const uint8_t *from, size_t n_columns, coded_sink *to, float *minima) {             \
        const block_##name *block = (const block_##name *)(const void *)from;                                     \
        for (size_t g = 0; 32 * g < n_columns; g += 8, block++) {                                                 \
            prefetch_later(block, sizeof *block);                                                                 \
            codes_##name(block, g, to, minima);                                                                   \
        }                                                                                                         \
    }
UNPACK_256(q2_k)
UNPACK_256(q3_k)
UNPACK_256(q4_k)
UNPACK_256(q5_k)
UNPACK_256(q6_k)
#undef UNPACK_256
