/* Runs a target on files, for a compiler without libFuzzer: replay FILE... */
#include <stdio.h>
#include <stdlib.h>

#include "harness.h"

static void replay(const char *path) {
    FILE *file = fopen(path, "rb");
    size_t size = 0, max = 1 << 16;
    uint8_t *data = malloc(max);
    fuzz_require(file != NULL && data != NULL, path);
    for (size_t n; (n = fread(data + size, 1, max - size, file)) > 0;) {
        size += n;
        if (size == max) {
            data = realloc(data, max *= 2);
            fuzz_require(data != NULL, path);
        }
    }
    (void)fclose(file);
    /* Of just its size, so that a sanitizer sees a read behind its end. */
    data = realloc(data, size > 0 ? size : 1);
    (void)LLVMFuzzerTestOneInput(data, size);
    free(data);
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++)
        replay(argv[i]);
    printf("%d inputs\n", argc - 1);
    return 0;
}
