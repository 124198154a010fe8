/* Hashes texts as base/universal_hash.h does. Input: the key, three numbers of 8 bytes, then texts, each after its length in
 * 4 bytes. Output: the hashes, 8 bytes each. All in this machine's byte order. */
#include "system.h"

#include <stdlib.h>

#include "base/universal_hash.h"

int main(void) {
    pye_universal_key key;
    binary_streams();
    if (fread(&key, sizeof key, 1, stdin) != 1)
        return 1;
    for (uint32_t size; fread(&size, sizeof size, 1, stdin) == 1;) {
        char *text = malloc(size + (size_t)1);
        if (text == NULL || fread(text, 1, size, stdin) != size)
            return 1;
        pye_universal_hash hash = pye_universal_begin(&key);
        pye_universal_add(&key, &hash, text, size / 3); /* in two pieces */
        pye_universal_add(&key, &hash, text + size / 3, size - size / 3);
        uint64_t end = pye_universal_end(&key, &hash);
        free(text);
        if (fwrite(&end, sizeof end, 1, stdout) != 1)
            return 1;
    }
    return 0;
}
