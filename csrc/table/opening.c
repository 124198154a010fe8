/* From a layout to a table: its tensors are made ready, and what all rows share is read. */
#include <inttypes.h>
#include <string.h>

#include "base/byte_order.h"
#include "base/half.h"
#include "base/status.h"
#include "table/raw_rows.h"
#include "table/presence.h"

/* A table of n pieces, closed by pye_table_close; NULL if memory is short. */
static pye_table *allocate_table(pye_model *model, size_t n_pieces) {
    pye_table *table = pye_allocate_zeros(&model->allocator, sizeof *table + n_pieces * sizeof *table->pieces);
    if (table == NULL)
        return NULL;
    atomic_init(&table->n_references, 1);
    atomic_init(&table->norms, NULL);
    table->n_pieces = n_pieces;
    table->model = model;
    pye_model_retain(model);
    return table;
}

/* ------------------------------------------------------------------------------------ its tensors */

/* Neighbours may share a tensor: all shards a scale, and rows that hold their scales one for both. */
static void list_tensors(pye_table *table, const pye_layout *layout) {
    if (layout->mapping != NULL)
        table->tensors[table->n_tensors++] = layout->mapping;
    for (size_t i = 0; i < layout->n_pieces; i++) {
        const pye_piece_tensors *piece = &layout->pieces[i], *before = i > 0 ? piece - 1 : NULL;
        for (size_t part = 0; part < layout->coding.n_parts; part++)
            if ((part == PYE_CODES || piece->parts[part] != piece->parts[PYE_CODES]) &&
                (before == NULL || before->parts[part] != piece->parts[part]))
                table->tensors[table->n_tensors++] = piece->parts[part];
        if (piece->factor != NULL && (before == NULL || before->factor != piece->factor))
            table->tensors[table->n_tensors++] = piece->factor;
    }
}

/* The files of the tensors, each once. */
static pye_status list_files(pye_table *table, pye_error *error) {
    const pye_model *model = table->model;
    uint8_t *seen = pye_allocate_zeros(&model->allocator, model->n_files);
    table->files = pye_allocate(&model->allocator, model->n_files * sizeof *table->files);
    if (seen == NULL || table->files == NULL) {
        pye_release(seen);
        return pye_fail_memory(error, model->n_files * sizeof *table->files);
    }
    for (size_t i = 0; i < table->n_tensors; i++) {
        uint32_t file = table->tensors[i]->shard;
        if (!seen[file])
            table->files[table->n_files++] = file;
        seen[file] = 1;
    }
    pye_release(seen);
    return PYE_OK;
}

/* The bytes of one tensor after another, reported as those of one. */
typedef struct loading {
    const pye_model *model;
    uint64_t n_done;
    uint64_t n_total;
} loading;

static int report(uint64_t n_done, uint64_t n_total, void *data) {
    const loading *all = data;
    (void)n_total;
    return all->model->progress(all->n_done + n_done, all->n_total, all->model->progress_data);
}

/* Makes the tensors' bytes ready for use. */
static pye_status load_tensors(const pye_table *table, pye_error *error) {
    const pye_model *model = table->model;
    loading all = {.model = model, .n_total = table->info.n_bytes};
    pye_status status = PYE_OK;
    for (size_t i = 0; i < table->n_tensors && status == PYE_OK; i++) {
        const pye_tensor *tensor = table->tensors[i];
        pye_map *map = &model->files[tensor->shard]->map;
        status = pye_map_load(map, tensor->offset, tensor->n_bytes, model->progress != NULL ? report : NULL, &all,
                              &model->interrupt, error);
        if (status != PYE_OK)
            return pye_blame_file(tensor, status, error);
        all.n_done += tensor->n_bytes;
    }
    return status;
}

static const uint8_t *bytes_of(const pye_table *table, const pye_tensor *tensor) {
    return table->model->files[tensor->shard]->map.base + tensor->offset;
}

/* --------------------------------------------------------------------------------------- filling it */

static void fill_info(pye_table *table, const pye_layout *layout) {
    pye_table_info *info = &table->info;
    const pye_tensor *codes = layout->pieces[0].parts[PYE_CODES];
    info->type = table->is_blocks ? codes->type : PYE_TYPE_UNKNOWN;
    info->shard = codes->shard;
    info->n_rows = layout->n_rows;
    info->n_columns = layout->coding.n_columns;
    for (size_t part = 0; part < table->n_parts; part++)
        info->row_bytes += pye_raw_part_bytes(table, part);
    for (size_t i = 0; i < table->n_tensors; i++)
        info->n_bytes += table->tensors[i]->n_bytes;
}

static void fill_coding(pye_table *table, const pye_layout *layout) {
    const pye_coding *coding = &layout->coding;
    table->type = coding->type;
    table->is_blocks = coding->is_blocks;
    table->scaling = coding->scaling;
    table->n_parts = coding->n_parts;
    memcpy(table->layout, coding->layout, sizeof table->layout);
    table->piece_rows = layout->piece_rows;
    table->n_stored_rows = layout->n_stored_rows;
    table->scales_are_weights = layout->scales_are_weights;
    if (!table->is_blocks)
        return;
    table->decode = table->kernels->decode[table->type->id];
    table->swap = table->model->files[layout->pieces[0].parts[PYE_CODES]->shard]->swap &&
                  !pye_type_is_bytes(table->type->id);
}

static void fill_pieces(pye_table *table, const pye_layout *layout) {
    for (size_t i = 0; i < layout->n_pieces; i++)
        for (size_t part = 0; part < table->n_parts; part++) {
            const pye_tensor *tensor = layout->pieces[i].parts[part];
            table->pieces[i].parts[part] = bytes_of(table, tensor) + layout->coding.starts[part];
            table->pieces[i].files[part] = tensor->shard;
        }
    const pye_piece *first = table->pieces, *last = &table->pieces[layout->n_pieces - 1];
    table->shards_have_scales = table->n_parts > PYE_SCALES && table->layout[PYE_SCALES].stride == 0 &&
                                first->parts[PYE_SCALES] != last->parts[PYE_SCALES];
}

