/* What is wrong with rows, found without decoding them all.
 *
 * A block's weights are finite if its scales are (and, for exponents near the end of their range, not too large). So the
 * scales are scanned where they lie, and only rows in which one is suspicious are decoded to see what came of it. Whether
 * all weights are the same number shows in the first few of almost every row. Rows whose scales lie beside their codes are
 * decoded: codes of floats may be NaN themselves. */
#include <inttypes.h>
#include <math.h>

#include "base/byte_order.h"
#include "base/float_mode.h"
#include "base/siphash.h"
#include "base/status.h"
#include "base/watch.h"
#include "layout/finder.h"
#include "table/pass.h"
#include "table/rows.h"

/* Weights that are decoded at once: a multiple of every block. */
#define TILE_WEIGHTS 256

#define WATCHED_BYTES (UINT64_C(256) << 10) /* looking at them takes far longer than looking at a clock */

/* What a scan of a row's scales found, ascending. */
typedef enum suspicion {
    NOTHING = 0,
    LARGE = 1,  /* finite, but products with it may not be */
    REFUSED = 2 /* llama.cpp refuses it */
} suspicion;

/* The numbers of one place in every block of a row: true if all bits of `mask` are set in one. The mask is byte-swapped,
 * not the numbers. */
#define DEFINE_SCAN(name, word, swap_word)                                                                        \
    static bool name(const uint8_t *at, size_t n_blocks, size_t stride, word mask, bool swap) {                   \
        word wanted = swap ? swap_word(mask) : mask;                                                              \
        unsigned found = 0;                                                                                       \
        if (stride == sizeof(word)) /* a loop of its own, which the compiler can vectorise */                     \
            for (size_t i = 0; i < n_blocks; i++) {                                                               \
                word value;                                                                                       \
                memcpy(&value, at + i * sizeof(word), sizeof value);                                              \
                found |= (value & wanted) == wanted;                                                              \
            }                                                                                                     \
        else                                                                                                      \
            for (size_t i = 0; i < n_blocks; i++) {                                                               \
                word value;                                                                                       \
                memcpy(&value, at + i * stride, sizeof value);                                                    \
                found |= (value & wanted) == wanted;                                                              \
            }                                                                                                     \
        return found != 0;                                                                                        \
    }
DEFINE_SCAN(has_half, uint16_t, pye_swap16)
DEFINE_SCAN(has_float, uint32_t, pye_swap32)
#undef DEFINE_SCAN

/* Exponents of 1023 + 127 and above: what rounds to a float of the largest exponent, or to none. */
static bool has_large_double(const uint8_t *at, size_t n, bool swap) {
    unsigned found = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t value;
        memcpy(&value, at + i * sizeof value, sizeof value);
        if (swap)
            value = pye_swap64(value);
        found |= (value & UINT64_C(0x7FF0000000000000)) >= UINT64_C(0x47E0000000000000);
    }
    return found != 0;
}

/* The half's highest nibble leads the fourth word, and its exponent is the nibble's lower three bits and the two upper ones
 * of the nibble that leads the third. */
static bool has_scattered_half(const uint8_t *at, size_t n_blocks, size_t stride, bool swap) {
    unsigned found = 0;
    for (size_t i = 0; i < n_blocks; i++, at += stride) {
        uint16_t words[4];
        memcpy(words, at, sizeof words);
        uint16_t third = swap ? pye_swap16(words[2]) : words[2];
        uint16_t fourth = swap ? pye_swap16(words[3]) : words[3];
        found |= (third & 0xC000) == 0xC000 && (fourth & 0x7000) == 0x7000;
    }
    return found != 0;
}

/* With exponent e and the largest code, 12: 12 x 2^(e - 128) is infinite from e = 253 on. */
static suspicion scan_exponents(const uint8_t *at, size_t n_blocks, size_t stride) {
    uint8_t most = 0;
    for (size_t i = 0; i < n_blocks; i++)
        most = at[i * stride] > most ? at[i * stride] : most;
    return most == 255 ? REFUSED : most >= 253 ? LARGE : NOTHING;
}

