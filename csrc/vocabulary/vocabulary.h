/* A token list and its index by text. */
#ifndef PYE_VOCABULARY_VOCABULARY_H
#define PYE_VOCABULARY_VOCABULARY_H

#include <stdatomic.h>

#include "format/model.h"

typedef struct pye_token_index pye_token_index;

struct pye_vocabulary {
    pye_model *model;
    pye_value tokens;
    pye_value scores;                 /* an array of at least as many f32 or i32; n_elements 0 where absent */
    pye_value types;                  /* likewise of i32 or u32 */
    _Atomic(pye_token_index *) index; /* NULL until it is first needed */
};

/* A key that the author of a file cannot know; `address` is a weak source of it for where the system has none. */
void pye_choose_key(uint64_t key[2], const void *address);

/* Builds the index: text to lowest id. */
pye_status pye_token_index_build(const pye_vocabulary *vocabulary, pye_token_index **built, pye_error *error);
void pye_token_index_free(pye_token_index *index);

/* UINT64_MAX where no token has that text. */
uint64_t pye_token_index_find(const pye_token_index *index, const pye_vocabulary *vocabulary, pye_string text);

#endif
