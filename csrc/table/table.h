/* A table: the rows of one tensor, joined with the kernels that decode them. */
#ifndef PYE_TABLE_TABLE_H
#define PYE_TABLE_TABLE_H

#include "format/model.h"
#include "simd/kernels.h"

struct pye_table {
    pye_model *model;
    pye_table_info info;
    const pye_type_info *type;
    const uint8_t *rows;
    const pye_map *map; /* the file's; whoever has read rows asks pye_map_intact before it believes them */
    const pye_kernels *kernels;
    pye_decode_row decode;
    bool swap; /* the blocks' words are in the other byte order */
};

#endif
