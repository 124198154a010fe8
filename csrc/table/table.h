/* A table: the rows of one tensor, joined with the kernels that decode them. */
#pragma once

#include <stdatomic.h>

#include "format/model.h"
#include "simd/kernels.h"

struct pye_table {
    pye_model *model;
    pye_table_info info;
    const pye_type_info *type;
    const uint8_t *rows;
    const pye_map *map; /* the file's; check it with pye_map_intact after reading rows */
    const pye_kernels *kernels;
    pye_decode_row decode;
    bool swap;              /* the blocks' words are in the other byte order */
    _Atomic(float *) norms; /* of the rows; NULL until they are first needed */
};

/* For blocks whose words are in the other byte order. */
void pye_table_decode_swapped(const pye_table *table, const uint8_t *from, float *to, size_t n_weights);

/* Whole blocks, to float32. */
static inline void pye_table_decode(const pye_table *table, const uint8_t *from, float *to, size_t n_weights) {
    if (table->swap)
        pye_table_decode_swapped(table, from, to, n_weights);
    else
        table->decode(from, to, n_weights);
}
