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

/* Dot products go block by block: the columns of a block, and the multiple of columns that its last part is filled up
 * to. simd/dot.h says what a dot product is. */
#define PYE_DOT_COLUMNS 512
#define PYE_DOT_STEP 64

/* Adds the dot product of one block of every row and every query to totals[row][query]. Rows and queries lie
 * PYE_DOT_COLUMNS floats apart; n is a multiple of PYE_DOT_STEP, at most PYE_DOT_COLUMNS. */
typedef void (*pye_dot_rows)(const float *rows, size_t n_rows, const float *queries, size_t n_queries, size_t n,
                             double *totals);

/* The dot product of one block straight from the stored weights: the same bits as decoding first. n is a multiple of
 * PYE_DOT_STEP and of the type's block. */
typedef float (*pye_fused_dot)(const uint8_t *from, const float *query, size_t n);

/* Adds the squares of n floats, a multiple of PYE_SQUARE_LANES, each to lane i mod PYE_SQUARE_LANES. */
#define PYE_SQUARE_LANES 16
typedef void (*pye_add_squares)(const float *row, size_t n, double lanes[PYE_SQUARE_LANES]);

typedef struct pye_kernels {
    const char *isa;
    pye_decode_row decode[PYE_TYPE_IDS]; /* NULL for ids that are no live type */
    pye_narrow_row to_half;
    pye_narrow_row to_bfloat;
    pye_stream_bytes stream;
    void (*fence)(void);
    pye_dot_rows dot;
    pye_fused_dot fused[PYE_TYPE_IDS]; /* NULL for types that have none */
    pye_add_squares squares;
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
