/* Rows whose codes and scales lie apart, in up to three arrays: how a weight is computed from them.
 *
 * With q the number that a code stands for, s the scale of its group, b its bias and g the table's own factor, a weight is, in
 * float32, each step rounded to nearest even and none fused:
 *
 *     q        without scales          q s        with them
 *     q s + b  with biases             (q s) g    with a factor, or (q s) / g where it divides
 *
 * Biases and a factor exclude each other, and neither comes without scales. Scales and biases are widened to float32 first,
 * which is exact but for float64. E8M0 is 2^(e - 127), NaN for 255, and the smaller floats are those of the OCP Microscaling
 * Formats Specification 1.0; subnormal numbers, signs of zeros and NaNs count everywhere. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* The arrays that a row is made of; only the first is always there. */
typedef enum pye_part { PYE_CODES = 0, PYE_SCALES = 1, PYE_BIASES = 2, PYE_N_PARTS = 3 } pye_part;

typedef enum pye_code {
    PYE_CODE_BLOCKS = 0, /* of a type of types.def, which decodes them; floats and whole numbers are some */
    PYE_CODE_E4M3 = 1,   /* F8_E4M3 of safetensors, E4M3FN elsewhere: no infinities, NaN for 127 and 255 */
    PYE_CODE_E5M2 = 2,
    PYE_CODE_E2M1 = 3, /* two a byte, the even column in the low nibble; 8 is minus zero */
    PYE_CODE_BITS = 4  /* whole numbers of n_bits bits: one stream a row, lowest bit first */
} pye_code;

/* How scales and biases are stored. */
typedef enum pye_number {
    PYE_NUMBER_NONE = 0,
    PYE_NUMBER_F32 = 1,
    PYE_NUMBER_F16 = 2,
    PYE_NUMBER_BF16 = 3,
    PYE_NUMBER_F64 = 4,
    PYE_NUMBER_E8M0 = 5,
    PYE_NUMBER_E4M3 = 6
} pye_number;

typedef enum pye_factor { PYE_FACTOR_NONE = 0, PYE_FACTOR_MULTIPLIES = 1, PYE_FACTOR_DIVIDES = 2 } pye_factor;

typedef struct pye_scaling {
    pye_code code;
    int32_t type;    /* of PYE_CODE_BLOCKS: its id in types.def */
    uint32_t n_bits; /* of PYE_CODE_BITS: 2, 3, 4, 5, 6 or 8 */
    pye_number scales;
    pye_number biases;
    uint64_t group; /* columns that share a scale and a bias: a multiple of 16, or 0 for all of a row */
    pye_factor factor_kind;
    float factor;
} pye_scaling;
