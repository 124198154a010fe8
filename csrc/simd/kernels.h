/* What a back end offers: rows to float32 for every type, and float32 to the 16-bit output types. */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/types.h"
#include "simd/scaling.h"

/* A cache line. */
#define PYE_LINE_BYTES 64

/* Asks for the lines of some bytes. */
static inline void pye_prefetch_bytes(const uint8_t *from, size_t n_bytes) {
    for (const uint8_t *line = from - (uintptr_t)from % PYE_LINE_BYTES; line < from + n_bytes;
         line += PYE_LINE_BYTES)
        __builtin_prefetch(line, 0, 3);
}

/* The same for what is needed some rows later. The second cache waits for more lines at a time than the first, and keeps them
 * longer: on AMD's Zen 4 pooled rows came up to 1.7 times as fast. */
static inline void pye_prefetch_far(const uint8_t *from, size_t n_bytes) {
    for (const uint8_t *line = from - (uintptr_t)from % PYE_LINE_BYTES; line < from + n_bytes;
         line += PYE_LINE_BYTES)
        __builtin_prefetch(line, 0, 2);
}

/* The least alignment of large arrays from allocators: enough for stores that bypass the caches. */
#define PYE_STREAM_ALIGNMENT 16

/* n weights, a multiple of the type's block. Nothing is checked and nothing outside the row is touched. Neither pointer
 * needs alignment. */
typedef void (*pye_decode_row)(const uint8_t *from, float *to, size_t n);

/* n floats to n 16-bit numbers, rounded to nearest even. */
typedef void (*pye_narrow_row)(const float *from, void *to, size_t n);

/* Copies n_bytes past the caches, but for parts of lines at both ends. The caller ends with `fence`. */
typedef void (*pye_stream_bytes)(const void *from, void *to, size_t n_bytes);

/* Dot products go block by block: the columns of a block, and the multiple of columns that its last part is filled up
 * to. simd/generic/dot.h says what a dot product is. */
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
 * simd/generic/coded.h defines their products. Laid out for all ways of unpacking: of every 32 columns, `by_parity` has the
 * even ones before the odd ones, and `by_half` the first, the seventeenth, the second, the eighteenth ... */
typedef struct pye_coded_block {
    _Alignas(64) int16_t high[PYE_CODED_COLUMNS];
    int16_t low[PYE_CODED_COLUMNS];
    int16_t high_by_parity[PYE_CODED_COLUMNS];
    uint8_t low_bytes[PYE_CODED_COLUMNS];
    uint8_t low_bytes_by_half[PYE_CODED_COLUMNS];
    float sums_of_16[PYE_CODED_COLUMNS / 16], sums_of_32[PYE_CODED_COLUMNS / 32]; /* of X */
    double unit;                                                                  /* 2^-e: x is about unit X */
} pye_coded_block;

/* As many columns of a row, unpacked for several queries: of every 32 columns, in the order in which they are multiplied,
 * codes as words, codes as bytes unless they are wide, and the scales of eight sums; and all minima. */
typedef struct pye_coded_tile {
    _Alignas(64) int16_t words[PYE_CODED_COLUMNS];
    int8_t bytes[PYE_CODED_COLUMNS];
    float scales[PYE_CODED_COLUMNS / 4];
    float minima[PYE_CODED_COLUMNS / 16];
} pye_coded_tile;

/* A dot product of codes is the sum of these lanes. */
#define PYE_CODED_LANES 8

/* How the codes of a type are multiplied, and how many columns share a minimum. */
typedef enum pye_coded_order { PYE_CODED_WORDS, PYE_CODED_WIDE_WORDS, PYE_CODED_BYTES } pye_coded_order;
typedef enum pye_minima { PYE_NO_MINIMA = 0, PYE_MINIMA_OF_16 = 16, PYE_MINIMA_OF_32 = 32 } pye_minima;

