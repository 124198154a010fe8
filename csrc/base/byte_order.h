/* The byte order of this machine, and words of the other one. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

static inline bool pye_host_is_big_endian(void) {
    const uint16_t probe = 1;
    return *(const uint8_t *)&probe == 0;
}

static inline uint16_t pye_swap16(uint16_t v) { return (uint16_t)(v >> 8 | v << 8); }

static inline uint32_t pye_swap32(uint32_t v) {
    return (v >> 24) | ((v >> 8) & 0xFF00u) | ((v << 8) & 0xFF0000u) | (v << 24);
}

static inline uint64_t pye_swap64(uint64_t v) {
    return ((uint64_t)pye_swap32((uint32_t)v) << 32) | pye_swap32((uint32_t)(v >> 32));
}
