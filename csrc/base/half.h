/* IEEE 754 binary16 and bfloat16, one number at a time: the definition that every back end must meet bit for bit.
 * A NaN stays a NaN with its sign, the leading bits of its payload and the quiet bit set, which is what the
 * conversion instructions of x86 (F16C) and Arm do. */
#pragma once

#include <stdint.h>
#include <string.h>

static inline uint32_t pye_float_bits(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float pye_float_from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* Exact for every finite half. The branches are selections, so that a loop over this can be vectorised. */
static inline float pye_half_to_float(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000u) << 16;
    int32_t magnitude = half & 0x7FFF; /* signed, as more machines compare vectors of signed numbers */
    int32_t normal = (magnitude << 13) + ((127 - 15) << 23);
    int32_t special = (magnitude << 13) | 0x7F800000 | (magnitude > 0x7C00 ? 0x00400000 : 0);
    /* A subnormal half is its integer times 2^-24: both steps are exact. */
    int32_t subnormal = (int32_t)pye_float_bits((float)magnitude * 0x1p-24f);
    int32_t bits = magnitude < 0x0400 ? subnormal : normal;
    bits = magnitude >= 0x7C00 ? special : bits;
    return pye_float_from_bits(sign | (uint32_t)bits);
}

/* Round to nearest, ties to even. */
static inline uint16_t pye_half_from_float(float value) {
    uint32_t bits = pye_float_bits(value);
    uint32_t sign = (bits >> 16) & 0x8000u;
    uint32_t magnitude = bits & 0x7FFFFFFFu;
    /* Normal result: re-bias, then round the 13 bits that go. A carry runs into the exponent as it should. */
    uint32_t normal = (magnitude - ((127u - 15u) << 23) + 0x0FFFu + ((magnitude >> 13) & 1u)) >> 13;
    /* Below 2^-14: adding 0.5 leaves the result, in units of 2^-24, in the low bits, rounded by the addition. */
    uint32_t subnormal = pye_float_bits(pye_float_from_bits(magnitude) + 0.5f) - 0x3F000000u;
    uint32_t nan = 0x7E00u | ((magnitude >> 13) & 0x03FFu);
    uint32_t half = magnitude < 0x38800000u   ? subnormal
                    : magnitude > 0x7F800000u ? nan
                    : magnitude > 0x477FEFFFu ? 0x7C00u /* 65520 and above round to infinity */
                                              : normal;
    return (uint16_t)(sign | half);
}

static inline float pye_bfloat_to_float(uint16_t bfloat) { return pye_float_from_bits((uint32_t)bfloat << 16); }

/* Round to nearest, ties to even. */
static inline uint16_t pye_bfloat_from_float(float value) {
    uint32_t bits = pye_float_bits(value);
    uint32_t rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
    uint32_t nan = (bits >> 16) | 0x0040u;
    return (uint16_t)((bits & 0x7FFFFFFFu) > 0x7F800000u ? nan : rounded);
}