/* The kernels of a type whose weights are codes. n is a multiple of its block. Nothing beyond the row is read, though a
 * little is prefetched. */
typedef struct pye_coded_type {
    pye_coded_order order;
    pye_minima minima;
    /* Adds the products of a whole row and one query, whose blocks are `stride` apart, straight from the stored codes. */
    void (*dot)(const uint8_t *row, size_t n, const pye_coded_block *query, size_t stride,
                double totals[PYE_CODED_LANES]);
    /* Up to PYE_CODED_COLUMNS columns. */
    void (*unpack)(const uint8_t *from, size_t n, pye_coded_tile *to);
} pye_coded_type;

/* Adds the products of n columns of unpacked rows and queries to totals[row][query]. */
typedef void (*pye_dot_tiles)(const pye_coded_type *type, const pye_coded_tile *rows, size_t n_rows, size_t n,
                              const pye_coded_block *queries, size_t n_queries, double (*totals)[PYE_CODED_LANES]);

/* Adds the squares of n floats, a multiple of PYE_SQUARE_LANES, each to lane i mod PYE_SQUARE_LANES. */
#define PYE_SQUARE_LANES 16
typedef void (*pye_add_squares)(const float *row, size_t n, double lanes[PYE_SQUARE_LANES]);

/* Rows to add. */
typedef struct pye_addends {
    const uint8_t *const *rows;
    size_t at;            /* the byte of each row where the columns begin */
    const float *weights; /* one a row; may be NULL */
    size_t n;
} pye_addends;

/* Columns of rows that are added at a time, if they are blocks. */
#define PYE_ADDED_COLUMNS 512

/* Adds n columns of rows as they are stored to `to`: simd/generic/sums.h says how. Of blocks n is a multiple of the type's, at most
 * PYE_ADDED_COLUMNS. Nothing outside those columns is touched, and nothing needs alignment. */
typedef void (*pye_add_rows)(float *to, const pye_addends *from, size_t n);

/* Likewise the larger of each of n columns of a row and what `to` has. */
typedef void (*pye_max_row)(float *to, const float *row, size_t n);

/* Divides n floats by a number, each quotient rounded once to float32. */
typedef void (*pye_divide)(float *to, size_t n, float by);
typedef void (*pye_divide_by_double)(float *to, size_t n, double by);

/* Columns first .. first + n - 1 of a row whose codes, scales and biases begin at parts[PYE_CODES], parts[PYE_SCALES] and
 * parts[PYE_BIASES]; parts that `how` has no use for need not be set. `first` is a multiple of 256, and only the end of the
 * row may lie inside 16 columns. Nothing is checked, and nothing but those columns' codes, scales and biases is read. No
 * pointer needs alignment. */
typedef void (*pye_decode_scaled)(const pye_scaling *how, const uint8_t *const parts[PYE_N_PARTS], size_t first,
                                  size_t n, float *to);

typedef struct pye_kernels {
    const char *isa;
    pye_decode_row decode[PYE_TYPE_IDS]; /* NULL for ids of no type */
    /* The same past the caches, to a multiple of PYE_STREAM_ALIGNMENT. The caller ends with `fence`. */
    pye_decode_row stream_row[PYE_TYPE_IDS];
    pye_decode_scaled decode_scaled;
    pye_decode_scaled stream_scaled; /* past the caches, as stream_row */
    pye_narrow_row to_half;
    pye_narrow_row to_bfloat;
    pye_stream_bytes stream;
    void (*fence)(void);
    pye_dot_rows dot;
    pye_fused_dot fused[PYE_TYPE_IDS];  /* NULL for types that have none */
    pye_coded_type coded[PYE_TYPE_IDS]; /* NULL functions for all other types */
    pye_dot_tiles dot_tiles;
    pye_add_squares squares;
    pye_add_rows add_rows[PYE_TYPE_IDS]; /* NULL for types that have none */
    pye_max_row max_row;
    pye_divide divide;
    pye_divide_by_double divide_by_double;
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
