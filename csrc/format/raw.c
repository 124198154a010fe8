/* Rows without a header: everything that another format would say comes from the caller. */
#include <inttypes.h>

#include "base/byte_order.h"
#include "base/status.h"
#include "base/text.h"
#include "format/model.h"
#include "format/parsers.h"

static pye_status check_shape(const pye_open_options *options, pye_tensor *tensor, pye_error *error) {
    const pye_type_info *type = pye_type_info_of(options->raw_type);
    if (type == NULL || type->n_weights != 1)
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET,
                        "%" PRId32 " is not a raw_type: it must be a type of one weight a block, "
                        "such as 0 (F32) or 1 (F16)",
                        options->raw_type);
    if (options->raw_columns == 0)
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET, "raw_columns is 0");
    *tensor = (pye_tensor){
        .name = {"data", 4},
        .type_name = pye_text(type->name),
        .type = type->id,
        .n_dims = 2,
        .shape = {options->raw_rows, options->raw_columns},
        .offset = options->raw_offset,
    };
    const char *reason;
    if (!pye_tensor_measure(tensor, &reason))
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET,
                        "a raw table of %" PRIu64 " x %" PRIu64 " %s: %s", options->raw_rows, options->raw_columns,
                        type->name, reason);
    return PYE_OK;
}

static pye_status check_extent(const pye_open_options *options, const pye_tensor *tensor, uint64_t file_bytes,
                               pye_error *error) {
    if (options->raw_offset > file_bytes)
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET,
                        "raw_offset is %" PRIu64 ", but the file has %" PRIu64 " bytes", options->raw_offset,
                        file_bytes);
    uint64_t left = file_bytes - options->raw_offset;
    if (tensor->n_bytes <= left)
        return PYE_OK;
    /* The table is not empty here, so that rows divides its size. */
    uint64_t row_bytes = tensor->n_bytes / options->raw_rows;
    return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET,
                    "%" PRIu64 " x %" PRIu64 " %.*s take %" PRIu64 " bytes, but the file has %" PRIu64
                    " from byte %" PRIu64 " on, which is %" PRIu64 " rows of %" PRIu64
                    " columns; check the shape, the dtype and the offset",
                    options->raw_rows, options->raw_columns, (int)tensor->type_name.size, tensor->type_name.data,
                    tensor->n_bytes, left, options->raw_offset, left / row_bytes, options->raw_columns);
}

pye_status pye_raw_open(pye_model *model, const char *path, const pye_open_options *options, pye_error *error) {
    pye_tensor tensor;
    pye_status status = check_shape(options, &tensor, error);
    if (status != PYE_OK)
        return status;
    pye_file *file;
    status = pye_model_add_file(model, path, options->load_mode, &file, error);
    if (status != PYE_OK)
        return status;
    status = check_extent(options, &tensor, file->map.size, error);
    if (status != PYE_OK)
        return status;
    bool big_endian = options->raw_big_endian != 0;
    file->swap = big_endian != pye_host_is_big_endian();
    file->facts.big_endian = big_endian;
    file->facts.data_offset = options->raw_offset;
    file->facts.n_tensors = 1;
    status = pye_model_add_tensor(model, &tensor, error);
    if (status == PYE_OK)
        status = pye_model_sort_tensors(model, PYE_ERROR_ARGUMENT, error);
    return status == PYE_OK ? pye_map_settle(&file->map, 0, error) : status;
}
