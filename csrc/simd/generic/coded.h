/* Dot products of rows whose weights are whole numbers, the codes, times a scale that 16 or 32 of them share. The query is
 * made whole too, so that most of the work is done in 16-bit words, and exactly. What such a product is, to the bit:
 *
 * The columns are cut into blocks of 1024, and those into groups of 32. Of a block, the query x becomes X[c] = x[c] 2^e,
 * rounded to the nearest whole number, ties to even, with the largest e for which every |X[c]| is below 2^23
 * (table/queries.c). A block has 16 lanes of float32, which begin at zero.
 *
 * The sum of code[c] X[c] over a few columns of a group is exact. It is rounded to float32 and goes to a lane: lane =
 * round(sum scale + lane), one rounding. For which columns c, counted within the group, to which lane, j from 0 to 7:
 *
 *     words       Q4_0 Q4_1 Q4_K MXFP4              2 j, 2 j + 1, 16 + 2 j, 17 + 2 j: lane j of even groups, 8 + j of odd ones
 *     wide words  Q8_0 IQ4_NL, codes of eight bits  2 j, 2 j + 1: lane j; 16 + 2 j, 17 + 2 j: lane 8 + j
 *     bytes       Q2_K Q3_K Q5_0 Q5_1 Q5_K Q6_K     4 j, 4 j + 1, 4 j + 2, 4 j + 3: lane j of even groups, 8 + j of odd ones
 *
 * Then, of types with a minimum m that 16 or 32 columns share: the sum of X over group i of these is rounded to float32,
 * and lane i mod 16 = round(sum m + lane).
 * At the end lanes j and 8 + j are added in float32, and these eight, times 2^-e, in float64 to what the blocks before have
 * left. After the last block the eight are added in halves: j and j + 4, j and j + 2, j and j + 1.
 * If that is not finite, because scales are not, the product is that of the decoded row, as simd/generic/dot.h defines it.
 *
 * With u = 2^-24 the sums' roundings cost at most 34 u of the sum of |code scale x| + |m x|, and those of the query, in each
 * block, 2 u of its largest magnitude times the sum of the weights'. The usual case is ten times better. */
#pragma once

#include <string.h>

#include "simd/inline.h"
#include "simd/kernels.h"

/* Where the codes of a block of columns go: into a tile, or straight into a product. Which of the two is a
 * constant where an unpacker is instantiated, so that the choice costs nothing. */
typedef struct coded_sink {
    int is_tiled;
    pye_coded_tile *tile;
    const pye_coded_block *query; /* of a product */
    vf8 even, odd;                /* lanes 0 to 7 and 8 to 15 */
} coded_sink;

INLINE void store_codes(pye_coded_tile *tile, size_t g, vw first, vw second, vf8 scale) {
    vw_store(tile->words + 32 * g, first);
    vw_store(tile->words + 32 * g + 16, second);
    vf8_store(tile->scales + 8 * g, scale);
}

/* Into the lanes of a group, whose parity is a constant. */
INLINE void add_sums(coded_sink *to, int parity, vi sums, vf8 scale) {
    vf8 *lanes = parity == 0 ? &to->even : &to->odd;
    *lanes = vf8_fuse(vf8_from_vi(sums), scale, *lanes);
}

/* Group g: columns 0 to 15 and 16 to 31. */
INLINE void emit_words(coded_sink *to, size_t g, int parity, vw first, vw second, vf8 scale) {
    if (!to->is_tiled) {
        add_sums(to, parity, vi_dot_2(first, second, to->query->high + 32 * g, to->query->low + 32 * g), scale);
        return;
    }
    store_codes(to->tile, g, first, second, scale);
    vw_store(to->tile->bytes + 32 * g, vw_or(vw_and(first, 0xFF), vw_shift_left(second, 8)));
}

/* The same of codes that are too large for sums of four. */
INLINE void emit_wide_words(coded_sink *to, size_t g, vw first, vw second, vf8 scale) {
    if (!to->is_tiled) {
        const int16_t *high = to->query->high + 32 * g, *low = to->query->low + 32 * g;
        add_sums(to, 0, vi_dot(first, high, low), scale);
        add_sums(to, 1, vi_dot(second, high + 16, low + 16), scale);
        return;
    }
    store_codes(to->tile, g, first, second, scale);
}

/* Group g: 32 bytes, signed, at most 64 in magnitude. */
INLINE void emit_bytes(coded_sink *to, size_t g, int parity, vw bytes, vf8 scale) {
    vw even = vw_shift_signed(vw_shift_left(bytes, 8), 8), odd = vw_shift_signed(bytes, 8);
    if (!to->is_tiled) {
        const pye_coded_block *query = to->query;
        add_sums(to, parity,
                 vi_dot_bytes(bytes, even, odd, query->high_by_parity + 32 * g, query->low_bytes + 32 * g), scale);
        return;
    }
    store_codes(to->tile, g, even, odd, scale);
    vw_store(to->tile->bytes + 32 * g, bytes);
}

/* What is left to do for a block of columns once all codes are in the lanes. */
INLINE void end_block(vf8 even, vf8 odd, pye_minima kind, const float *minima, const pye_coded_block *query,
                      double totals[PYE_CODED_LANES]) {
    const float *sums = kind == PYE_MINIMA_OF_16 ? query->sums_of_16 : query->sums_of_32;
    if (kind != PYE_NO_MINIMA)
        for (size_t g = 0; g < PYE_CODED_COLUMNS / (size_t)kind; g += 16) {
            even = vf8_fuse(vf8_load(sums + g), vf8_load(minima + g), even);
            odd = vf8_fuse(vf8_load(sums + g + 8), vf8_load(minima + g + 8), odd);
        }
    vf8_add_scaled(totals, vf8_add(even, odd), query->unit);
}

