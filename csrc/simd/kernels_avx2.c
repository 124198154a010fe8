/* The AVX2 back end. The target is set here, not by a compiler switch, so that the rest of the library stays runnable on
 * any machine. */
#if defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,f16c"))), apply_to = function)
#else
#pragma GCC target("avx2,fma,f16c")
#endif

#include "simd/avx2.h"

#define ISA avx2
#include "simd/generic/kernels.inc.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif

#else
typedef int pye_no_avx2_here;
#endif
