/* What a config.json beside a model's file says of quantised modules, as MLX writes it. */
#pragma once

#include "format/model.h"

/* How a module's rows are stored. */
typedef struct pye_quantization {
    bool is_known; /* config.json is there and says it */
    bool is_off;   /* it says that the module is not quantised */
    uint64_t bits;
    uint64_t group;
    char mode[16]; /* "affine" where it does not say */
} pye_quantization;

/* Looks the module `stem`, and `table`, which it may be a shard of, up in the member "quantization" of the config.json beside
 * file number `file`: what it says of them by name comes before what it says of all. `table` may be empty. */
pye_status pye_config_quantization(const pye_model *model, uint32_t file, pye_string stem, pye_string table,
                                   pye_quantization *found, pye_error *error);