static suspicion scan_scale(const pye_table *table, pye_scale scale, const uint8_t *row, size_t n_blocks) {
    size_t stride = table->type->block_bytes;
    const uint8_t *at = row + scale.offset;
    switch (scale.kind) {
    case 'h':
        return has_half(at, n_blocks, stride, 0x7C00, table->swap) ? REFUSED : NOTHING;
    case 'b':
        return has_half(at, n_blocks, stride, 0x7F80, table->swap) ? REFUSED : NOTHING;
    case 'w':
        if (has_float(at, n_blocks, stride, 0x7F800000, table->swap))
            return REFUSED;
        /* A code of 128 takes a scale of 2^121, whose exponent is 248, beyond the largest float. */
        return table->type->n_weights > 1 && has_float(at, n_blocks, stride, 0x7C000000, table->swap) ? LARGE
                                                                                                      : NOTHING;
    case 'd':
        return has_large_double(at, n_blocks, table->swap) ? LARGE : NOTHING;
    case 'm':
        return has_scattered_half(at, n_blocks, stride, table->swap) ? REFUSED : NOTHING;
    default:
        return scan_exponents(at, n_blocks, stride);
    }
}

typedef struct checker {
    const pye_table *table;
    pye_scale scales[PYE_MAX_SCALES];
    size_t n_scales;
} checker;

/* Which kinds of numbers a row holds that are not finite. */
static uint8_t classify(const checker *check, const pye_row *row) {
    float tile[TILE_WEIGHTS];
    size_t n_columns = (size_t)check->table->info.n_columns;
    uint8_t faults = 0;
    for (size_t i = 0; i < n_columns; i += TILE_WEIGHTS) {
        size_t n = n_columns - i < TILE_WEIGHTS ? n_columns - i : TILE_WEIGHTS;
        pye_table_decode(check->table, row, i, n, tile);
        for (size_t k = 0; k < n; k++) {
            if (isnan(tile[k]))
                faults |= PYE_ROW_NAN;
            else if (isinf(tile[k]))
                faults |= PYE_ROW_INFINITE;
        }
    }
    return faults;
}

static uint8_t find_not_finite(const checker *check, const pye_row *row) {
    size_t n_blocks = (size_t)check->table->info.n_columns / check->table->type->n_weights;
    suspicion worst = NOTHING;
    for (size_t i = 0; i < check->n_scales; i++) {
        suspicion found = scan_scale(check->table, check->scales[i], row->parts[PYE_CODES], n_blocks);
        worst = found > worst ? found : worst;
    }
    if (worst == NOTHING)
        return 0;
    uint8_t faults = classify(check, row);
    /* A double that does not fit a float is refused too. */
    bool is_refused = worst == REFUSED || (faults != 0 && check->table->info.type == PYE_TYPE_F64);
    return is_refused ? faults | PYE_ROW_REFUSED : faults;
}

/* Whether scale number i is zero, of either sign; E8M0 has no zero. */
static bool is_zero_scale(pye_number number, const uint8_t *scales, uint64_t i) {
    uint64_t value = 0;
    uint64_t n_bytes = pye_number_bytes(number);
    memcpy(&value, scales + i * n_bytes, (size_t)n_bytes);
    if (pye_host_is_big_endian())
        value = pye_swap64(value);
    return number != PYE_NUMBER_E8M0 && value << (64 - 8 * n_bytes) << 1 == 0;
}

/* Groups whose scale is zero lose their codes: that is how a row looks after its scales were lost in part. */
static uint8_t find_zero_scale(const pye_table *table, const pye_row *row) {
    pye_number number = table->scaling.scales;
    if (number == PYE_NUMBER_NONE || table->scaling.group == 0)
        return 0;
    uint64_t n_zero = 0, n = table->layout[PYE_SCALES].row_bytes / pye_number_bytes(number);
    for (uint64_t i = 0; i < n; i++)
        n_zero += is_zero_scale(number, row->parts[PYE_SCALES], i);
    return n_zero > 0 && n_zero < n ? PYE_ROW_ZERO_SCALE : 0;
}

