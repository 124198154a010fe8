/* What the decoders of all families share. */
#pragma once

#include <string.h>

#include "simd/blocks.h"
#include "simd/inline.h"

/* How a decoder writes 16 floats, its last argument: a constant where it is instantiated, so that it costs no call. Writes are
 * in order: past the caches a line that is not filled at once costs several times as much. */
typedef void (*vf_put)(void *to, vf v);

INLINE uint16_t load_u16(const uint8_t *from) {
    uint16_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

INLINE uint32_t load_u32(const uint8_t *from) {
    uint32_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

/* Eight bytes that are in memory lowest first on every machine. */
INLINE uint64_t lowest_first(uint64_t bytes) {
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return __builtin_bswap64(bytes);
#else
    return bytes;
#endif
}

INLINE float load_half(const uint8_t *from) { return half_to_float(load_u16(from)); }

INLINE vb low_nibbles(vb q) { return vb_and(q, vb_set(15)); }
INLINE vb high_nibbles(vb q) { return vb_shift_right(q, 4); }

/* d q, of 8-bit codes */
INLINE void decode_bytes(const uint8_t *q, int n, vf d, float *to, vf_put put) {
    for (int i = 0; i < n; i += 16)
        put(to + i, vf_mul(vf_load_i8(q + i), d));
}

/* Scales that are multiplied into all lanes one by one stay in memory: a load into all lanes costs next to nothing; the
 * shuffles that a compiler makes of it, because the array is still in a register, cost two instructions each. */
#if defined(__GNUC__)
#define KEEP_IN_MEMORY(floats, n) __asm__("" : "+m"(*(float (*)[n])(floats)))
#else
#define KEEP_IN_MEMORY(floats, n) (void)(floats)
#endif

INLINE void store_scales(float scale[16], vf scales) {
    vf_store(scale, scales);
    KEEP_IN_MEMORY(scale, 16);
}
