/* Hashes texts as base/sha256.h does. Input: texts, each after the bytes of its first piece and of all of it, 4 bytes each, in
 * this machine's byte order. Output: the digests. Ends with 2 if a block is taken in differently on other processors. */
#include "base/sha256.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sha256_blocks.h"

static int blocks_differ(const uint8_t *text, size_t size) {
    uint32_t here[8] = {0, 1, 2, 3, 0x80000000, 0xffffffff, 6, 7}, portable[8];
    memcpy(portable, here, sizeof here);
    pye_sha256_blocks(here, text, size / PYE_SHA256_BLOCK);
    pye_sha256_blocks_portable(portable, text, size / PYE_SHA256_BLOCK);
    return memcmp(portable, here, sizeof here) != 0;
}

int main(void) {
    for (uint32_t sizes[2]; fread(sizes, sizeof sizes, 1, stdin) == 1;) {
        uint8_t *text = malloc(sizes[1] + (size_t)1), digest[PYE_SHA256_BYTES];
        if (text == NULL || sizes[0] > sizes[1] || fread(text, 1, sizes[1], stdin) != sizes[1])
            return 1;
        if (blocks_differ(text, sizes[1]))
            return 2;
        pye_sha256 hash;
        pye_sha256_begin(&hash);
        pye_sha256_add(&hash, text, sizes[0]);
        pye_sha256_add(&hash, text + sizes[0], sizes[1] - sizes[0]);
        pye_sha256_end(&hash, digest);
        free(text);
        if (fwrite(digest, sizeof digest, 1, stdout) != 1)
            return 1;
    }
    return 0;
}