static uint8_t find_equal(const checker *check, const pye_row *row) {
    float tile[TILE_WEIGHTS];
    size_t n_columns = (size_t)check->table->info.n_columns;
    float first = 0;
    for (size_t i = 0; i < n_columns; i += TILE_WEIGHTS) {
        size_t n = n_columns - i < TILE_WEIGHTS ? n_columns - i : TILE_WEIGHTS;
        pye_table_decode(check->table, row, i, n, tile);
        first = i == 0 ? tile[0] : first;
        for (size_t k = 0; k < n; k++)
            if (tile[k] != first) /* NaN != NaN */
                return 0;
    }
    return first == 0 ? PYE_ROW_ZERO | PYE_ROW_EQUAL : PYE_ROW_EQUAL;
}

/* Of all parts: each is hashed under a key that the hash of those before it changes. */
static uint64_t hash_row(const pye_table *table, const pye_row *row, const uint64_t key[2]) {
    uint64_t hash = pye_siphash(key, row->parts[PYE_CODES], (size_t)table->layout[PYE_CODES].row_bytes);
    for (size_t part = 1; part < table->n_parts; part++) {
        const uint64_t next[2] = {key[0] ^ hash, key[1]};
        hash = pye_siphash(next, row->parts[part], (size_t)table->layout[part].row_bytes);
    }
    return hash;
}

pye_status pye_table_check(const pye_table *table, uint64_t first, uint64_t n, uint8_t *faults,
                           const uint64_t key[2], uint64_t *hashes, pye_error *error) {
    const pye_table_info *info = &table->info;
    if (first > info->n_rows || n > info->n_rows - first)
        return pye_fail(error, PYE_ERROR_ID, first,
                        "%" PRIu64 " rows from row %" PRIu64 " on are not inside the table, which has %" PRIu64, n,
                        first, info->n_rows);
    checker check = {.table = table};
    if (table->is_blocks)
        check.n_scales = pye_type_scales(info->type, check.scales);
    pye_pass pass;
    pye_pass_begin(&pass, table, first, n);
    uint64_t step = WATCHED_BYTES / (info->row_bytes + 1) + 1, entered = 0;
    uint8_t always = info->type == PYE_TYPE_Q8_1 ? PYE_ROW_REFUSED : 0;
    uint64_t mode = pye_float_mode_begin();
    pye_watch watch = pye_watch_begin(&table->model->interrupt);
    bool is_interrupted = false;
    uint64_t n_unwatched = 0;
    for (uint64_t i = 0; i < n && !is_interrupted; i++) {
        if (i == entered) {
            if (i > 0)
                pye_pass_leave(&pass, first + i - step, step);
            entered += step;
            pye_pass_enter(&pass, first + i, n - i < step ? n - i : step);
        }
        pye_row row = pye_table_row(table, first + i);
        faults[i] = always;
        if (info->n_columns > 0 && table->is_blocks)
            faults[i] |= find_not_finite(&check, &row) | find_equal(&check, &row);
        else if (info->n_columns > 0)
            faults[i] |= classify(&check, &row) | find_zero_scale(table, &row) | find_equal(&check, &row);
        if (hashes != NULL)
            hashes[i] = hash_row(table, &row, key);
        n_unwatched += info->row_bytes + 1;
        if (n_unwatched >= WATCHED_BYTES) {
            n_unwatched = 0;
            pye_float_mode_end(mode); /* callbacks run in the caller's mode */
            is_interrupted = pye_watch_stops(&watch);
            mode = pye_float_mode_begin();
        }
    }
    pye_float_mode_end(mode);
    if (is_interrupted)
        return pye_fail_interrupted(error);
    if (n > 0)
        pye_pass_leave(&pass, first + entered - step, n - (entered - step));
    return pye_table_intact(table, error);
}
