/* A token list, with the index of its texts. */
#pragma once

#include <stdatomic.h>

#include "format/model.h"
#include "vocabulary/index.h"

/* Tokens, or merges, that are read at once. */
#define PYE_TOKEN_BATCH 256

struct pye_vocabulary {
    pye_model *model;
    pye_value tokens;
    pye_value scores;                 /* an array of at least as many f32 or i32; n_elements 0 where absent */
    pye_value types;                  /* likewise of i32 or u32 */
    _Atomic(pye_token_index *) index; /* NULL until it is first needed */
};
