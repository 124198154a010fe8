/* The portable back end: any C11 compiler, any machine. */
#include "simd/portable_words.h"
#include "simd/byte_codes.h"

#define ISA portable
#include "simd/kernels.inc.h"
