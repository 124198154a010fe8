/* What the reader of one safetensors file and the reader of a set of them share. */
#pragma once

#include "format/json.h"
#include "format/model.h"

/* Of a header or an index: the format's own bound, which keeps a crafted file from being read for ever. */
#define PYE_SAFETENSORS_MAX_JSON UINT64_C(100000000)

/* Opens `path` as the model's next file and appends its tensors, unsorted. */
pye_status pye_safetensors_add_file(pye_model *model, const char *path, pye_load_mode mode, pye_error *error);

/* The unescaped string: in the file itself, or a copy that the model owns if it has escapes. */
pye_status pye_safetensors_text(pye_model *model, const pye_json_string *string, pye_string *text,
                                pye_error *error);

/* Prefixes the message with `kind` and the quoted name of the culprit; returns `status`. */
pye_status pye_safetensors_blame(pye_error *error, pye_status status, const char *kind, pye_string name);
