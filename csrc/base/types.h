/* Tensor types: ids, names, block sizes, byte order. */
#pragma once

#include <stdbool.h>

#include "pyembed.h"

enum {
#define PYE_TYPE(id, NAME, name, n_weights, block_bytes, words, scales) PYE_TYPE_##NAME = (id),
#include "base/types.def"
#undef PYE_TYPE
    PYE_TYPE_IDS = 43, /* one more than the highest id */
    PYE_TYPE_UNKNOWN = -1
};

/* Bytes of the largest block, and its weights. */
#define PYE_MAX_BLOCK_BYTES 292
#define PYE_MAX_BLOCK_WEIGHTS 256

/* NULL for an id that is not a live type. */
const pye_type_info *pye_type_info_of(int32_t id);

/* The name that a fork of llama.cpp has for a type, and the fork's; NULL for an unknown id. */
const char *pye_foreign_type(int32_t id);

/* Bytes of n weights, whole blocks. */
static inline size_t pye_type_bytes(const pye_type_info *type, size_t n_weights) {
    return n_weights / type->n_weights * type->block_bytes;
}

/* Reverses the bytes of every multi-byte word of `n_blocks` blocks of a live type, in place. */
void pye_type_swap(int32_t id, uint8_t *blocks, size_t n_blocks);

/* True if blocks of this type read the same in both byte orders. */
bool pye_type_is_bytes(int32_t id);

/* What must be finite in a block of a type: its kind is a letter of types.def. */
typedef struct pye_scale {
    char kind;
    uint32_t offset; /* bytes from the start of the block */
} pye_scale;

#define PYE_MAX_SCALES 2

/* Fills `scales` for a live type and returns how many there are. */
size_t pye_type_scales(int32_t id, pye_scale scales[PYE_MAX_SCALES]);
