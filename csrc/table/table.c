#include "table/table.h"

#include <inttypes.h>
#include <string.h>

#include "base/status.h"

static pye_status check_tensor(const pye_tensor *tensor, pye_error *error) {
    char name[PYE_QUOTE_BYTES];
    (void)pye_quote(name, tensor->name);
    if (pye_type_info_of(tensor->type) == NULL) {
        char type[PYE_QUOTE_BYTES];
        if (tensor->type_name.size > 0 && tensor->type != PYE_TYPE_UNKNOWN)
            return pye_fail(error, PYE_ERROR_TYPE, PYE_NO_OFFSET,
                            "tensor %s is of type %" PRId32 " (%.*s), which cannot be decoded", name, tensor->type,
                            (int)tensor->type_name.size, tensor->type_name.data);
        if (tensor->type_name.size > 0)
            return pye_fail(error, PYE_ERROR_TYPE, PYE_NO_OFFSET,
                            "tensor %s is of type %s, which cannot be decoded", name,
                            pye_quote(type, tensor->type_name));
        return pye_fail(error, PYE_ERROR_TYPE, PYE_NO_OFFSET,
                        "tensor %s is of type %" PRId32 ", which is unknown to this version or was withdrawn",
                        name, tensor->type);
    }
    if (tensor->n_dims == 0)
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET, "tensor %s is a single number: it has no rows",
                        name);
    return PYE_OK;
}

/* A table of n pieces, closed by pye_table_close; NULL if memory is short. */
static pye_table *allocate_table(pye_model *model, size_t n_pieces) {
    pye_table *table = pye_allocate_zeros(&model->allocator, sizeof *table + n_pieces * sizeof *table->pieces);
    if (table == NULL)
        return NULL;
    atomic_init(&table->norms, NULL);
    table->n_pieces = n_pieces;
    table->model = model;
    pye_model_retain(model);
    return table;
}

/* Makes a tensor's bytes ready for use. */
static pye_status load_tensor(const pye_model *model, const pye_tensor *tensor, pye_error *error) {
    pye_map *map = &model->files[tensor->shard]->map;
    pye_status status = pye_map_load(map, tensor->offset, tensor->n_bytes, model->progress, model->progress_data,
                                     &model->interrupt, error);
    if (status != PYE_OK && error != NULL)
        error->shard = tensor->shard;
    return status;
}

/* Notes that rows lie in a file; there is room for all files of the model. */
static void add_file(pye_table *table, uint32_t file) {
    for (size_t i = 0; i < table->n_files; i++)
        if (table->files[i] == file)
            return;
    table->files[table->n_files++] = file;
}

/* Rows that are one tensor, of whole blocks. */
static pye_status fill_from_tensor(pye_table *table, const pye_tensor *tensor, pye_error *error) {
    const pye_file *file = table->model->files[tensor->shard];
    table->type = pye_type_info_of(tensor->type);
    table->decode = table->kernels->decode[tensor->type];
    table->swap = file->swap && !pye_type_is_bytes(tensor->type);
    table->is_blocks = true;
    pye_table_info *info = &table->info;
    info->type = tensor->type;
    info->shard = tensor->shard;
    info->n_columns = tensor->shape[tensor->n_dims - 1];
    info->n_rows = 1;
    /* No overflow: the size in bytes was found to fit when the file was opened. */
    for (uint32_t i = 0; i + 1 < tensor->n_dims; i++)
        info->n_rows *= tensor->shape[i];
    info->row_bytes = info->n_columns / table->type->n_weights * table->type->block_bytes;
    info->n_bytes = tensor->n_bytes;
    table->piece_rows = info->n_rows;
    table->n_parts = 1;
    table->layout[PYE_CODES] = (pye_part_layout){info->row_bytes, info->row_bytes};
    table->pieces[0].parts[PYE_CODES] = file->map.base + tensor->offset;
    table->pieces[0].files[PYE_CODES] = tensor->shard;
    table->files = pye_allocate(&table->model->allocator, sizeof *table->files);
    if (table->files == NULL)
        return pye_fail_memory(error, sizeof *table->files);
    add_file(table, tensor->shard);
    return PYE_OK;
}

