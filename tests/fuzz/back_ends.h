/* The back ends that run here, the portable one first. */
#ifndef PYE_TESTS_FUZZ_BACK_ENDS_H
#define PYE_TESTS_FUZZ_BACK_ENDS_H

#include "base/cpu.h"
#include "simd/kernels.h"

enum { FUZZ_MAX_BACK_ENDS = 4 };

/* In programs that are linked with tests/csrc/programs/emulated/avx512.c, where a name may be missing. */
#if !defined(_WIN32)
extern const pye_kernels pye_kernels_avx512_emulated __attribute__((weak));
#endif

static inline size_t fuzz_back_ends(const pye_kernels *found[FUZZ_MAX_BACK_ENDS]) {
    static unsigned features; /* kept: under a hypervisor asking the processor takes longer than a run */
    size_t n = 0;
    if (features == 0)
        features = pye_cpu_features();
    found[n++] = &pye_kernels_portable;
#if defined(__x86_64__)
    if (features & PYE_CPU_AVX2)
        found[n++] = &pye_kernels_avx2;
    if (features & PYE_CPU_AVX512)
        found[n++] = &pye_kernels_avx512;
#elif defined(__aarch64__)
    found[n++] = &pye_kernels_neon;
#endif
#if !defined(_WIN32)
    if (&pye_kernels_avx512_emulated != NULL)
        found[n++] = &pye_kernels_avx512_emulated;
#endif
    return n;
}

#endif
