/* The AVX-512 back end as plain C, for processors that cannot run it: each intrinsic is a function of SIMDe, or of the header
 * that stands in for the compiler's. */
#include "simd/avx512.h"

#define ISA avx512_emulated
#include "simd/generic/kernels.inc.h"
