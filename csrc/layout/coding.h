/* How the rows of one tensor are coded. */
#pragma once

#include "format/model.h"
#include "simd/scaling.h"

/* A part of a row, in every piece of a table. */
typedef struct pye_part_layout {
    uint64_t row_bytes; /* 0: rows have no such part */
    uint64_t stride;    /* from one row to the next; 0: all rows of the piece share it */
} pye_part_layout;

typedef struct pye_coding {
    const pye_type_info *type; /* of the blocks; NULL for codes that are none */
    bool is_blocks;            /* rows are blocks and nothing else */
    pye_scaling scaling;       /* of all other rows, without the value of the factor */
    uint64_t n_rows;
    uint64_t n_columns;
    size_t n_parts;
    pye_part_layout layout[PYE_N_PARTS];
    const pye_tensor *tensors[PYE_N_PARTS];
    uint64_t starts[PYE_N_PARTS]; /* byte of the tensor at which the part of row 0 begins */
    const pye_tensor *factor;     /* one number; NULL: none */
} pye_coding;
