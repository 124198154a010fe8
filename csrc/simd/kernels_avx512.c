/* The AVX-512 back end. The target is set here, not by a compiler switch, so that the rest of the library stays runnable on
 * any machine. */
#if defined(__x86_64__)

#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c"))),         \
                             apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,f16c")
#endif

#include "simd/avx512.h"

#define ISA avx512
#include "simd/generic/kernels.inc.h"

#if defined(__clang__)
#pragma clang attribute pop
#endif

#else
typedef int pye_no_avx512_here;
#endif
