/* What constants of hashed rows have to be for every name to be a row, and to be the same on every machine. */
#include "ngram/check.h"

#include <inttypes.h>
#include <stdbool.h>

#include "base/status.h"
#include "ngram/primes.h"

#define BAD(...) return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET, __VA_ARGS__)

static size_t columns_of(const pye_ngram_description *given) {
    return (size_t)(given->max_size - 1) * given->n_heads;
}

static pye_status check_counts(const pye_ngram_description *given, pye_error *error) {
    if (given->scheme < PYE_NGRAM_PLE || given->scheme > PYE_NGRAM_LONGCAT)
        BAD("scheme is %d: no scheme has that number", (int)given->scheme);
    if (given->max_size < 2 || given->max_size > PYE_NGRAM_MAX_SIZE)
        BAD("max_size is %" PRIu32 ": n-grams have 2 to %d tokens", given->max_size, PYE_NGRAM_MAX_SIZE);
    if (given->n_heads < 1 || given->n_heads > PYE_NGRAM_MAX_HEADS)
        BAD("n_heads is %" PRIu32 ": there are 1 to %d heads", given->n_heads, PYE_NGRAM_MAX_HEADS);
    if (given->n_layers < 1 || given->n_layers > PYE_NGRAM_MAX_LAYERS)
        BAD("n_layers is %" PRIu32 ": there are 1 to %d layers", given->n_layers, PYE_NGRAM_MAX_LAYERS);
    if (given->n_vocab < 1 || given->n_vocab > INT32_MAX)
        BAD("n_vocab is %" PRIu64 ": vocabularies have 1 to 2^31 - 1 tokens", given->n_vocab);
    bool is_engram = given->scheme == PYE_NGRAM_ENGRAM, is_longcat = given->scheme == PYE_NGRAM_LONGCAT;
    if (given->moduli == NULL)
        BAD("moduli is NULL");
    if ((given->multipliers == NULL) != is_longcat)
        BAD("multipliers is %sNULL: LongCat has none, the other schemes have them", is_longcat ? "not " : "");
    if ((given->token_map == NULL) == is_engram)
        BAD("token_map is %sNULL: Engram has one, the other schemes have none", is_engram ? "" : "not ");
    if (is_longcat && given->offsets != NULL)
        BAD("offsets is not NULL: the columns of LongCat have tables of their own");
    return PYE_OK;
}

static pye_status check_ids(const pye_ngram_description *given, uint64_t n_hashed, pye_error *error) {
    if (given->scheme != PYE_NGRAM_LONGCAT && given->stand_in >= n_hashed)
        BAD("stand_in is %" PRIu64 ": it has to be below %" PRIu64 ", as every id that is hashed", given->stand_in,
            n_hashed);
    if (given->token_map == NULL)
        return PYE_OK;
    for (uint64_t i = 0; i < given->n_vocab; i++)
        if (given->token_map[i] >= n_hashed && given->token_map[i] != PYE_NGRAM_DEAD)
            BAD("token_map[%" PRIu64 "] is %" PRIu32 ": it has to be below n_compressed, %" PRIu64, i,
                given->token_map[i], n_hashed);
    return PYE_OK;
}

/* Products below 2^63 are the same for signed and unsigned numbers, and so are their remainders. */
static pye_status check_multipliers(const pye_ngram_description *given, size_t layer, uint64_t n_hashed,
                                    pye_error *error) {
    for (size_t i = 0; i < given->max_size; i++) {
        uint64_t multiplier = given->multipliers[layer * given->max_size + i];
        if (multiplier % 2 == 0)
            BAD("multipliers[%zu][%zu] is %" PRIu64 ": a multiplier has to be odd", layer, i, multiplier);
        if (multiplier > INT64_MAX / n_hashed)
            BAD("multipliers[%zu][%zu] is %" PRIu64 ": it has to be at most %" PRIu64
                ", so that its product with %" PRIu64 " ids stays below 2^63",
                layer, i, multiplier, INT64_MAX / n_hashed, n_hashed);
    }
    return PYE_OK;
}

static pye_status check_moduli(const pye_ngram_description *given, size_t layer, pye_error *error) {
    size_t n_columns = columns_of(given);
    for (size_t i = 0; i < n_columns; i++) {
        uint64_t modulus = given->moduli[layer * n_columns + i];
        if (modulus < 2 || modulus > INT64_MAX)
            BAD("moduli[%zu][%zu] is %" PRIu64 ": a modulus is at least 2 and below 2^63", layer, i, modulus);
        if (given->scheme != PYE_NGRAM_LONGCAT) {
            if (!pye_is_prime(modulus))
                BAD("moduli[%zu][%zu] is %" PRIu64 ", which is not a prime", layer, i, modulus);
        } else if (modulus > INT64_MAX / given->max_size / given->n_vocab) {
            BAD("moduli[%zu][%zu] is %" PRIu64 ": too large for sums over %" PRIu64 " tokens to stay below 2^63",
                layer, i, modulus, given->n_vocab);
        }
    }
    return PYE_OK;
}

/* The rows of a column are offset .. offset + modulus - 1. */
static pye_status check_offsets(const pye_ngram_description *given, size_t layer, pye_error *error) {
    size_t n_columns = columns_of(given);
    const uint64_t *moduli = given->moduli + layer * n_columns;
    uint64_t end = 0;
    if (given->offsets == NULL) { /* running sums */
        for (size_t i = 0; i < n_columns; i++) {
            if (moduli[i] > INT64_MAX - end)
                BAD("moduli[%zu]: the sum of the first %zu does not fit 63 bits", layer, i + 1);
            end += moduli[i];
        }
        return PYE_OK;
    }
    const uint64_t *offsets = given->offsets + layer * n_columns;
    for (size_t i = 0; i < n_columns; i++) {
        if (offsets[i] > INT64_MAX - moduli[i])
            BAD("offsets[%zu][%zu] is %" PRIu64 ": its sum with the modulus %" PRIu64 " does not fit 63 bits",
                layer, i, offsets[i], moduli[i]);
        for (size_t j = 0; j < i; j++)
            if (offsets[i] < offsets[j] + moduli[j] && offsets[j] < offsets[i] + moduli[i])
                BAD("offsets[%zu][%zu] is %" PRIu64
                    ": the rows of column %zu overlap those of column %zu, %" PRIu64 " to %" PRIu64,
                    layer, i, offsets[i], i, j, offsets[j], offsets[j] + moduli[j] - 1);
    }
    return PYE_OK;
}

pye_status pye_ngram_check(const pye_ngram_description *given, pye_error *error) {
    pye_status status = check_counts(given, error);
    if (status != PYE_OK)
        return status;
    uint64_t n_hashed = given->token_map == NULL ? given->n_vocab : given->n_compressed;
    if (given->token_map != NULL && (n_hashed < 1 || n_hashed > given->n_vocab))
        BAD("n_compressed is %" PRIu64 ": it has to be 1 to n_vocab, %" PRIu64, n_hashed, given->n_vocab);
    status = check_ids(given, n_hashed, error);
    for (size_t layer = 0; status == PYE_OK && layer < given->n_layers; layer++) {
        if (given->multipliers != NULL)
            status = check_multipliers(given, layer, n_hashed, error);
        if (status == PYE_OK)
            status = check_moduli(given, layer, error);
        if (status == PYE_OK && given->scheme != PYE_NGRAM_LONGCAT)
            status = check_offsets(given, layer, error);
    }
    return status;
}
