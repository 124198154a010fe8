/* The parsers: each fills a fresh model from `path`. On failure the model may be filled in part. */
#ifndef PYE_FORMAT_PARSERS_H
#define PYE_FORMAT_PARSERS_H

#include "pyembed.h"

pye_status pye_gguf_open(pye_model *model, const char *path, const pye_open_options *options, pye_error *error);
pye_status pye_safetensors_open(pye_model *model, const char *path, const pye_open_options *options,
                                pye_error *error);
pye_status pye_npy_open(pye_model *model, const char *path, const pye_open_options *options, pye_error *error);
pye_status pye_raw_open(pye_model *model, const char *path, const pye_open_options *options, pye_error *error);

#endif
