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
 * If that is not finite, because scales are not, the product is that of the decoded row, as simd/dot.h defines it.
 *
 * With u = 2^-24 the sums' roundings cost at most 34 u of the sum of |code scale x| + |m x|, and those of the query, in each
 * block, 2 u of its largest magnitude times the sum of the weights'. The usual case is ten times better. */
#ifndef PYE_SIMD_CODED_H
#define PYE_SIMD_CODED_H

#include "decode/blocks.h"
#include "simd/kernels.h"

/* Where the codes of a block go. How many queries there are, n, is known where an unpacker is instantiated. */
typedef struct coded_sink {
    const pye_coded_block *queries; /* [n] */
    vf8 even[CODED_QUERIES], odd[CODED_QUERIES];
} coded_sink;

/* Does something for each query. Written out, so that the lanes are known by name and stay in registers. */
#if CODED_QUERIES == 4
#define EACH_QUERY(n, something)                                                                                  \
    something(0);                                                                                                 \
    if ((n) > 1) {                                                                                                \
        something(1);                                                                                             \
        something(2);                                                                                             \
        something(3);                                                                                             \
    }
#else
#define EACH_QUERY(n, something)                                                                                  \
    (void)(n);                                                                                                    \
    something(0);
#endif

/* The lanes of a group, of which it is known whether it is even. */
INLINE vf8 *lanes_of(coded_sink *to, int query, int parity) {
    return parity == 0 ? &to->even[query] : &to->odd[query];
}

/* Group g: columns 0 to 15 and 16 to 31. */
INLINE void emit_words(coded_sink *to, int n, size_t g, int parity, vw first, vw second, vf8 scale) {
#define EMIT(i)                                                                                                   \
    vi dots##i = vi_dot_2(first, second, to->queries[i].high + 32 * g, to->queries[i].low + 32 * g);              \
    *lanes_of(to, i, parity) = vf8_fuse(vf8_from_vi(dots##i), scale, *lanes_of(to, i, parity))
    EACH_QUERY(n, EMIT)
#undef EMIT
}

/* The same of codes that are too large for sums of four. */
INLINE void emit_wide_words(coded_sink *to, int n, size_t g, vw first, vw second, vf8 scale) {
#define EMIT(i)                                                                                                   \
    const int16_t *high##i = to->queries[i].high + 32 * g, *low##i = to->queries[i].low + 32 * g;                 \
    to->even[i] = vf8_fuse(vf8_from_vi(vi_dot(first, high##i, low##i)), scale, to->even[i]);                      \
    to->odd[i] = vf8_fuse(vf8_from_vi(vi_dot(second, high##i + 16, low##i + 16)), scale, to->odd[i])
    EACH_QUERY(n, EMIT)
#undef EMIT
}

/* Group g: 32 bytes, signed, at most 64 in magnitude. */
INLINE void emit_bytes(coded_sink *to, int n, size_t g, int parity, vw bytes, vf8 scale) {
    vw even = vw_shift_signed(vw_shift_left(bytes, 8), 8), odd = vw_shift_signed(bytes, 8);
#define EMIT(i)                                                                                                   \
    vi dots##i = vi_dot_bytes(bytes, even, odd, to->queries[i].high_by_parity + 32 * g,                           \
                              to->queries[i].low_bytes + 32 * g);                                                 \
    *lanes_of(to, i, parity) = vf8_fuse(vf8_from_vi(dots##i), scale, *lanes_of(to, i, parity))
    EACH_QUERY(n, EMIT)
#undef EMIT
}

/* How many columns share a minimum. */
typedef enum minima { NO_MINIMA = 0, MINIMA_OF_16 = 16, MINIMA_OF_32 = 32 } minima;

INLINE void begin_block(coded_sink *to, int n){
#define BEGIN(i) to->even[i] = to->odd[i] = vf8_set(0)
    EACH_QUERY(n, BEGIN)
#undef BEGIN
}

INLINE void end_query(coded_sink *to, int i, minima kind, const float *minimum, double totals[PYE_CODED_LANES]) {
    const pye_coded_block *query = to->queries + i;
    const float *sums = kind == MINIMA_OF_16 ? query->sums_of_16 : query->sums_of_32;
    if (kind != NO_MINIMA)
        for (size_t g = 0; g < PYE_CODED_COLUMNS / (size_t)kind; g += 16) {
            to->even[i] = vf8_fuse(vf8_load(sums + g), vf8_load(minimum + g), to->even[i]);
            to->odd[i] = vf8_fuse(vf8_load(sums + g + 8), vf8_load(minimum + g + 8), to->odd[i]);
        }
    vf8_add_scaled(totals, vf8_add(to->even[i], to->odd[i]), query->unit);
}

INLINE void end_block(coded_sink *to, int n, minima kind, const float *minimum,
                      double (*totals)[PYE_CODED_LANES]) {
#define END(i) end_query(to, i, kind, minimum, totals[i])
    EACH_QUERY(n, END)
#undef END
}

/* Adds the products of n columns, at most PYE_CODED_COLUMNS, of a row and so many queries to totals[query]. */
typedef void (*coded_block)(const uint8_t *from, size_t n, const pye_coded_block *queries,
                            double (*totals)[PYE_CODED_LANES]);

/* That of a type, whose codes unpack_<name> hands out. Of a last block that is not whole some minima are not there. */
#define CODED_BLOCK(function, name, kind, n_queries)                                                              \
    static void function(const uint8_t *from, size_t n, const pye_coded_block *queries,                           \
                         double (*totals)[PYE_CODED_LANES]) {                                                     \
        float minimum[PYE_CODED_COLUMNS / 16];                                                                    \
        coded_sink to;                                                                                            \
        to.queries = queries;                                                                                     \
        if ((kind) != NO_MINIMA && n < PYE_CODED_COLUMNS)                                                         \
            memset(minimum, 0, sizeof minimum);                                                                   \
        begin_block(&to, n_queries);                                                                              \
        unpack_##name(from, n, &to, n_queries, minimum);                                                          \
        end_block(&to, n_queries, kind, minimum, totals);                                                         \
    }

/* Both that coded_rows takes. */
#if CODED_QUERIES > 1
#define CODED_BLOCKS(one, several, name, kind)                                                                    \
    CODED_BLOCK(one, name, kind, 1)                                                                               \
    CODED_BLOCK(several, name, kind, CODED_QUERIES)
#else
#define CODED_BLOCKS(one, several, name, kind)                                                                    \
    CODED_BLOCK(one, name, kind, 1)                                                                               \
    static const coded_block several = one;
#endif

/* As many queries as go at once stay in the first cache while that block of all rows passes by. */
INLINE void coded_rows(coded_block one, coded_block several, size_t n_weights, size_t block_bytes,
                       const uint8_t *const *rows, size_t n_rows, size_t n_columns, const pye_coded_block *queries,
                       size_t n_queries, double (*totals)[PYE_CODED_LANES]) {
    for (size_t column = 0; column < n_columns; column += PYE_CODED_COLUMNS, queries += n_queries) {
        size_t n = n_columns - column < PYE_CODED_COLUMNS ? n_columns - column : PYE_CODED_COLUMNS;
        size_t offset = column / n_weights * block_bytes, query = 0;
        for (; n_queries - query >= CODED_QUERIES; query += CODED_QUERIES)
            for (size_t row = 0; row < n_rows; row++)
                several(rows[row] + offset, n, queries + query, totals + row * n_queries + query);
        for (; query < n_queries; query++)
            for (size_t row = 0; row < n_rows; row++)
                one(rows[row] + offset, n, queries + query, totals + row * n_queries + query);
    }
}

#endif
