/* Tables that were cut by rows, and the names of their tensors: BASE.shard_N.weight or BASE.shards.N.weight. */
#pragma once

#include <stdbool.h>

#include "format/model.h"

/* Splits the name of a shard's tensor after its number: `stem` is what comes before the last component (BASE.shard_N), and
 * `base` the table's name. False for any other name. */
bool pye_shard_split(pye_string name, pye_string *base, pye_string *stem);

/* Whether a tensor, whose `stem` pye_shard_split found, holds the codes of shard number 0. */
bool pye_shard_is_first(pye_string name, pye_string stem);

/* The tensors that hold the codes of the shards of a table, in the order of their numbers, from pye_allocate: numbers 0 to
 * n - 1, each once, all of one type and width, and all but the last of as many rows. *shards is NULL, and n 0, if no tensor
 * is named like a shard of it. */
pye_status pye_shards_find(const pye_model *model, pye_string base, const pye_tensor ***shards, size_t *n,
                           pye_error *error);
