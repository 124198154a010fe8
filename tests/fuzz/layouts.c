/* Tables of several tensors. The input is the header of a safetensors file, which is given its length and 512 bytes of data,
 * and, after a NUL, the config.json beside it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "harness.h"

/* A folder of this process's own: the name config.json is fixed. */
static void make_folder(void) {
    char path[FUZZ_PATH_BYTES];
    const char *folder = getenv("PYEMBED_FUZZ_FOLDER");
    (void)snprintf(path, sizeof path, "%s/%ld", folder != NULL ? folder : "/dev/shm", (long)getpid());
    (void)mkdir(path, 0700);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    enum { START = 8, DATA = 512 };
    char path[FUZZ_PATH_BYTES], config[FUZZ_PATH_BYTES];
    const uint8_t *nul = size > 0 ? memchr(data, 0, size) : NULL;
    size_t n = nul != NULL ? (size_t)(nul - data) : size;
    uint8_t *file = malloc(START + n + DATA);
    if (file == NULL)
        return 0;
    for (size_t i = 0; i < START; i++)
        file[i] = (uint8_t)((uint64_t)n >> (8 * i));
    if (n > 0)
        memcpy(file + START, data, n);
    for (size_t i = 0; i < DATA; i++)
        file[START + n + i] = (uint8_t)(i % 3 == 0 ? i : i / 7); /* small numbers, and large ones */
    make_folder();
    fuzz_write(config, "/config.json", nul != NULL ? nul + 1 : data, nul != NULL ? size - n - 1 : 0);
    if (nul == NULL)
        (void)unlink(config);
    fuzz_write(path, "/a.safetensors", file, START + n + DATA);
    free(file);
    fuzz_open(path, PYE_FORMAT_SAFETENSORS);
    return 0;
}
