/* Opening and closing: a description's arrays become one block of memory. */
#include "ngram/ngram.h"

#include <inttypes.h>
#include <string.h>

#include "base/options.h"
#include "base/status.h"
#include "ngram/check.h"

/* The powers of n_vocab that an n-gram of LongCat is the digits of, modulo each column's modulus. */
static void fill_powers(pye_ngram *ngram) {
    uint64_t *out = ngram->multipliers;
    for (size_t i = 0; i < ngram->n_layers * ngram->n_columns; i++) {
        uint64_t power = 1; /* products fit: n_vocab times a modulus is below 2^63 */
        for (size_t s = 0; s < ngram->size; s++) {
            *out++ = power % ngram->columns[i].modulus;
            power = power * ngram->n_vocab % ngram->columns[i].modulus;
        }
    }
}

static void fill_columns(pye_ngram *ngram, const uint64_t *moduli, const uint64_t *offsets) {
    for (size_t layer = 0; layer < ngram->n_layers; layer++) {
        uint64_t sum = 0;
        for (size_t c = 0; c < ngram->n_columns; c++) {
            size_t i = layer * ngram->n_columns + c;
            uint64_t offset = offsets != NULL ? offsets[i] : sum;
            ngram->columns[i] = (pye_ngram_column){moduli[i], UINT64_MAX / moduli[i], offset};
            sum += ngram->scheme == PYE_NGRAM_LONGCAT ? 0 : moduli[i];
        }
    }
}

static pye_status allocate(pye_ngram *ngram, const pye_ngram_description *given, pye_error *error) {
    const pye_allocator *allocator = &ngram->allocator;
    size_t n_multipliers =
        ngram->n_layers * ngram->size * (ngram->scheme == PYE_NGRAM_LONGCAT ? ngram->n_columns : 1);
    size_t map_bytes = given->token_map == NULL ? 0 : (size_t)given->n_vocab * sizeof *ngram->token_map;
    size_t column_bytes = ngram->n_layers * ngram->n_columns * sizeof *ngram->columns;
    ngram->pool = pye_allocate_zeros(allocator, sizeof *ngram->pool);
    ngram->multipliers = pye_allocate(allocator, n_multipliers * sizeof *ngram->multipliers);
    ngram->columns = pye_allocate(allocator, column_bytes);
    if (map_bytes > 0)
        ngram->token_map = pye_allocate(allocator, map_bytes);
    if (ngram->pool == NULL || ngram->multipliers == NULL || ngram->columns == NULL ||
        (map_bytes > 0 && ngram->token_map == NULL))
        return pye_fail_memory(error, n_multipliers * sizeof *ngram->multipliers + column_bytes + map_bytes);
    fill_columns(ngram, given->moduli, given->offsets);
    if (given->multipliers == NULL)
        fill_powers(ngram);
    else
        memcpy(ngram->multipliers, given->multipliers, n_multipliers * sizeof *ngram->multipliers);
    if (map_bytes > 0)
        memcpy(ngram->token_map, given->token_map, map_bytes);
    return PYE_OK;
}

pye_status pye_ngram_open(const pye_ngram_description *description, pye_ngram **ngram, pye_error *error) {
    if (description == NULL)
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET, "description is NULL");
    pye_ngram_description given;
    pye_status status = pye_copy_options(&given, sizeof given, description, "pye_ngram_description", error);
    if (status == PYE_OK)
        status = pye_ngram_check(&given, error);
    if (status != PYE_OK)
        return status;
    const pye_allocator *allocator = given.allocator != NULL ? given.allocator : &pye_standard_allocator;
    pye_ngram *made = pye_allocate_zeros(allocator, sizeof *made);
    if (made == NULL)
        return pye_fail_memory(error, sizeof *made);
    made->allocator = *allocator;
    made->interrupt = (pye_interrupt){given.interrupted, given.interrupted_data};
    made->scheme = given.scheme;
    made->n_layers = given.n_layers;
    made->size = given.max_size;
    made->n_heads = given.n_heads;
    made->n_columns = (made->size - 1) * made->n_heads;
    made->n_vocab = given.n_vocab;
    made->stand_in = given.scheme == PYE_NGRAM_LONGCAT ? 0 : given.stand_in;
    made->ends = given.scheme == PYE_NGRAM_PLE ? given.stand_in : PYE_NGRAM_CUT;
    status = allocate(made, &given, error);
    if (status != PYE_OK) {
        pye_ngram_close(made);
        return status;
    }
    *ngram = made;
    return PYE_OK;
}

void pye_ngram_close(pye_ngram *ngram) {
    if (ngram == NULL)
        return;
    if (ngram->pool != NULL)
        pye_pool_close(ngram->pool);
    pye_release(ngram->pool);
    pye_release(ngram->token_map);
    pye_release(ngram->multipliers);
    pye_release(ngram->columns);
    pye_release(ngram);
}

size_t pye_ngram_n_columns(const pye_ngram *ngram) { return ngram->n_columns; }