pye_status pye_table_open(pye_model *model, const char *name, size_t name_size, pye_table **table,
                          pye_error *error) {
    pye_tensor tensor;
    pye_status status = pye_tensor_find(model, name, name_size, &tensor, error);
    if (status == PYE_OK)
        status = check_tensor(&tensor, error);
    if (status != PYE_OK)
        return status;
    const pye_kernels *kernels;
    status = pye_kernels_choose(&kernels, error);
    if (status == PYE_OK)
        status = load_tensor(model, &tensor, error);
    if (status != PYE_OK)
        return status;
    pye_table *opened = allocate_table(model, 1);
    if (opened == NULL)
        return pye_fail_memory(error, sizeof *opened);
    opened->kernels = kernels;
    status = fill_from_tensor(opened, &tensor, error);
    if (status != PYE_OK) {
        pye_table_close(opened);
        return status;
    }
    *table = opened;
    return PYE_OK;
}

/* ---------------------------------------------------------------------------------- the files below it */

static const pye_map *map_of(const pye_table *table, uint32_t file) { return &table->model->files[file]->map; }

pye_status pye_table_intact(const pye_table *table, pye_error *error) {
    pye_status status = PYE_OK;
    for (size_t i = 0; i < table->n_files && status == PYE_OK; i++)
        status = pye_map_intact(map_of(table, table->files[i]), table->files[i], error);
    return status;
}

pye_status pye_table_undamaged(const pye_table *table, pye_error *error) {
    pye_status status = PYE_OK;
    for (size_t i = 0; i < table->n_files && status == PYE_OK; i++)
        status = pye_map_undamaged(map_of(table, table->files[i]), table->files[i], error);
    return status;
}

bool pye_table_row_may_be_cut(const pye_table *table, uint64_t id) {
    pye_row row = pye_table_row(table, id);
    const pye_piece *piece = pye_table_piece(table, id);
    for (size_t part = 0; part < table->n_parts; part++) {
        uint64_t n_bytes = table->layout[part].row_bytes;
        if (n_bytes > 0 && pye_map_may_be_cut(map_of(table, piece->files[part]), row.parts[part] + n_bytes - 1))
            return true;
    }
    return false;
}

/* Piece by piece, the rows of each that are among them. */
void pye_table_expect(const pye_table *table, uint64_t first, uint64_t n) {
    while (n > 0) {
        uint64_t in_piece = table->piece_rows - first % table->piece_rows;
        if (in_piece > n || table->n_pieces == 1)
            in_piece = n;
        pye_row row = pye_table_row(table, first);
        const pye_piece *piece = pye_table_piece(table, first);
        for (size_t part = 0; part < table->n_parts; part++) {
            const pye_map *map = map_of(table, piece->files[part]);
            pye_map_expect(map, (uint64_t)(row.parts[part] - map->base), in_piece * table->layout[part].stride);
        }
        first += in_piece;
        n -= in_piece;
    }
}

/* A few at a time, through a copy in this machine's order. */
void pye_table_decode_swapped(const pye_table *table, const uint8_t *from, float *to, size_t n_weights) {
    uint8_t blocks[PYE_MAX_BLOCK_BYTES * 8];
    const pye_type_info *type = table->type;
    size_t n_blocks = n_weights / type->n_weights;
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

void pye_table_close(pye_table *table) {
    if (table == NULL)
        return;
    pye_model *model = table->model;
    pye_release(atomic_load(&table->norms));
    pye_release(table->files);
    pye_release(table);
    pye_model_release(model);
}

void pye_table_get_info(const pye_table *table, pye_table_info *info) { *info = table->info; }
