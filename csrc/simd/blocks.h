/* The layout of every quantised block, byte for byte as it lies in a file.
 *
 * All members are bytes, so that a block may lie at any address. `h` marks an IEEE half, `w` a 16- or 32-bit word, both
 * in the machine's byte order by the time a decoder sees them. Element numbers are those of the decoded row. */
#pragma once

#include <stdint.h>

#include "base/types.h"

#define BLOCK(NAME, ...)                                                                                          \
    typedef struct block_##NAME {                                                                                 \
        __VA_ARGS__                                                                                               \
    } block_##NAME;

/* ---- legacy: 32 weights. Byte j of q holds element j in its low nibble and element j + 16 in its high one:
 *          bit  7 6 5 4   3 2 1 0
 *              [ j + 16 ] [   j   ]                                                                          */
BLOCK(q4_0, uint8_t d[2] /* h */; uint8_t q[16];)
BLOCK(q4_1, uint8_t d[2] /* h */; uint8_t m[2] /* h */; uint8_t q[16];)
BLOCK(q5_0, uint8_t d[2] /* h */; uint8_t high[4] /* w: bit i is bit 4 of element i */; uint8_t q[16];)
BLOCK(q5_1, uint8_t d[2] /* h */; uint8_t m[2] /* h */; uint8_t high[4] /* w */; uint8_t q[16];)
BLOCK(q8_0, uint8_t d[2] /* h */; uint8_t q[32] /* i8 */;)
BLOCK(q8_1, uint8_t d[2] /* h */; uint8_t s[2] /* h: d times the sum of q, not needed */; uint8_t q[32] /* i8 */;)
BLOCK(iq4_nl, uint8_t d[2] /* h */; uint8_t q[16] /* codes of the table KNL */;)

/* ---- one and two bits: bit i, or bits 2i and 2i + 1, of q taken as one long little-endian number. */
BLOCK(q1_0, uint8_t d[2] /* h */; uint8_t q[16] /* 128 x 1 bit */;)
BLOCK(q2_0, uint8_t d[2] /* h */; uint8_t q[16] /* 64 x 2 bits */;)

/* ---- micro-scaling: 4-bit floats (E2M1).
 * mxfp4: nibbles as in the legacy types. nvfp4: four groups of 16, each with its own scale s and 8 bytes of q; byte j
 * of a group holds its elements j (low nibble) and j + 8 (high). */
BLOCK(mxfp4, uint8_t e /* exponent */; uint8_t q[16];)
BLOCK(nvfp4, uint8_t s[4] /* E4M3 */; uint8_t q[32];)

/* ---- K types: 256 weights in two halves of 128. Two-bit planes, as in q2_k, q3_k, tq2_0 (and the top bits of q6_k):
 * byte 32 H + j holds, of half H, the elements
 *          bit  7 6       5 4       3 2       1 0
 *              [j + 96]  [j + 64]  [j + 32]  [  j  ]                                                         */
BLOCK(q2_k, uint8_t s[16] /* low nibble: scale of 16 elements, high: minimum */; uint8_t q[64];
      uint8_t d[2] /* h */; uint8_t dm[2] /* h */;)
BLOCK(q3_k, uint8_t mask[32] /* bit 4 H + g of byte j: element 128 H + 32 g + j, 1 for + 4 */; uint8_t q[64];
      uint8_t s[12] /* 16 x 6 bits, see the decoder */; uint8_t d[2] /* h */;)
/* q4_k, q5_k: byte 32 p + j holds element 64 p + j in its low nibble, 64 p + 32 + j in its high one. */
BLOCK(q4_k, uint8_t d[2] /* h */; uint8_t dm[2] /* h */; uint8_t s[12] /* 8 x 6 + 8 x 6 bits */; uint8_t q[128];)
BLOCK(q5_k, uint8_t d[2] /* h */; uint8_t dm[2] /* h */; uint8_t s[12];
      uint8_t high[32] /* bit k of byte j: bit 4 of element 32 k + j */; uint8_t q[128];)
/* q6_k: byte 64 H + j of low (j < 64): elements 128 H + j (low nibble) and 128 H + 64 + j (high). */
BLOCK(q6_k, uint8_t low[128]; uint8_t high[64] /* two-bit planes */; uint8_t s[16] /* i8 */; uint8_t d[2] /* h */;)
BLOCK(q8_k, uint8_t d[4] /* f32 */; uint8_t q[256] /* i8 */; uint8_t sums[32] /* w, not needed */;)

/* ---- IQ types: 256 weights; q selects rows of a codebook, 8 (iq1, iq2) or 4 (iq3) elements each. */
BLOCK(iq2_xxs, uint8_t d[2] /* h */; uint8_t q[64] /* 8 x (w: four rows, w: 4 x 7 sign bits, 4 bits of scale) */;)
BLOCK(iq2_xs, uint8_t d[2] /* h */; uint8_t q[64] /* 32 w: 9 bits of row, 7 of signs */; uint8_t s[8];)
BLOCK(iq2_s, uint8_t d[2] /* h */; uint8_t q[32]; uint8_t signs[32]; uint8_t high[8]; uint8_t s[8];)
BLOCK(iq3_xxs, uint8_t d[2] /* h */; uint8_t q[64]; uint8_t a[32] /* 8 w: 4 x 7 sign bits, 4 bits of scale */;)
BLOCK(iq3_s, uint8_t d[2] /* h */; uint8_t q[64]; uint8_t high[8]; uint8_t signs[32]; uint8_t s[4];)
BLOCK(iq1_s, uint8_t d[2] /* h */; uint8_t q[32];
      uint8_t w[16] /* 8 w: 4 x 3 bits of row, 3 of scale, 1 of delta */;)
BLOCK(iq1_m, uint8_t q[32]; uint8_t high[16]; uint8_t s[8] /* 4 w: 4 x 3 bits of scale, 4 bits of d */;)
BLOCK(iq4_xs, uint8_t d[2] /* h */; uint8_t t[2] /* w: top 2 bits of 8 scales */; uint8_t s[4] /* low nibbles */;
      uint8_t q[128] /* 8 x 16, nibbles as in the legacy types */;)

/* ---- ternary: tq1_0 packs five base-3 digits a byte, as the fraction byte/256; tq2_0 is two-bit planes. */
BLOCK(tq1_0, uint8_t q[48]; uint8_t r[4]; uint8_t d[2] /* h */;)
BLOCK(tq2_0, uint8_t q[64]; uint8_t d[2] /* h */;)

#undef BLOCK

/* Types of one weight a block have no struct. */
typedef uint8_t block_f32[4], block_f16[2], block_bf16[2], block_f64[8];
typedef uint8_t block_i8[1], block_i16[2], block_i32[4], block_i64[8];

#define PYE_TYPE(id, NAME, name, n_weights, block_bytes, words, scales)                                           \
    _Static_assert(sizeof(block_##name) == (block_bytes), "the block's layout is as long as types.def says");
#include "base/types.def"
#undef PYE_TYPE
