#include "base/random_key.h"

#include <fcntl.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>

void pye_random_key(void *key, size_t n_bytes) {
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, key, n_bytes);
    if (fd >= 0)
        (void)close(fd);
    if (n == (ssize_t)n_bytes)
        return;
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t state = (uint64_t)(uintptr_t)key ^ (uint64_t)now.tv_nsec << 32;
    for (size_t i = 0; i < n_bytes; i++) {
        state = state * 6364136223846793005u +
                1442695040888963407u; /* Knuth's MMIX generator: its high bits are good */
        ((uint8_t *)key)[i] = (uint8_t)(state >> 56);
    }
}
