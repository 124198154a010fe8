#include "table/table.h"

#include <string.h>

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

pye_table *pye_table_retain(const pye_table *table) {
    pye_table *own = (pye_table *)(uintptr_t)table;
    atomic_fetch_add_explicit(&own->n_references, 1, memory_order_relaxed);
    return own;
}

void pye_table_close(pye_table *table) {
    if (table == NULL || atomic_fetch_sub_explicit(&table->n_references, 1, memory_order_acq_rel) > 1)
        return;
    pye_model *model = table->model;
    pye_release(atomic_load(&table->norms));
    pye_release(table->files);
    pye_release(table->mapping);
    pye_release(table->tensors);
    pye_release(table);
    pye_model_release(model);
}

void pye_table_get_info(const pye_table *table, pye_table_info *info) { *info = table->info; }
