/* What a table is made of: the tensors of a name, found without reading a row. */
#pragma once

#include "layout/coding.h"

/* The tensors of a piece. */
typedef struct pye_piece_tensors {
    const pye_tensor *parts[PYE_N_PARTS]; /* NULL: rows have no such part */
    const pye_tensor *factor;             /* NULL: none */
} pye_piece_tensors;

typedef struct pye_layout {
    pye_coding coding;         /* of every piece, but for its rows and tensors */
    uint64_t n_rows;           /* of the table */
    uint64_t n_stored_rows;    /* likewise, or what the mapping's numbers are below */
    uint64_t piece_rows;       /* of every piece but the last */
    size_t n_pieces;           /* at least 1 */
    pye_piece_tensors *pieces; /* [n_pieces] */
    const pye_tensor *mapping; /* the stored row of each row of the table; NULL: they are the same */
    bool scales_are_weights;   /* they are numbered as the table's rows are, not as the stored ones */
} pye_layout;

/* The table `name`: a tensor, with the scales beside it, or the shards that are named after it. PYE_ERROR_NOT_FOUND if nothing
 * has that name, and the errors of pye_coding_find. A layout that was found is freed by pye_layout_free. */
pye_status pye_layout_find(const pye_model *model, pye_string name, pye_layout *layout, pye_error *error);

void pye_layout_free(pye_layout *layout);
