/* The back ends that run here, the portable one first. */
#ifndef PYE_TESTS_FUZZ_BACK_ENDS_H
#define PYE_TESTS_FUZZ_BACK_ENDS_H

#include "base/cpu.h"
#include "simd/kernels.h"

enum { FUZZ_MAX_BACK_ENDS = 3 };

static inline size_t fuzz_back_ends(const pye_kernels *found[FUZZ_MAX_BACK_ENDS]) {
    size_t n = 0;
    found[n++] = &pye_kernels_portable;
#if defined(__x86_64__)
    if (pye_cpu_features() & PYE_CPU_AVX2)
        found[n++] = &pye_kernels_avx2;
    if (pye_cpu_features() & PYE_CPU_AVX512)
        found[n++] = &pye_kernels_avx512;
#elif defined(__aarch64__)
    found[n++] = &pye_kernels_neon;
#endif
    return n;
}

#endif
