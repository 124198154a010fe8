/* The NEON back end: part of every 64-bit Arm machine, so that no target needs to be set. */
#if defined(__aarch64__)

#include "simd/neon_words.h"
#include "simd/generic/byte_codes.h"

#define ISA neon
#include "simd/generic/kernels.inc.h"

#else
typedef int pye_no_neon_here;
#endif
