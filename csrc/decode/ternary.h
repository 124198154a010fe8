/* Ternary types: -d, 0, d. */
#ifndef PYE_DECODE_TERNARY_H
#define PYE_DECODE_TERNARY_H

#include "decode/kquant.h"

INLINE vb times_three(vb q) { return vb_add(vb_add(q, q), q); }

/* d (t - 1), where t is the leading base-3 digit of q / 256, (3 q) >> 8: 1 from 86 on, 2 from 171 on. A comparison
 * yields -1, so the digit is what is subtracted. */
INLINE void store_digit(float *to, vb q, vf d, vf_put put) {
    vb minus_digit = vb_add(vb_at_least(q, vb_set(86)), vb_at_least(q, vb_set(171)));
    put(to, vf_mul_i8(vb_sub(vb_set(255), minus_digit), d));
}

/* Five digits of 16 bytes, `step` elements from a digit to the next: multiplying by three brings the next one up. */
INLINE void decode_digits(const uint8_t *bytes, int step, float *to, vf d, vf_put put) {
    vb q = vb_load(bytes);
    for (int digit = 0; digit < 5; digit++, q = times_three(q))
        store_digit(to + step * digit, q, d, put);
}

INLINE void decode_tq1_0(const block_tq1_0 *block, float *to, vf_put put) {
    vf d = vf_i8_scale(vf_set_half(block->d));
    decode_digits(block->q, 32, to, d, put);
    decode_digits(block->q + 16, 32, to + 16, d, put);
    decode_digits(block->q + 32, 16, to + 160, d, put);
    /* The last four bytes give four digits each: one vector. */
    uint8_t last[16];
    for (int i = 0; i < 4; i++)
        last[i] = block->r[i];
    for (int i = 4; i < 16; i++)
        last[i] = (uint8_t)(3 * last[i - 4]);
    store_digit(to + 240, vb_load(last), d, put);
}

/* d (c - 1); code 3, which no encoder writes, gives 2 d */
INLINE void decode_tq2_0(const block_tq2_0 *block, float *to, vf_put put) {
    vf d = vf_i8_scale(vf_set_half(block->d));
    UNROLL
    for (int k = 0; k < 16; k++) {
        vb c = two_bits(block->q + 32 * (k >> 3) + 16 * (k & 1), k >> 1 & 3);
        put(to + 16 * k, vf_mul_i8(vb_sub(c, vb_set(1)), d));
    }
}

#endif
