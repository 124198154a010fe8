/* Metadata of an open GGUF file, by key. */
#pragma once

#include "format/model.h"

/* Finds a key in the metadata of any file of the model. PYE_ERROR_NOT_FOUND without filling `error`. */
pye_status pye_metadata_lookup(pye_file *file, uint32_t shard, const pye_metadata *metadata, pye_string key,
                               pye_value *value, pye_error *error);
