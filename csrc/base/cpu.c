#if defined(__linux__)
#define _GNU_SOURCE /* sched_getaffinity, O_CLOEXEC */
#endif
#include "base/cpu.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#if defined(__linux__)
#include <fcntl.h>
#include <sched.h>
#endif

#if defined(__x86_64__)
#include <cpuid.h>

/* Which registers the operating system saves; the processor's own word is not enough. */
static uint64_t saved_state(void) {
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

static bool has_all(uint64_t value, uint64_t bits) { return (value & bits) == bits; }

/* Bit numbers: Intel's manual, volume 2, CPUID leaves 1 and 7; XCR0: volume 1, 13.3. */
unsigned pye_cpu_features(void) {
    enum { FMA = 1 << 12, OSXSAVE = 1 << 27, AVX = 1 << 28, F16C = 1 << 29, AVX2 = 1 << 5 };
    const uint32_t avx512 = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31; /* F, DQ, BW, VL */
    const uint64_t ymm = 1 << 1 | 1 << 2, zmm = ymm | 1 << 5 | 1 << 6 | 1 << 7;
    uint32_t a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !has_all(c, FMA | OSXSAVE | AVX | F16C))
        return 0;
    uint64_t saved = saved_state();
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || !has_all(b, AVX2) || !has_all(saved, ymm))
        return 0;
    return has_all(b, avx512) && has_all(saved, zmm) ? PYE_CPU_AVX2 | PYE_CPU_AVX512 : PYE_CPU_AVX2;
}

#elif defined(__aarch64__)

unsigned pye_cpu_features(void) { return PYE_CPU_NEON; }

#else

unsigned pye_cpu_features(void) { return 0; }

#endif

/* What the first core's third cache holds, 0 if that is not known. The kernel is asked before the C library, whose answer on
 * AMD's processors is the sum of all caches in a socket. */
static size_t third_cache_bytes(void) {
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

size_t pye_cpu_cache_bytes(void) {
    /* Kept: to ask takes longer than to gather a few rows. */
    static _Atomic size_t known;
    size_t n_bytes = atomic_load_explicit(&known, memory_order_relaxed);
    if (n_bytes == 0) {
        n_bytes = third_cache_bytes();
        if (n_bytes == 0)
            n_bytes = (size_t)16 << 20;
        atomic_store_explicit(&known, n_bytes, memory_order_relaxed);
    }
    return n_bytes;
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
