/* From a text to the lowest id of the token with that text. */
#pragma once

#include "pyembed.h"

typedef struct pye_token_index pye_token_index;

/* `tokens` is the model's array of texts; both have to live as long as the index. */
pye_status pye_token_index_build(const pye_model *model, const pye_value *tokens, pye_token_index **built,
                                 pye_error *error);
void pye_token_index_free(pye_token_index *index);

/* UINT64_MAX where no token has that text. */
uint64_t pye_token_index_find(const pye_token_index *index, pye_string text);
