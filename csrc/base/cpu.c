#include "base/cpu.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/machine.h"

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

static bool has_sha(void) {
    enum { SSE4_1 = 1 << 19, SHA = 1 << 29 };
    uint32_t a, b, c, d;
    return __get_cpuid(1, &a, &b, &c, &d) && has_all(c, SSE4_1) && __get_cpuid_count(7, 0, &a, &b, &c, &d) &&
           has_all(b, SHA);
}

bool pye_cpu_has_sha(void) {
    static _Atomic int known; /* 1: no, 2: yes; to ask takes longer than a block */
    int found = atomic_load_explicit(&known, memory_order_relaxed);
    if (found == 0) {
        found = has_sha() ? 2 : 1;
        atomic_store_explicit(&known, found, memory_order_relaxed);
    }
    return found == 2;
}

#elif defined(__aarch64__)

unsigned pye_cpu_features(void) { return PYE_CPU_NEON; }

bool pye_cpu_has_sha(void) { return false; }

#else

unsigned pye_cpu_features(void) { return 0; }

bool pye_cpu_has_sha(void) { return false; }

#endif

size_t pye_cpu_cache_bytes(void) {
    /* Kept: to ask takes longer than to gather a few rows. */
    static _Atomic size_t known;
    size_t n_bytes = atomic_load_explicit(&known, memory_order_relaxed);
    if (n_bytes == 0) {
        n_bytes = pye_machine_cache_bytes();
        if (n_bytes == 0)
            n_bytes = (size_t)16 << 20;
        atomic_store_explicit(&known, n_bytes, memory_order_relaxed);
    }
    return n_bytes;
}
