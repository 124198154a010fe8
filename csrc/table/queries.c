#include "table/queries.h"

#include <math.h>
#include <string.h>

#include "base/float_mode.h"

/* Block after block, in each one query after the other: what is needed together lies together, and never so that
 * queries push each other out of the caches. */
void pye_pack_floats(const float *queries, size_t n_queries, size_t n_columns, float *to) {
    for (size_t column = 0; column < n_columns; column += PYE_DOT_COLUMNS)
        for (size_t query = 0; query < n_queries; query++, to += PYE_DOT_COLUMNS) {
            size_t n = n_columns - column < PYE_DOT_COLUMNS ? n_columns - column : PYE_DOT_COLUMNS;
            memcpy(to, queries + query * n_columns + column, n * sizeof *to);
            memset(to + n, 0, (PYE_DOT_COLUMNS - n) * sizeof *to);
        }
}

#define WHOLE_LIMIT 0x1p23

/* The largest e for which all x 2^e, rounded, stay below the limit. */
static int exponent_of(const float *x, size_t n) {
    double largest = 0;
    for (size_t i = 0; i < n; i++)
        largest = fabs((double)x[i]) > largest ? fabs((double)x[i]) : largest;
    int exponent = 0;
    if (largest > 0) {
        (void)frexp(largest, &exponent);
        exponent =
            23 -
            exponent; /* the largest is now from 2^22 on and below the limit, unless rounding takes it there */
        if (rint(ldexp(largest, exponent)) >= WHOLE_LIMIT)
            exponent--;
    }
    return exponent;
}

/* Column c of a block is X. */
static void put(pye_coded_block *to, size_t c, int32_t x) {
    int32_t low = x & 255; /* of a negative number too: its remainder from the next multiple of 256 below */
    int16_t high = (int16_t)((x - low) / 256);
    to->high[c] = high;
    to->low[c] = (int16_t)low;
    to->high_by_parity[c / 32 * 32 + c % 2 * 16 + c % 32 / 2] = high;
    to->low_bytes[c] = (uint8_t)low;
    to->low_bytes_by_half[c / 32 * 32 + c % 16 * 2 + c % 32 / 16] = (uint8_t)low;
}

static void pack_block(const float *x, size_t n, pye_coded_block *to) {
    int32_t sums_of_16[PYE_CODED_COLUMNS / 16] = {0}, sums_of_32[PYE_CODED_COLUMNS / 32] = {0};
    int exponent = exponent_of(x, n);
    double scale = ldexp(1, exponent);
    memset(to, 0, sizeof *to);
    for (size_t c = 0; c < n; c++) {
        int32_t whole = (int32_t)rint((double)x[c] * scale);
        put(to, c, whole);
        sums_of_16[c / 16] += whole;
        sums_of_32[c / 32] += whole;
    }
    for (size_t i = 0; i < PYE_CODED_COLUMNS / 16; i++)
        to->sums_of_16[i] = (float)sums_of_16[i];
    for (size_t i = 0; i < PYE_CODED_COLUMNS / 32; i++)
        to->sums_of_32[i] = (float)sums_of_32[i];
    to->unit = ldexp(1, -exponent);
}

void pye_pack_codes(const float *queries, size_t n_queries, size_t n_columns, pye_coded_block *to) {
    uint64_t mode = pye_float_mode_begin();
    for (size_t column = 0; column < n_columns; column += PYE_CODED_COLUMNS)
        for (size_t query = 0; query < n_queries; query++) {
            size_t n = n_columns - column < PYE_CODED_COLUMNS ? n_columns - column : PYE_CODED_COLUMNS;
            pack_block(queries + query * n_columns + column, n, to++);
        }
    pye_float_mode_end(mode);
}
