/* What SHA-256 does to each block of a message (FIPS 180-4, 6.2.2). */
#pragma once

#include <stddef.h>
#include <stdint.h>

#define PYE_SHA256_BLOCK 64 /* bytes */

/* Takes in n blocks, the way this processor does it fastest. Any alignment. */
void pye_sha256_blocks(uint32_t state[8], const uint8_t *blocks, size_t n);

/* The same on any processor. */
void pye_sha256_blocks_portable(uint32_t state[8], const uint8_t *blocks, size_t n);
