/* Choice of the back end. */
#include "simd/kernels.h"

const pye_kernels *pye_kernels_best(void) { return &pye_kernels_portable; }

const char *pye_isa(void) { return pye_kernels_best()->isa; }
