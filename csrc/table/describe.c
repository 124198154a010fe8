/* What a table is made of, for those who open one; and which tables are made of shards. */
#include <string.h>

#include "base/status.h"
#include "base/text.h"
#include "layout/shards.h"
#include "table/table.h"

static const char *name_of_codes(const pye_table *table) {
    static const char *const bits[] = {[2] = "U2", [3] = "U3", [4] = "U4", [5] = "U5", [6] = "U6", [8] = "U8"};
    switch (table->scaling.code) {
    case PYE_CODE_E4M3:
        return "F8_E4M3";
    case PYE_CODE_E5M2:
        return "F8_E5M2";
    case PYE_CODE_E2M1:
        return "F4";
    case PYE_CODE_BITS:
        return bits[table->scaling.n_bits];
    default:
        return table->type->name;
    }
}

static const char *name_of_numbers(pye_number number) {
    static const char *const names[] = {[PYE_NUMBER_NONE] = "",       [PYE_NUMBER_F32] = "F32",
                                        [PYE_NUMBER_F16] = "F16",     [PYE_NUMBER_BF16] = "BF16",
                                        [PYE_NUMBER_F64] = "F64",     [PYE_NUMBER_E8M0] = "F8_E8M0",
                                        [PYE_NUMBER_E4M3] = "F8_E4M3"};
    return names[number];
}

/* The scale that all rows of a table share: what a one becomes with it. */
static double shared_scale(const pye_table *table) {
    const float one = 1;
    const pye_scaling how = {.code = PYE_CODE_BLOCKS, .type = PYE_TYPE_F32, .scales = table->scaling.scales};
    const uint8_t *const parts[PYE_N_PARTS] = {(const uint8_t *)&one, table->pieces[0].parts[PYE_SCALES], NULL};
    float scale;
    table->kernels->decode_scaled(&how, parts, 0, 1, &scale);
    return (double)scale;
}

pye_status pye_table_get_layout(const pye_table *table, pye_table_layout *layout, pye_error *error) {
    if (layout->struct_bytes != sizeof *layout)
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET,
                        "struct_bytes of a pye_table_layout is %zu; it must be %zu", layout->struct_bytes,
                        sizeof *layout);
    const pye_scaling *scaling = &table->scaling;
    bool has_scales = scaling->scales != PYE_NUMBER_NONE;
    *layout = (pye_table_layout){
        .struct_bytes = sizeof *layout,
        .codes = name_of_codes(table),
        .scales = name_of_numbers(scaling->scales),
        .biases = name_of_numbers(scaling->biases),
        .sharing = !has_scales                             ? PYE_SCALES_NONE
                   : table->layout[PYE_SCALES].stride == 0 ? PYE_SCALES_A_TABLE
                   : scaling->group == 0                   ? PYE_SCALES_A_ROW
                                                           : PYE_SCALES_A_GROUP,
        .factor = (int32_t)scaling->factor_kind,
        .factor_value = (double)scaling->factor,
        .group = !has_scales           ? 0
                 : scaling->group != 0 ? scaling->group
                                       : table->info.n_columns,
        .code_bytes = table->layout[PYE_CODES].row_bytes,
        .scale_bytes = table->layout[PYE_SCALES].row_bytes,
        .bias_bytes = table->layout[PYE_BIASES].row_bytes,
        .n_shards = table->n_pieces,
        .shard_rows = table->piece_rows,
        .n_stored_rows = table->n_stored_rows,
        .has_mapping = table->mapping != NULL,
        .has_weights = table->scales_are_weights,
        .n_tensors = table->n_tensors,
    };
    layout->has_scale_value = layout->sharing == PYE_SCALES_A_TABLE && !table->shards_have_scales;
    if (layout->has_scale_value == 0)
        return PYE_OK;
    layout->scale_value = shared_scale(table);
    return pye_table_intact(table, error);
}

pye_status pye_table_tensor_at(const pye_table *table, size_t index, pye_tensor *tensor, pye_error *error) {
    if (index >= table->n_tensors)
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET, "tensor %zu of a table is not below %zu", index,
                        table->n_tensors);
    *tensor = *table->tensors[index];
    return PYE_OK;
}

/* Of a table's shards it is the one of number 0 that stands for the table: every table has that. */
pye_status pye_sharded_table_next(const pye_model *model, size_t *position, pye_string *name, pye_error *error) {
    for (; *position < model->n_tensors; ++*position) {
        pye_string tensor = model->tensors[model->tensors_by_name[*position]].name;
        pye_string base, stem;
        if (!pye_shard_split(tensor, &base, &stem) || !pye_shard_is_first(tensor, stem))
            continue;
        pye_status status = pye_model_intact(model, error);
        if (status != PYE_OK)
            return status;
        *name = base;
        ++*position;
        return PYE_OK;
    }
    return pye_fail(error, PYE_ERROR_NOT_FOUND, PYE_NO_OFFSET, "there are no more tables of shards");
}
