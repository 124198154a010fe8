/* What this machine's processor and operating system can run. */
#ifndef PYE_BASE_CPU_H
#define PYE_BASE_CPU_H

typedef enum pye_cpu_feature {
    PYE_CPU_AVX2 = 1,   /* with FMA and F16C */
    PYE_CPU_AVX512 = 2, /* F, BW, DQ and VL, and all of AVX2's */
    PYE_CPU_NEON = 4
} pye_cpu_feature;

/* The features as a set of bits. */
unsigned pye_cpu_features(void);

#endif
