/* Types of one weight a block: floats widen exactly, integers and doubles round to nearest even. */
#pragma once

#include "simd/generic/decoder.h"

/* Sixteen at a time; the last ones through a padded copy, so that no load leaves the row. */
INLINE void decode_lanes(const uint8_t *from, float *to, size_t n, size_t item_bytes, vf (*load)(const void *),
                         vf_put put) {
    size_t whole = n - n % 16;
    for (size_t i = 0; i < whole; i += 16)
        put(to + i, load(from + i * item_bytes));
    if (whole < n) {
        uint8_t padded[16 * 8] = {0};
        float values[16];
        memcpy(padded, from + whole * item_bytes, (n - whole) * item_bytes);
        vf_store(values, load(padded));
        memcpy(to + whole, values, (n - whole) * sizeof *to);
    }
}

#define DECODE_LANES(name, load)                                                                                  \
    INLINE void decode_row_##name(const uint8_t *from, float *to, size_t n, vf_put put) {                         \
        decode_lanes(from, to, n, sizeof(block_##name), load, put);                                               \
    }
DECODE_LANES(f32, vf_load)
DECODE_LANES(f16, vf_load_half)
DECODE_LANES(bf16, vf_load_bfloat)
DECODE_LANES(f64, vf_load_f64)
DECODE_LANES(i8, vf_load_i8)
DECODE_LANES(i16, vf_load_i16)
DECODE_LANES(i32, vf_load_i32)
DECODE_LANES(i64, vf_load_i64)
#undef DECODE_LANES
