/* Types of one weight a block: floats widen exactly, integers and doubles round to nearest even. */
#ifndef PYE_DECODE_FLOAT_H
#define PYE_DECODE_FLOAT_H

#include "decode/blocks.h"

/* Sixteen at a time; the last ones through a padded copy, so that no load leaves the row. */
INLINE void decode_lanes(const uint8_t *from, float *to, size_t n, size_t item_bytes, vf (*load)(const void *)) {
    size_t whole = n - n % 16;
    for (size_t i = 0; i < whole; i += 16)
        vf_store(to + i, load(from + i * item_bytes));
    if (whole < n) {
        uint8_t padded[16 * 4] = {0};
        float values[16];
        memcpy(padded, from + whole * item_bytes, (n - whole) * item_bytes);
        vf_store(values, load(padded));
        memcpy(to + whole, values, (n - whole) * sizeof *to);
    }
}

INLINE void decode_row_f32(const uint8_t *from, float *to, size_t n) { memcpy(to, from, n * sizeof *to); }
INLINE void decode_row_f16(const uint8_t *from, float *to, size_t n) {
    decode_lanes(from, to, n, 2, vf_load_half);
}
INLINE void decode_row_bf16(const uint8_t *from, float *to, size_t n) {
    decode_lanes(from, to, n, 2, vf_load_bfloat);
}

/* Through memcpy, as everywhere: a caller's output need not be aligned. */
#define DECODE_CAST(name, number)                                                                                 \
    INLINE void decode_row_##name(const uint8_t *from, float *to, size_t n) {                                     \
        uint8_t *bytes = (uint8_t *)to;                                                                           \
        for (size_t i = 0; i < n; i++) {                                                                          \
            number value;                                                                                         \
            memcpy(&value, from + i * sizeof value, sizeof value);                                                \
            float rounded = (float)value;                                                                         \
            memcpy(bytes + i * sizeof rounded, &rounded, sizeof rounded);                                         \
        }                                                                                                         \
    }
DECODE_CAST(f64, double)
DECODE_CAST(i8, int8_t)
DECODE_CAST(i16, int16_t)
DECODE_CAST(i32, int32_t)
DECODE_CAST(i64, int64_t)
#undef DECODE_CAST

#endif
