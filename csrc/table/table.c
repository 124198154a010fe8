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
    if (status != PYE_OK)
        return status;
    pye_file *file = model->files[tensor.shard];
    status = pye_map_load(&file->map, tensor.offset, tensor.n_bytes, model->progress, model->progress_data,
                          &model->interrupt, error);
    if (status != PYE_OK) {
        if (error != NULL)
            error->shard = tensor.shard;
        return status;
    }
    pye_table *opened = pye_allocate_zeros(&model->allocator, sizeof *opened);
    if (opened == NULL)
        return pye_fail_memory(error, sizeof *opened);
    opened->type = pye_type_info_of(tensor.type);
    opened->rows = file->map.base + tensor.offset;
    opened->map = &file->map;
    opened->kernels = kernels;
    opened->decode = kernels->decode[tensor.type];
    opened->swap = file->swap && !pye_type_is_bytes(tensor.type);
    pye_table_info *info = &opened->info;
    info->type = tensor.type;
    info->shard = tensor.shard;
    info->n_columns = tensor.shape[tensor.n_dims - 1];
    info->n_rows = 1;
    /* No overflow: the size in bytes was found to fit when the file was opened. */
    for (uint32_t i = 0; i + 1 < tensor.n_dims; i++)
        info->n_rows *= tensor.shape[i];
    info->row_bytes = info->n_columns / opened->type->n_weights * opened->type->block_bytes;
    info->n_bytes = tensor.n_bytes;
    atomic_init(&opened->norms, NULL);
    opened->model = model;
    pye_model_retain(model);
    *table = opened;
    return PYE_OK;
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
    pye_release(table);
    pye_model_release(model);
}

void pye_table_get_info(const pye_table *table, pye_table_info *info) { *info = table->info; }
