/* The parsers: each fills a fresh model from `path`. On failure the model may be filled in part. */
#pragma once

#include "pyembed.h"

pye_status pye_gguf_open(pye_model *model, const char *path, const pye_open_options *options, pye_error *error);
pye_status pye_safetensors_open(pye_model *model, const char *path, const pye_open_options *options,
                                pye_error *error);
pye_status pye_npy_open(pye_model *model, const char *path, const pye_open_options *options, pye_error *error);
pye_status pye_raw_open(pye_model *model, const char *path, const pye_open_options *options, pye_error *error);
