/* Hashed rows of a small made-up model, for programs that try what is done with any. */
#ifndef PYE_TESTS_SMALL_NGRAM_H
#define PYE_TESTS_SMALL_NGRAM_H

#include "pyembed.h"

enum { SMALL_SIZE = 3, SMALL_HEADS = 2, SMALL_VOCAB = 8, SMALL_COLUMNS = 4, SMALL_IDS = 3000 };

/* Engram, with token 7 dead. */
static inline pye_ngram_description small_description(void) {
    static const uint64_t multipliers[] = {3, 5, 7};
    static const uint64_t moduli[] = {101, 103, 107, 109};
    static const uint32_t token_map[] = {0, 1, 2, 3, 1, 4, 0, PYE_NGRAM_DEAD};
    return (pye_ngram_description){.struct_bytes = sizeof(pye_ngram_description),
                                   .scheme = PYE_NGRAM_ENGRAM,
                                   .n_layers = 1,
                                   .max_size = SMALL_SIZE,
                                   .n_heads = SMALL_HEADS,
                                   .n_vocab = SMALL_VOCAB,
                                   .multipliers = multipliers,
                                   .moduli = moduli,
                                   .token_map = token_map,
                                   .n_compressed = 5,
                                   .stand_in = 2};
}

/* The names of a stream, two thirds of it a sequence of their own; returns whether they are in their columns. */
static inline pye_status small_names(const pye_ngram *ngram, int round, uint32_t n_threads, int *are_in_range,
                                     pye_error *error) {
    int32_t ids[SMALL_IDS];
    int64_t names[SMALL_IDS][SMALL_COLUMNS];
    const uint64_t offsets[] = {0, SMALL_IDS / 3, SMALL_IDS};
    const int64_t histories[] = {-1, 3, 5, round % SMALL_VOCAB};
    pye_ngram_options options = {.struct_bytes = sizeof options,
                                 .offsets = offsets,
                                 .n_sequences = 2,
                                 .histories = histories,
                                 .n_threads = n_threads};
    for (int i = 0; i < SMALL_IDS; i++)
        ids[i] = (round + i * 5 + i / 7) % SMALL_VOCAB;
    pye_status status = pye_ngram_rows(ngram, 0, ids, SMALL_IDS, names[0], &options, error);
    *are_in_range = 1;
    for (int i = 0; status == PYE_OK && i < SMALL_IDS; i++)
        *are_in_range = *are_in_range && names[i][0] < 101 && names[i][1] >= 101 && names[i][1] < 204 &&
                        names[i][2] >= 204 && names[i][2] < 311 && names[i][3] >= 311 && names[i][3] < 420;
    return status;
}

#endif