/* ---------------------------------------------------------------------------- one row, one query */

/* How a type hands out n columns. */
typedef void (*unpack_codes)(const uint8_t *from, size_t n, coded_sink *to, float *minima);

INLINE void coded_dot(unpack_codes unpack, size_t n_weights, size_t block_bytes, pye_minima kind,
                      const uint8_t *row, size_t n_columns, const pye_coded_block *query, size_t stride,
                      double totals[PYE_CODED_LANES]) {
    float minima[PYE_CODED_COLUMNS / 16];
    for (size_t column = 0; column < n_columns; column += PYE_CODED_COLUMNS, query += stride) {
        size_t n = n_columns - column < PYE_CODED_COLUMNS ? n_columns - column : PYE_CODED_COLUMNS;
        coded_sink to = {0, NULL, query, vf8_set(0), vf8_set(0)};
        if (kind != PYE_NO_MINIMA && n < PYE_CODED_COLUMNS)
            memset(minima, 0, sizeof minima); /* some are not there */
        unpack(row + column / n_weights * block_bytes, n, &to, minima);
        end_block(to.even, to.odd, kind, minima, query, totals);
    }
}

INLINE void coded_unpack(unpack_codes unpack, pye_minima kind, const uint8_t *from, size_t n,
                         pye_coded_tile *tile) {
    coded_sink to = {1, tile, NULL, vf8_set(0), vf8_set(0)};
    if (kind != PYE_NO_MINIMA && n < PYE_CODED_COLUMNS)
        memset(tile->minima, 0, sizeof tile->minima);
    unpack(from, n, &to, tile->minima);
}

/* ------------------------------------------------------------------------ many rows, many queries */

/* The sums of group g, of codes that are not wide. */
INLINE vi tile_sums(pye_coded_order order, const pye_coded_tile *row, size_t g, const pye_coded_block *query) {
    vw first = vw_load_words(row->words + 32 * g), second = vw_load_words(row->words + 32 * g + 16);
    vw bytes = vw_load(row->bytes + 32 * g);
    return order == PYE_CODED_WORDS
               ? vi_dot_bytes(bytes, first, second, query->high + 32 * g, query->low_bytes_by_half + 32 * g)
               : vi_dot_bytes(bytes, first, second, query->high_by_parity + 32 * g, query->low_bytes + 32 * g);
}

/* Queries that an unpacked row serves at once: as many as leave half of the registers free. */
#define CODED_QUERIES 4

#define EACH_QUERY(n_queries, something)                                                                          \
    something(0);                                                                                                 \
    if ((n_queries) > 1) {                                                                                        \
        something(1);                                                                                             \
        something(2);                                                                                             \
        something(3);                                                                                             \
    }

/* One row and 1 or CODED_QUERIES queries, whose lanes have names of their own, so that they stay in registers. */
INLINE void dot_tile(pye_coded_order order, pye_minima kind, int n_queries, const pye_coded_tile *row, size_t n,
                     const pye_coded_block *q, double (*totals)[PYE_CODED_LANES]) {
    vf8 even0 = vf8_set(0), even1 = even0, even2 = even0, even3 = even0;
    vf8 odd0 = even0, odd1 = even0, odd2 = even0, odd3 = even0;
    size_t g = 0;
#define ADD(lanes, sums) lanes = vf8_fuse(vf8_from_vi(sums), scale, lanes)
    if (order == PYE_CODED_WIDE_WORDS)
        for (; 32 * g < n; g++) {
            vw first = vw_load_words(row->words + 32 * g), second = vw_load_words(row->words + 32 * g + 16);
            vf8 scale = vf8_load(row->scales + 8 * g);
#define WIDE(i)                                                                                                   \
    ADD(even##i, vi_dot(first, q[i].high + 32 * g, q[i].low + 32 * g));                                           \
    ADD(odd##i, vi_dot(second, q[i].high + 32 * g + 16, q[i].low + 32 * g + 16))
            EACH_QUERY(n_queries, WIDE)
#undef WIDE
        }
    else
        for (; 32 * g < n; g++) {
            vf8 scale = vf8_load(row->scales + 8 * g);
#define EVEN(i) ADD(even##i, tile_sums(order, row, g, q + i))
#define ODD(i) ADD(odd##i, tile_sums(order, row, g, q + i))
            EACH_QUERY(n_queries, EVEN)
            if (32 * ++g >= n)
                break;
            scale = vf8_load(row->scales + 8 * g);
            EACH_QUERY(n_queries, ODD)
#undef EVEN
#undef ODD
        }
#undef ADD
#define END(i) end_block(even##i, odd##i, kind, row->minima, q + i, totals[i])
    EACH_QUERY(n_queries, END)
#undef END
}

/* As many queries as go at once stay in the first cache while all rows pass by. */
INLINE void dot_tiles_of(pye_coded_order order, pye_minima kind, const pye_coded_tile *rows, size_t n_rows,
                         size_t n, const pye_coded_block *queries, size_t n_queries,
                         double (*totals)[PYE_CODED_LANES]) {
    size_t query = 0;
    for (; n_queries - query >= CODED_QUERIES; query += CODED_QUERIES)
        for (size_t row = 0; row < n_rows; row++)
            dot_tile(order, kind, CODED_QUERIES, rows + row, n, queries + query, totals + row * n_queries + query);
    for (; query < n_queries; query++)
        for (size_t row = 0; row < n_rows; row++)
            dot_tile(order, kind, 1, rows + row, n, queries + query, totals + row * n_queries + query);
}
