#include "base/sha256.h"

#include <string.h>

#include "base/sha256_blocks.h"

void pye_sha256_begin(pye_sha256 *hash) {
    /* Likewise of the square roots of the first eight primes (5.3.3). */
    static const uint32_t initial[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                        0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
    memcpy(hash->state, initial, sizeof initial);
    hash->n_bytes = 0;
}

void pye_sha256_add(pye_sha256 *hash, const void *bytes, size_t n) {
    if (n == 0)
        return;
    const uint8_t *from = bytes;
    size_t held = (size_t)(hash->n_bytes % PYE_SHA256_BLOCK), missing = PYE_SHA256_BLOCK - held;
    hash->n_bytes += n;
    if (held != 0) {
        size_t take = n < missing ? n : missing;
        memcpy(hash->block + held, from, take);
        if (take < missing)
            return;
        pye_sha256_blocks(hash->state, hash->block, 1);
        from += take;
        n -= take;
    }
    size_t n_blocks = n / PYE_SHA256_BLOCK;
    pye_sha256_blocks(hash->state, from, n_blocks);
    from += n_blocks * PYE_SHA256_BLOCK;
    n -= n_blocks * PYE_SHA256_BLOCK;
    if (n != 0)
        memcpy(hash->block, from, n);
}

void pye_sha256_end(pye_sha256 *hash, uint8_t digest[PYE_SHA256_BYTES]) {
    static const uint8_t padding[64] = {0x80};
    uint64_t n_bits = hash->n_bytes * 8;
    size_t held = (size_t)(hash->n_bytes % PYE_SHA256_BLOCK);
    pye_sha256_add(hash, padding, held < 56 ? 56 - held : 120 - held);
    uint8_t length[8];
    for (int i = 0; i < 8; i++)
        length[i] = (uint8_t)(n_bits >> (56 - 8 * i));
    pye_sha256_add(hash, length, sizeof length);
    for (int i = 0; i < PYE_SHA256_BYTES; i++)
        digest[i] = (uint8_t)(hash->state[i / 4] >> (24 - 8 * (i % 4)));
}

void pye_sha256_text(pye_sha256 *hash, char digest[PYE_DIGEST_BYTES]) {
    static const char digits[] = "0123456789abcdef";
    uint8_t bytes[PYE_SHA256_BYTES];
    pye_sha256_end(hash, bytes);
    memcpy(digest, "sha256:", 7);
    for (int i = 0; i < PYE_SHA256_BYTES; i++) {
        digest[7 + 2 * i] = digits[bytes[i] >> 4];
        digest[8 + 2 * i] = digits[bytes[i] & 15];
    }
    digest[PYE_DIGEST_BYTES - 1] = '\0';
}
