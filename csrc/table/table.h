/* A table: rows, wherever in a model's files they lie, joined with the kernels that decode them.
 *
 * Most tables are one tensor. Others consist of pieces, the shards of a table that was cut by rows, and each row of parts:
 * codes, and scales and biases that lie elsewhere. Everything above this header sees rows: pye_table_row says where one lies,
 * pye_table_decode what it is. */
#pragma once

#include <stdatomic.h>

#include "simd/kernels.h"
#include "layout/layout.h"

/* Where rows first .. of a table lie, one array a part, and in which of the model's files. */
typedef struct pye_piece {
    const uint8_t *parts[PYE_N_PARTS]; /* NULL: rows have no such part */
    uint32_t files[PYE_N_PARTS];
} pye_piece;

struct pye_table {
    atomic_size_t n_references; /* 1, and one for each ticket */
    pye_model *model;
    pye_table_info info;
    const pye_type_info *type; /* of the blocks; NULL for codes that are none */
    const pye_kernels *kernels;
    pye_decode_row decode; /* of the blocks */
    bool swap;             /* the blocks' words are in the other byte order */
    bool is_blocks;        /* rows are blocks and nothing else */
    pye_scaling scaling;   /* of all other rows */
    uint64_t piece_rows;   /* of every piece but the last */
    size_t n_pieces;       /* at least 1 */
    size_t n_parts;        /* of a row */
    uint32_t *files;       /* the model's that hold rows, each once */
    size_t n_files;
    uint32_t
        *mapping; /* [info.n_rows] of the only piece's codes the row that each row has; NULL: they are the same */
    uint64_t n_stored_rows; /* of codes */
    bool scales_are_weights;
    bool shards_have_scales;    /* one each: they are shared, but not by all rows */
    const pye_tensor **tensors; /* that it is made of, each once */
    size_t n_tensors;
    pye_part_layout layout[PYE_N_PARTS];
    bool asks;                     /* whether rows are in memory: some of the files are mapped */
    const pye_pages *pages;        /* of the only file of a table that is one array; NULL for others */
    uint64_t first_offset;         /* of that array in its file */
    uint64_t row_pages;            /* that a row lies on, at most */
    _Atomic(uint64_t) complete;    /* the fetcher's epoch in which all rows were seen, plus 1; 0: none */
    _Atomic(uint64_t) until_check; /* rows to gather before it is looked whether all were seen */
    _Atomic(float *) norms;        /* of the rows; NULL until they are first needed */
    pye_piece pieces[];            /* [n_pieces] */
};

/* One row: the first byte of each of its parts. */
typedef struct pye_row {
    const uint8_t *parts[PYE_N_PARTS]; /* only the table's n_parts are set */
} pye_row;

/* The piece that holds row `id`. */
static inline const pye_piece *pye_table_piece(const pye_table *table, uint64_t id) {
    return table->n_pieces == 1 ? table->pieces : table->pieces + id / table->piece_rows;
}

/* Row `id`, which is below the number of rows. */
static inline pye_row pye_table_row(const pye_table *table, uint64_t id) {
    const pye_piece *piece = pye_table_piece(table, id);
    if (table->n_pieces > 1)
        id %= table->piece_rows;
    pye_row row;
    uint64_t stored = table->mapping != NULL ? table->mapping[id] : id;
    row.parts[PYE_CODES] = piece->parts[PYE_CODES] + stored * table->layout[PYE_CODES].stride;
    for (size_t part = 1; part < table->n_parts; part++)
        row.parts[part] = piece->parts[part] + id * table->layout[part].stride;
    return row;
}

/* Where in the codes of a row column `first` is, which begins a byte and, in rows of blocks, a block. */
static inline size_t pye_table_offset(const pye_table *table, size_t first) {
    if (table->type != NULL)
        return pye_type_bytes(table->type, first);
    size_t bits = table->scaling.code == PYE_CODE_BITS   ? table->scaling.n_bits
                  : table->scaling.code == PYE_CODE_E2M1 ? 4
                                                         : 8;
    return first / 8 * bits + first % 8 * bits / 8;
}

/* Where some columns of a row lie in its codes. That takes divisions, each as slow as a block: they are done once for many rows. */
typedef struct pye_span {
    size_t at, n_bytes;
} pye_span;

static inline pye_span pye_table_span(const pye_table *table, size_t first, size_t n) {
    size_t at = first == 0 ? 0 : pye_table_offset(table, first);
    return (pye_span){at, pye_table_offset(table, first + n) - at};
}

/* Asks for a span of a row, and with the first one for all of its scales and biases: those are short. */
static inline void pye_table_prefetch_span(const pye_table *table, const pye_row *row, pye_span span) {
    pye_prefetch_bytes(row->parts[PYE_CODES] + span.at, span.n_bytes);
    for (size_t part = 1; span.at == 0 && part < table->n_parts; part++)
        pye_prefetch_bytes(row->parts[part], (size_t)table->layout[part].row_bytes);
}

/* One reference more, which pye_table_close gives back. */
pye_table *pye_table_retain(const pye_table *table);

/* For blocks whose words are in the other byte order. */
void pye_table_decode_swapped(const pye_table *table, const uint8_t *from, float *to, size_t n_weights);

/* Columns first .. first + n - 1 of a row, to float32. `first` is a multiple of 256, and n a multiple of every block or what
 * is left of the row. */
static inline void pye_table_decode(const pye_table *table, const pye_row *row, size_t first, size_t n,
                                    float *to) {
    if (!table->is_blocks) {
        table->kernels->decode_scaled(&table->scaling, row->parts, first, n, to);
        return;
    }
    const uint8_t *from = row->parts[PYE_CODES];
    if (first > 0) /* most rows are decoded at once, and a division costs as much as a block */
        from += pye_type_bytes(table->type, first);
    if (table->swap)
        pye_table_decode_swapped(table, from, to, n);
    else
        table->decode(from, to, n);
}

/* PYE_ERROR_IO if a page of one of the table's files could not be read, or one of them got shorter: rows read before this call
 * may then be zeros. A system call a file. */
pye_status pye_table_intact(const pye_table *table, pye_error *error);

/* The same without a system call: it misses bytes that a file lost inside a page that it still has a part of. */
pye_status pye_table_undamaged(const pye_table *table, pye_error *error);

/* Whether a row that was read may lie where a file lost bytes that pye_table_undamaged misses. */
bool pye_table_row_may_be_cut(const pye_table *table, uint64_t id);
