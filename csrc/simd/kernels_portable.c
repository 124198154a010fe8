/* The portable back end: any C11 compiler, any machine. */
#include "simd/portable_words.h"
#include "simd/generic/byte_codes.h"

#define ISA portable
#include "simd/generic/kernels.inc.h"
