/* Sets of files. The input begins with a byte: even for a GGUF set, odd for a safetensors index and its shards; then come
 * the files, each after its length in two bytes, little-endian, the last as long as what is left. */
#include <stdio.h>

#include "harness.h"

enum { MAX_FILES = 3 };

static const char *name_of(char name[64], bool is_gguf, size_t i, size_t n) {
    static const char *const safetensors[MAX_FILES] = {".safetensors.index.json", "a.safetensors",
                                                       "b.safetensors"};
    if (!is_gguf)
        return safetensors[i];
    (void)snprintf(name, 64, "m-%05zu-of-%05zu.gguf", i + 1, n);
    return name;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint8_t *parts[MAX_FILES];
    size_t sizes[MAX_FILES];
    size_t n = 0;
    if (size == 0)
        return 0;
    bool is_gguf = data[0] % 2 == 0;
    for (size_t at = 1; at < size && n < MAX_FILES; n++) {
        size_t left = size - at - 1;
        size_t length = left == 0 ? 0 : (size_t)data[at] | (size_t)data[at + 1] << 8;
        at = left == 0 ? size : at + 2;
        parts[n] = data + at;
        sizes[n] = length < size - at && n + 1 < MAX_FILES ? length : size - at;
        at += sizes[n];
    }
    char first[FUZZ_PATH_BYTES] = "", other[FUZZ_PATH_BYTES], name[64];
    for (size_t i = 0; i < n; i++)
        fuzz_write(i == 0 ? first : other, name_of(name, is_gguf, i, n), parts[i], sizes[i]);
    if (n > 0)
        fuzz_open(first, is_gguf ? PYE_FORMAT_GGUF : PYE_FORMAT_SAFETENSORS);
    return 0;
}
