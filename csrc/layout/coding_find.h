/* How the rows of one tensor are coded, decided from names, types and shapes alone: what a config says of a model's
 * quantisation is believed for MLX only, whose arrays do not show it. Whatever is ambiguous, or half there, is an error. */
#pragma once

#include "layout/coding.h"

/* Reads no rows. `first` is NULL, or for a further shard of a table the coding of the first one, which it is compared with
 * afterwards: what would only be found once more is not looked for again. PYE_ERROR_TYPE for types and kinds of codes that
 * cannot be decoded; the format's error for tensors that contradict each other. */
pye_status pye_coding_find(const pye_model *model, const pye_tensor *codes, const pye_coding *first,
                           pye_coding *coding, pye_error *error);
