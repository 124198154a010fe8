/* The input is a GGUF file. */
#include "harness.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[FUZZ_PATH_BYTES];
    fuzz_write(path, "m.gguf", data, size);
    fuzz_open(path, PYE_FORMAT_GGUF);
    return 0;
}
