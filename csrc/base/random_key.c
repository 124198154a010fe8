#include "base/random_key.h"

#include "base/machine.h"

void pye_random_key(void *key, size_t n_bytes) {
    if (pye_random_bytes(key, n_bytes))
        return;
    uint64_t state = (uint64_t)(uintptr_t)key ^ pye_clock_nanoseconds() << 32;
    for (size_t i = 0; i < n_bytes; i++) {
        state = state * 6364136223846793005u +
                1442695040888963407u; /* Knuth's MMIX generator: its high bits are good */
        ((uint8_t *)key)[i] = (uint8_t)(state >> 56);
    }
}
