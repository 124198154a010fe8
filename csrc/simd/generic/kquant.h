/* K types: 256 weights, scales that are themselves quantised. Every product is exact, see docs/architecture.md. */
#pragma once

#include "simd/generic/decoder.h"

/* Plane g of two-bit planes: two bits at 2 g of each byte. */
INLINE vb two_bits(const uint8_t *q, int g) { return vb_and(vb_shift_right(vb_load(q), 2 * g), vb_set(3)); }

/* (d lo) c - (dm hi), scales by 16 elements */
INLINE void decode_q2_k(const block_q2_k *block, float *to, vf_put put) {
    float scale[16], minimum[16];
    vb s = vb_load(block->s);
    store_scales(scale, vf_mul(vf_from_u8(low_nibbles(s)), vf_set_half(block->d)));
    store_scales(minimum, vf_mul(vf_from_u8(high_nibbles(s)), vf_set_half(block->dm)));
    for (int half = 0; half < 2; half++) {
        vp first = vp_load(block->q + 32 * half), second = vp_load(block->q + 32 * half + 16);
        UNROLL
        for (int plane = 0; plane < 4; plane++) { /* twice 16 elements */
            int k = 8 * half + 2 * plane;
            put(to + 16 * k, vf_mul_sub_pairs(first, vf_set(scale[k]), vf_set(minimum[k])));
            put(to + 16 * k + 16, vf_mul_sub_pairs(second, vf_set(scale[k + 1]), vf_set(minimum[k + 1])));
            first = vp_next(first);
            second = vp_next(second);
        }
    }
}

/* The 6-bit scales of q3_k, less 32. Their low nibbles are s[0..7], low nibbles first; two-bit plane p of s[8..11] holds
 * the top bits of scales 4 p .. 4 p + 3. */
INLINE vb q3_k_scales(const uint8_t *s) {
    vb nibbles = vb_load_8x2(s, s);
    vb low = vb_join_low(low_nibbles(nibbles), high_nibbles(nibbles));
    uint32_t top = load_u32(s + 8);
    uint32_t plane[4];
    for (int p = 0; p < 4; p++)
        plane[p] = (top >> (2 * p) & 0x03030303u) << 4;
    return vb_sub(vb_or(low, vb_load(plane)), vb_set(32));
}

/* 4 where bit k of the byte is set */
INLINE vb third_bit_plane(vb mask, int k) {
    return vb_and(k < 2 ? vb_shift_left(mask, 2 - k) : vb_shift_right(mask, k - 2), vb_set(4));
}

/* (d scale) (c - 4, or c where the mask bit is set) */
INLINE void decode_q3_k(const block_q3_k *block, float *to, vf_put put) {
    float scale[16];
    store_scales(scale, vf_i8_scale(vf_mul(vf_from_i8(q3_k_scales(block->s)), vf_set_half(block->d))));
    vb clear[2]; /* the mask, inverted: a bit that is set here takes 4 away */
    for (int part = 0; part < 2; part++)
        clear[part] = vb_and_not(vb_set(255), vb_load(block->mask + 16 * part));
    UNROLL
    for (int k = 0; k < 16; k++) { /* 16 elements each: plane `plane` of bytes `part` of half `half` */
        int half = k >> 3, plane = k >> 1 & 3, part = k & 1;
        vb c = two_bits(block->q + 32 * half + 16 * part, plane);
        vb four = third_bit_plane(clear[part], 4 * half + plane);
        put(to + 16 * k, vf_mul_i8(vb_sub(c, four), vf_set(scale[k])));
    }
}

/* Two words, in the order of memory. */
INLINE uint64_t eight_bytes(uint32_t first, uint32_t second) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return (uint64_t)first << 32 | second;
#else
    return first | (uint64_t)second << 32;
#endif
}

/* The 6-bit scales (lanes 0-7) and minima (8-15) of q4_k and q5_k: the first four of each lie in the low six bits of
 * s[0..3] and s[4..7]; the other four have their low nibbles in s[8..11] and their top bits above the former. */
INLINE void q4_k_scale_bytes(const uint8_t *s, uint64_t bytes[2]) {
    uint32_t a = load_u32(s), b = load_u32(s + 4), c = load_u32(s + 8);
    bytes[0] = eight_bytes(a & 0x3F3F3F3Fu, (c & 0x0F0F0F0Fu) | (a >> 2 & 0x30303030u));
    bytes[1] = eight_bytes(b & 0x3F3F3F3Fu, (c >> 4 & 0x0F0F0F0Fu) | (b >> 2 & 0x30303030u));
}

