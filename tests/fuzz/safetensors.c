/* The input is a safetensors file; one that begins with '{' is a header, which is given its length and 64 bytes of data. */
#include <stdlib.h>
#include <string.h>

#include "harness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[FUZZ_PATH_BYTES];
    if (size == 0 || data[0] != '{') {
        fuzz_write(path, "a.safetensors", data, size);
    } else {
        enum { START = 8, DATA = 64 };
        uint8_t *file = calloc(1, START + size + DATA);
        if (file == NULL)
            return 0;
        for (size_t i = 0; i < START; i++)
            file[i] = (uint8_t)((uint64_t)size >> (8 * i));
        memcpy(file + START, data, size);
        fuzz_write(path, "a.safetensors", file, START + size + DATA);
        free(file);
    }
    fuzz_open(path, PYE_FORMAT_SAFETENSORS);
    return 0;
}
