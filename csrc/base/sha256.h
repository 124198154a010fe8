/* SHA-256 (FIPS 180-4). */
#pragma once

#include "pyembed.h"

#define PYE_SHA256_BYTES 32

typedef struct pye_sha256 {
    uint32_t state[8];
    uint64_t n_bytes;
    uint8_t block[64];
} pye_sha256;

void pye_sha256_begin(pye_sha256 *hash);
void pye_sha256_add(pye_sha256 *hash, const void *bytes, size_t n);
void pye_sha256_end(pye_sha256 *hash, uint8_t digest[PYE_SHA256_BYTES]);

/* Ends the hash as "sha256:", its digits and a NUL. */
void pye_sha256_text(pye_sha256 *hash, char digest[PYE_DIGEST_BYTES]);