INLINE vb q4_k_scales(const uint8_t *s) {
    uint64_t bytes[2];
    q4_k_scale_bytes(s, bytes);
    return vb_load(bytes);
}

/* d sc in scale[0..7], dm mn in scale[8..15] */
INLINE void q4_k_scale_floats(const uint8_t *s, const uint8_t *d, const uint8_t *dm, float scale[16]) {
    store_scales(scale, vf_mul(vf_from_u8(q4_k_scales(s)), vf_set_halves(load_half(d), load_half(dm))));
}

/* 16 elements of the 32 that share scale k: (d sc) q - (dm mn) */
INLINE void store_sub_block(float *to, vb q, const float scale[16], int k, vf_put put) {
    put(to, vf_mul_sub(vf_from_u8(q), vf_set(scale[k]), vf_set(scale[8 + k])));
}

INLINE void decode_q4_k(const block_q4_k *block, float *to, vf_put put) {
    float scale[16];
    q4_k_scale_floats(block->s, block->d, block->dm, scale);
    UNROLL
    for (int k = 0; k < 8; k += 2, to += 64) { /* two sub-blocks in 32 bytes */
        vb first = vb_load(block->q + 16 * k), second = vb_load(block->q + 16 * k + 16);
        store_sub_block(to, low_nibbles(first), scale, k, put);
        store_sub_block(to + 16, low_nibbles(second), scale, k, put);
        store_sub_block(to + 32, high_nibbles(first), scale, k + 1, put);
        store_sub_block(to + 48, high_nibbles(second), scale, k + 1, put);
    }
}

/* 16 where bit k of the byte is set */
INLINE vb fifth_bit_plane(vb high, int k) {
    return vb_and(k < 4 ? vb_shift_left(high, 4 - k) : vb_shift_right(high, k - 4), vb_set(16));
}

/* As q4_k, with a fifth bit. */
INLINE void decode_q5_k(const block_q5_k *block, float *to, vf_put put) {
    float scale[16];
    q4_k_scale_floats(block->s, block->d, block->dm, scale);
    vb first_high = vb_load(block->high), second_high = vb_load(block->high + 16);
    UNROLL
    for (int k = 0; k < 8; k += 2, to += 64) {
        vb first = vb_load(block->q + 16 * k), second = vb_load(block->q + 16 * k + 16);
        store_sub_block(to, vb_or(low_nibbles(first), fifth_bit_plane(first_high, k)), scale, k, put);
        store_sub_block(to + 16, vb_or(low_nibbles(second), fifth_bit_plane(second_high, k)), scale, k, put);
        store_sub_block(to + 32, vb_or(high_nibbles(first), fifth_bit_plane(first_high, k + 1)), scale, k + 1,
                        put);
        store_sub_block(to + 48, vb_or(high_nibbles(second), fifth_bit_plane(second_high, k + 1)), scale, k + 1,
                        put);
    }
}

/* Plane p of two-bit planes, as the two highest bits. */
INLINE vb top_bits(vb planes, int p) { return vb_and(vb_shift_left(planes, 6 - 2 * p), vb_set(0xC0)); }

/* (d s) (q - 32), scales by 16 elements. As the high bits of a byte, the highest one flipped, q is 4 (q - 32) with a sign. */
INLINE void decode_q6_k(const block_q6_k *block, float *to, vf_put put) {
    float scale[16];
    vf quarter = vf_mul(vf_set_half(block->d), vf_set(0.25f));
    store_scales(scale, vf_i8_scale(vf_mul(vf_from_i8(vb_load(block->s)), quarter)));
    for (int half = 0; half < 2; half++) {
        vb planes[2]; /* of two bits, the upper one flipped */
        for (int part = 0; part < 2; part++)
            planes[part] = vb_xor(vb_load(block->high + 32 * half + 16 * part), vb_set(0xAA));
        UNROLL
        for (int group = 0; group < 8; group++) {
            int plane = group >> 1, part = group & 1; /* 32 elements each */
            int k = 8 * half + group;
            vb low = vb_load(block->low + 64 * half + 32 * (plane & 1) + 16 * part);
            vb nibbles = vb_and(plane < 2 ? vb_shift_left(low, 2) : vb_shift_right(low, 2), vb_set(0x3C));
            put(to + 16 * k, vf_mul_i8(vb_or(nibbles, top_bits(planes[part], plane)), vf_set(scale[k])));
        }
    }
}

/* d q, with a float32 scale */
INLINE void decode_q8_k(const block_q8_k *block, float *to, vf_put put) {
    float d;
    memcpy(&d, block->d, sizeof d);
    decode_bytes(block->q, 256, vf_set(d), to, put);
}
