/* The constants of a model's hashed rows, checked and laid out for the loop that uses them. */
#pragma once

#include "base/memory.h"
#include "base/pool.h"
#include "base/watch.h"

/* One column of the names: a head of the n-grams of one size. */
typedef struct pye_ngram_column {
    uint64_t modulus;
    uint64_t reciprocal; /* (2^64 - 1) / modulus, rounded down */
    uint64_t offset;
} pye_ngram_column;

/* A token that is not there, or is dead, among the numbers that are hashed. */
#define PYE_NGRAM_CUT UINT64_MAX

struct pye_ngram {
    pye_allocator allocator;
    pye_interrupt interrupt;
    pye_pool_slot *pool;
    pye_ngram_scheme scheme;
    size_t n_layers;
    size_t size; /* of the longest n-grams */
    size_t n_heads;
    size_t n_columns;
    uint64_t n_vocab;
    uint64_t stand_in;
    uint64_t ends;             /* the id that cuts the windows of later tokens, PYE_NGRAM_CUT if none does */
    uint32_t *token_map;       /* [n_vocab]; NULL where ids are hashed as they are */
    uint64_t *multipliers;     /* [n_layers][size]; of LongCat [n_layers][n_columns][size], powers of n_vocab */
    pye_ngram_column *columns; /* [n_layers][n_columns] */
};

/* x modulo the column's modulus m, which is 2 to 2^63 - 1. The reciprocal is at most 1 less than 2^64 / m, so that its
 * product with x / 2^64, which is below 1, is less than 1 too small, and the quotient by 0 or 1. */
static inline uint64_t pye_ngram_reduce(const pye_ngram_column *column, uint64_t x) {
    __extension__ typedef unsigned __int128 wide;
    uint64_t quotient = (uint64_t)((wide)x * column->reciprocal >> 64);
    uint64_t rest = x - quotient * column->modulus;
    return rest >= column->modulus ? rest - column->modulus : rest;
}
