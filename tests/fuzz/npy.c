/* The input is a .npy file; one that begins with '{' is a header, which is given its magic and its length. */
#include <stdlib.h>
#include <string.h>

#include "harness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[FUZZ_PATH_BYTES];
    if (size == 0 || size > UINT16_MAX || data[0] != '{') {
        fuzz_write(path, "a.npy", data, size);
    } else {
        enum { START = 10, ROWS = 64 };
        uint8_t *file = calloc(1, START + size + ROWS);
        if (file == NULL)
            return 0;
        memcpy(file, "\x93NUMPY\1\0", 8);
        file[8] = (uint8_t)size;
        file[9] = (uint8_t)(size >> 8);
        memcpy(file + START, data, size);
        fuzz_write(path, "a.npy", file, START + size + ROWS);
        free(file);
    }
    fuzz_open(path, PYE_FORMAT_NPY);
    return 0;
}
