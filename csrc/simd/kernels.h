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

/* The dot product of one block straight from the stored floats: the same bits as decoding first. n is a multiple of
 * PYE_DOT_STEP. */
typedef float (*pye_fused_dot)(const uint8_t *from, const float *query, size_t n);

/* Columns that a query in whole numbers has one unit for. */
#define PYE_CODED_COLUMNS 1024

/* PYE_CODED_COLUMNS columns of a query in whole numbers, X = 256 high + low with low from 0 to 255, for rows of codes;
 * simd/coded.h says what is done with it. It is laid out for both ways of unpacking. */
typedef struct pye_coded_block {
    _Alignas(64) int16_t high[PYE_CODED_COLUMNS];
    int16_t low[PYE_CODED_COLUMNS];
    int16_t high_by_parity[PYE_CODED_COLUMNS]; /* of every 32 columns first the 16 even ones, then the odd ones */
    uint8_t low_bytes[PYE_CODED_COLUMNS];
    float sums_of_16[PYE_CODED_COLUMNS / 16], sums_of_32[PYE_CODED_COLUMNS / 32]; /* of X */
    double unit;                                                                  /* 2^-e: x is about unit X */
} pye_coded_block;

/* The sums that a dot product of codes is the sum of in the end. */
#define PYE_CODED_LANES 8

/* Adds the products of whole rows and queries to totals[row][query][PYE_CODED_LANES]. Queries are [blocks][n_queries];
 * n_columns is a multiple of the type's block. A little of what lies behind the rows is prefetched. */
typedef void (*pye_coded_dot)(const uint8_t *const *rows, size_t n_rows, size_t n_columns,
                              const pye_coded_block *queries, size_t n_queries, double (*totals)[PYE_CODED_LANES]);

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
    pye_coded_dot coded[PYE_TYPE_IDS]; /* likewise */
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
