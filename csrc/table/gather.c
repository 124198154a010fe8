/* ids -> rows. All ids are checked first; after that nothing can fail. */
#include <inttypes.h>

#include "base/options.h"
#include "table/table.h"

/* Weights decoded at a time where they do not go straight to the output: a multiple of every block. */
#define TILE_WEIGHTS 256

#define ID_TYPES(X)                                                                                               \
    X(PYE_ID_I32, int32_t)                                                                                        \
    X(PYE_ID_I64, int64_t)                                                                                        \
    X(PYE_ID_U32, uint32_t)                                                                                       \
    X(PYE_ID_U64, uint64_t)                                                                                       \
    X(PYE_ID_I16, int16_t)                                                                                        \
    X(PYE_ID_U16, uint16_t)                                                                                       \
    X(PYE_ID_I8, int8_t)                                                                                          \
    X(PYE_ID_U8, uint8_t)

/* An id widened to 64 bits. Negative ids become the largest numbers there are, so that one comparison rejects both
 * kinds of bad id: no table has 2^63 rows. */
static inline uint64_t id_at(const void *ids, pye_id_type type, size_t i) {
    switch (type) {
#define ID_CASE(name, number)                                                                                     \
    case name: {                                                                                                  \
        number id;                                                                                                \
        memcpy(&id, (const uint8_t *)ids + i * sizeof id, sizeof id);                                             \
        return (uint64_t)id;                                                                                      \
    }
        ID_TYPES(ID_CASE)
#undef ID_CASE
    }
    return UINT64_MAX;
}

static bool is_id_type(pye_id_type type) { return type >= PYE_ID_I32 && type <= PYE_ID_U8; }

static pye_status fail_id(uint64_t id, pye_id_type type, size_t position, uint64_t n_rows, pye_error *error) {
    if (type != PYE_ID_U64 && id > INT64_MAX)
        return pye_fail(error, PYE_ERROR_ID, position,
                        "the id at position %zu is %" PRId64
                        ": ids are at least 0 and below the number of rows, %" PRIu64,
                        position, (int64_t)id, n_rows);
    return pye_fail(error, PYE_ERROR_ID, position,
                    "the id at position %zu is %" PRIu64 ": ids are below the number of rows, %" PRIu64, position,
                    id, n_rows);
}

static pye_status check_ids(const pye_table *table, const void *ids, pye_id_type type, size_t n,
                            pye_error *error) {
    for (size_t i = 0; i < n; i++) {
        uint64_t id = id_at(ids, type, i);
        if (id >= table->info.n_rows)
            return fail_id(id, type, i, table->info.n_rows, error);
    }
    return PYE_OK;
}

/* Weights first .. first + n - 1 of a row, where first and n divide into blocks. */
static void decode_part(const pye_table *table, const uint8_t *row, size_t first, size_t n, float *to) {
    const pye_type_info *type = table->type;
    const uint8_t *from = row + first / type->n_weights * type->block_bytes;
    if (!table->swap) {
        table->decode(from, to, n);
        return;
    }
    /* Blocks of the other byte order: a few at a time, through a copy in this machine's order. */
    uint8_t blocks[PYE_MAX_BLOCK_BYTES * 8];
    size_t n_blocks = n / type->n_weights;
    size_t at_once = sizeof blocks / type->block_bytes;
    while (n_blocks > 0) {
        size_t count = n_blocks < at_once ? n_blocks : at_once;
        memcpy(blocks, from, count * type->block_bytes);
        pye_type_swap(type->id, blocks, count);
        table->decode(blocks, to, count * type->n_weights);
        from += count * type->block_bytes;
        to += count * type->n_weights;
        n_blocks -= count;
    }
}

static void decode_narrow(const pye_table *table, const uint8_t *row, pye_narrow_row narrow, uint8_t *to) {
    float tile[TILE_WEIGHTS];
    size_t n_columns = (size_t)table->info.n_columns;
    for (size_t i = 0; i < n_columns; i += TILE_WEIGHTS) {
        size_t n = n_columns - i < TILE_WEIGHTS ? n_columns - i : TILE_WEIGHTS;
        decode_part(table, row, i, n, tile);
        narrow(tile, to + 2 * i, n);
    }
}

static size_t dtype_bytes(pye_dtype dtype) { return dtype == PYE_DTYPE_F32 ? 4 : 2; }

/* True if a row already is what is asked for. */
static bool is_same_type(const pye_table *table, pye_dtype dtype) {
    int32_t same[] = {
        [PYE_DTYPE_F32] = PYE_TYPE_F32, [PYE_DTYPE_F16] = PYE_TYPE_F16, [PYE_DTYPE_BF16] = PYE_TYPE_BF16};
    return !table->swap && table->info.type == same[dtype];
}

static void gather_row(const pye_table *table, const uint8_t *row, pye_dtype dtype, uint8_t *to) {
    if (is_same_type(table, dtype))
        memcpy(to, row, (size_t)table->info.row_bytes);
    else if (dtype == PYE_DTYPE_F32)
        decode_part(table, row, 0, (size_t)table->info.n_columns, (float *)(void *)to);
    else
        decode_narrow(table, row, dtype == PYE_DTYPE_F16 ? table->kernels->to_half : table->kernels->to_bfloat,
                      to);
}

pye_status pye_table_gather(const pye_table *table, const void *ids, size_t n_ids, void *out,
                            const pye_gather_options *options, pye_error *error) {
    pye_gather_options known;
    pye_status status = pye_copy_options(&known, sizeof known, options, "pye_gather_options", error);
    if (status != PYE_OK)
        return status;
    if (!is_id_type(known.id_type))
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET, "%d is not an id type", (int)known.id_type);
    if (known.dtype < PYE_DTYPE_F32 || known.dtype > PYE_DTYPE_BF16)
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET, "%d is not an output type", (int)known.dtype);
    uint64_t out_bytes = table->info.n_columns * dtype_bytes(known.dtype);
    uint64_t stride = known.out_row_bytes == 0 ? out_bytes : known.out_row_bytes;
    if (stride < out_bytes)
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET,
                        "out_row_bytes is %" PRIu64 ": output rows are %" PRIu64 " bytes and must not overlap",
                        stride, out_bytes);
    status = check_ids(table, ids, known.id_type, n_ids, error);
    if (status != PYE_OK)
        return status;
    for (size_t i = 0; i < n_ids; i++) {
        uint64_t id = id_at(ids, known.id_type, i);
        gather_row(table, table->rows + id * table->info.row_bytes, known.dtype, (uint8_t *)out + i * stride);
    }
    return PYE_OK;
}
