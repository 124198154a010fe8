/* One GGUF file of a model. */
#pragma once

#include "format/gguf_reader.h"

/* Adds the file as the model's next shard: its tensors go to the model, its metadata to `metadata`. The reader is left
 * where the descriptions of its tensors end. On failure both may be filled in part. */
pye_status pye_gguf_file_open(pye_model *model, const char *path, pye_load_mode mode, pye_metadata *metadata,
                              pye_reader *reader, pye_error *error);