/* One number, widened to float32. */
static float read_number(const pye_table *table, const pye_tensor *tensor) {
    const uint8_t *from = bytes_of(table, tensor);
    float value;
    if (tensor->type == PYE_TYPE_F32) {
        memcpy(&value, from, sizeof value);
        return value;
    }
    uint16_t half;
    memcpy(&half, from, sizeof half);
    return tensor->type == PYE_TYPE_F16 ? pye_half_to_float(half) : pye_bfloat_to_float(half);
}

/* The factor is the table's: shards that have their own must agree. */
static pye_status fill_factor(pye_table *table, const pye_layout *layout, pye_error *error) {
    if (table->scaling.factor_kind == PYE_FACTOR_NONE)
        return PYE_OK;
    table->scaling.factor = read_number(table, layout->pieces[0].factor);
    for (size_t i = 1; i < layout->n_pieces; i++) {
        const pye_tensor *factor = layout->pieces[i].factor;
        float value = read_number(table, factor);
        char name[PYE_QUOTE_BYTES];
        if (memcmp(&value, &table->scaling.factor, sizeof value) != 0)
            return pye_blame_file(factor,
                                  pye_fail(error, PYE_ERROR_SAFETENSORS, factor->offset,
                                           "%s is %g, that of the first shard %g: a table has one",
                                           pye_quote(name, factor->name), (double)value,
                                           (double)table->scaling.factor),
                                  error);
    }
    return PYE_OK;
}

/* Any whole number but a negative one. */
static uint64_t whole_number(const uint8_t *from, uint64_t n_bytes, bool is_signed) {
    uint64_t value = 0;
    memcpy(&value, from, (size_t)n_bytes); /* safetensors files are little-endian, as are all hosts that read on */
    unsigned unused = 64 - 8 * (unsigned)n_bytes;
    if (is_signed && (value << unused) >> 63 != 0)
        return UINT64_MAX;
    return value;
}

/* Copied, so that what was checked is what is used. */
static pye_status fill_mapping(pye_table *table, const pye_layout *layout, pye_error *error) {
    const pye_tensor *mapping = layout->mapping;
    if (mapping == NULL || layout->n_rows == 0)
        return PYE_OK;
    if (pye_host_is_big_endian())
        return pye_fail(error, PYE_ERROR_TYPE, mapping->offset,
                        "mappings cannot be read in this file's byte order");
    table->mapping = pye_allocate(&table->model->allocator, (size_t)layout->n_rows * sizeof *table->mapping);
    if (table->mapping == NULL)
        return pye_fail_memory(error, layout->n_rows * sizeof *table->mapping);
    const uint8_t *from = bytes_of(table, mapping);
    uint64_t n_bytes = mapping->n_bytes / layout->n_rows;
    bool is_signed = mapping->type_name.data[0] == 'I';
    for (uint64_t i = 0; i < layout->n_rows; i++, from += n_bytes) {
        uint64_t row = whole_number(from, n_bytes, is_signed);
        char name[PYE_QUOTE_BYTES];
        if (row >= layout->n_stored_rows)
            return pye_blame_file(mapping,
                                  pye_fail(error, PYE_ERROR_SAFETENSORS, mapping->offset + i * n_bytes,
                                           "%s: entry %" PRIu64 " is not one of the %" PRIu64 " rows of its table",
                                           pye_quote(name, mapping->name), i, layout->n_stored_rows),
                                  error);
        table->mapping[i] = (uint32_t)row;
    }
    return PYE_OK;
}

static pye_status fill_table(pye_table *table, const pye_layout *layout, pye_error *error) {
    fill_coding(table, layout);
    size_t most = layout->n_pieces * (PYE_N_PARTS + 1) + 1;
    table->tensors = pye_allocate(&table->model->allocator, most * sizeof(pye_tensor *));
    if (table->tensors == NULL)
        return pye_fail_memory(error, most * sizeof(pye_tensor *));
    list_tensors(table, layout);
    fill_pieces(table, layout);
    fill_info(table, layout);
    pye_status status = list_files(table, error);
    if (status == PYE_OK)
        status = load_tensors(table, error);
    if (status == PYE_OK)
        status = fill_factor(table, layout, error);
    if (status == PYE_OK)
        status = fill_mapping(table, layout, error);
    bool was_read = table->scaling.factor_kind != PYE_FACTOR_NONE || layout->mapping != NULL;
    return status == PYE_OK && was_read ? pye_table_intact(table, error) : status;
}

pye_status pye_table_open(pye_model *model, const char *name, size_t name_size, pye_table **table,
                          pye_error *error) {
    pye_layout layout;
    pye_status status = pye_layout_find(model, (pye_string){name, name_size}, &layout, error);
    if (status != PYE_OK)
        return status;
    const pye_kernels *kernels;
    status = pye_kernels_choose(&kernels, error);
    pye_table *opened = status == PYE_OK ? allocate_table(model, layout.n_pieces) : NULL;
    if (status == PYE_OK && opened == NULL)
        status = pye_fail_memory(error, sizeof *opened);
    if (status == PYE_OK) {
        opened->kernels = kernels;
        status = fill_table(opened, &layout, error);
    }
    pye_layout_free(&layout);
    if (status == PYE_OK)
        status = pye_presence_begin(opened, error);
    if (status != PYE_OK) {
        pye_table_close(opened);
        return status;
    }
    *table = opened;
    return PYE_OK;
}
