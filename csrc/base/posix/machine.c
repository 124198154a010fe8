#if defined(__linux__)
#define _GNU_SOURCE /* sched_getaffinity */
#endif
#include "base/machine.h"

#include <fcntl.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#if defined(__linux__)
#include <sched.h>
#endif

uint64_t pye_clock_nanoseconds(void) {
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

bool pye_random_bytes(void *bytes, size_t n_bytes) {
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, bytes, n_bytes);
    if (fd >= 0)
        (void)close(fd);
    return n == (ssize_t)n_bytes;
}

uint64_t pye_machine_memory(void) {
    long n = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    return n <= 0 || page <= 0 ? UINT64_MAX : (uint64_t)n * (uint64_t)page;
}

/* The kernel is asked before the C library, whose answer on AMD's processors is the sum of all caches in a socket. */
size_t pye_machine_cache_bytes(void) {
#if defined(__linux__)
    char text[32] = "";
    int file = open("/sys/devices/system/cpu/cpu0/cache/index3/size", O_RDONLY | O_CLOEXEC);
    if (file >= 0) {
        ssize_t n = read(file, text, sizeof text - 1);
        (void)close(file);
        size_t kibibytes = n > 0 ? strtoul(text, NULL, 10) : 0; /* such as 32768K */
        if (kibibytes > 0)
            return kibibytes << 10;
    }
#endif
#if defined(_SC_LEVEL3_CACHE_SIZE)
    long answer = sysconf(_SC_LEVEL3_CACHE_SIZE);
    if (answer > 0)
        return (size_t)answer;
#endif
    return 0;
}

size_t pye_cpu_count(void) {
#if defined(__linux__)
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        return (size_t)CPU_COUNT(&set);
#endif
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (size_t)online : 1;
}
