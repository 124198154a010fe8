/* Merges, each looked up by the texts of its parts and of the token that it makes. */
#pragma once

#include "vocabulary/text_table.h"

/* Fills the products and flags of all merges. */
pye_status pye_merges_resolve(const pye_text_table *table, const pye_vocabulary *vocabulary,
                              const pye_value *merges, const pye_vocabulary_facts *out, pye_error *error);

/* From the products, fills the merges that are the first to make theirs. */
pye_status pye_merges_first(const pye_vocabulary *vocabulary, const pye_vocabulary_facts *out, pye_error *error);
