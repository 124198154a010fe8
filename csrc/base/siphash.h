/* SipHash-1-3 (Aumasson and Bernstein 2012): a keyed hash: without the key nobody can make many inputs collide. */
#pragma once

#include <stdint.h>
#include <string.h>

static inline uint64_t pye_rotate(uint64_t x, int n) { return x << n | x >> (64 - n); }

static inline void pye_sip_round(uint64_t v[4]) {
    v[0] += v[1];
    v[1] = pye_rotate(v[1], 13) ^ v[0];
    v[0] = pye_rotate(v[0], 32);
    v[2] += v[3];
    v[3] = pye_rotate(v[3], 16) ^ v[2];
    v[0] += v[3];
    v[3] = pye_rotate(v[3], 21) ^ v[0];
    v[2] += v[1];
    v[1] = pye_rotate(v[1], 17) ^ v[2];
    v[2] = pye_rotate(v[2], 32);
}

static inline uint64_t pye_siphash(const uint64_t key[2], const void *data, size_t size) {
    const uint8_t *bytes = data;
    /* The four constants are the ASCII text "somepseudorandomlygeneratedbytes". */
    uint64_t v[4] = {key[0] ^ 0x736f6d6570736575u, key[1] ^ 0x646f72616e646f6du, key[0] ^ 0x6c7967656e657261u,
                     key[1] ^ 0x7465646279746573u};
    for (size_t i = 0; i <= size; i += 8) {
        size_t n = size - i < 8 ? size - i : 8;
        uint64_t word = 0;
        if (n > 0)
            memcpy(&word, bytes + i, n);
        if (n < 8)
            word |= (uint64_t)size << 56;
        v[3] ^= word;
        pye_sip_round(v);
        v[0] ^= word;
    }
    v[2] ^= 0xFF;
    for (int i = 0; i < 3; i++)
        pye_sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}
