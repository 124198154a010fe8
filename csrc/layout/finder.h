/* What the parts of `pye_coding_find` share. */
#pragma once

#include "base/text.h"
#include "layout/coding.h"
#include "layout/companions.h"

/* Columns that share a scale, in formats that fix it. */
#define NVFP4_GROUP 16
#define MX_GROUP 32

typedef struct pye_finder {
    const pye_model *model;
    const pye_tensor *codes;
    pye_string stem; /* of the module */
    pye_string base; /* of the table that it is a shard of; empty: of none */
    pye_companions beside;
    const pye_coding *first; /* see pye_coding_find */
    pye_coding *coding;
    pye_status bad; /* the format's status */
    pye_error *error;
} pye_finder;

static inline bool pye_is_dtype(const pye_tensor *tensor, const char *name) {
    return pye_string_compare(tensor->type_name, pye_text(name)) == 0;
}

/* How a tensor of floats stores them; PYE_NUMBER_NONE for one of anything else. */
pye_number pye_number_of(const pye_tensor *tensor);

uint64_t pye_number_bytes(pye_number number);

/* Whether a tensor is one number, of no dimension, one or two. */
bool pye_is_single(const pye_tensor *tensor);

/* Codes of `columns` columns in rows of `row_bytes`. */
void pye_finder_codes(pye_finder *f, pye_code code, uint64_t columns, uint64_t row_bytes);

/* Scales that are `number`s: one a table, a row, or `group` columns; any group for 0. */
pye_status pye_finder_scales(pye_finder *f, pye_number number, uint64_t group);

/* One of the tensors beside the codes cannot be what its name says. */
pye_status pye_finder_fail(pye_finder *f, const pye_tensor *part, const char *why);

/* MLX: codes in 32-bit words. */
pye_status pye_finder_mlx(pye_finder *f);

/* Codes in GGUF files whose scales lie apart. */
pye_status pye_finder_gguf(pye_finder *f);
