/* Into which pairs of tokens a token can be cut. */
#pragma once

#include "vocabulary/text_table.h"

/* Fills `out` for every token. */
pye_status pye_splits_count(const pye_text_table *table, const pye_vocabulary *vocabulary, pye_token_splits *out,
                            pye_error *error);
