/* What this machine's processor and operating system can run. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

typedef enum pye_cpu_feature {
    PYE_CPU_AVX2 = 1,   /* with FMA and F16C */
    PYE_CPU_AVX512 = 2, /* F, BW, DQ and VL, and all of AVX2's */
    PYE_CPU_NEON = 4
} pye_cpu_feature;

/* The features as a set of bits. */
unsigned pye_cpu_features(void);

/* Whether the processor has instructions for SHA-256. */
bool pye_cpu_has_sha(void);

/* Size of the last-level cache; a common one if the system does not report it. */
size_t pye_cpu_cache_bytes(void);
