/* What a back end offers: rows to float32 for every type, and float32 to the 16-bit output types. */
#ifndef PYE_SIMD_KERNELS_H
#define PYE_SIMD_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "base/types.h"

/* n weights, a multiple of the type's block. Nothing is checked and nothing outside the row is touched. Neither pointer
 * needs alignment. */
typedef void (*pye_decode_row)(const uint8_t *from, float *to, size_t n);

/* n floats to n 16-bit numbers, rounded to nearest even. */
typedef void (*pye_narrow_row)(const float *from, void *to, size_t n);

/* Copies n_bytes past the caches where `to` is on a multiple of 16, and as usual elsewhere. The caller ends with
 * `fence`. */
typedef void (*pye_stream_bytes)(const void *from, void *to, size_t n_bytes);

typedef struct pye_kernels {
    const char *isa;
    pye_decode_row decode[PYE_TYPE_IDS]; /* NULL for ids that are no live type */
    pye_narrow_row to_half;
    pye_narrow_row to_bfloat;
    pye_stream_bytes stream;
    void (*fence)(void);
} pye_kernels;

extern const pye_kernels pye_kernels_portable;
#if defined(__x86_64__)
extern const pye_kernels pye_kernels_avx2;
extern const pye_kernels pye_kernels_avx512;
#elif defined(__aarch64__)
extern const pye_kernels pye_kernels_neon;
#endif

/* The best back end that this machine can run, or the one that the environment's PYEMBED_ISA names; PYE_ERROR_ARGUMENT
 * where that one cannot run. */
pye_status pye_kernels_choose(const pye_kernels **kernels, pye_error *error);

#endif
