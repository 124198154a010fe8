#include "layout/finder.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/status.h"
#include "format/shape.h"

#define LEAST_GROUP 16 /* of the decoders */

pye_number pye_number_of(const pye_tensor *tensor) {
    switch (tensor->type) {
    case PYE_TYPE_F32:
        return PYE_NUMBER_F32;
    case PYE_TYPE_F16:
        return PYE_NUMBER_F16;
    case PYE_TYPE_BF16:
        return PYE_NUMBER_BF16;
    case PYE_TYPE_F64:
        return PYE_NUMBER_F64;
    default:
        return pye_is_dtype(tensor, "F8_E8M0")   ? PYE_NUMBER_E8M0
               : pye_is_dtype(tensor, "F8_E4M3") ? PYE_NUMBER_E4M3
                                                 : PYE_NUMBER_NONE;
    }
}

uint64_t pye_number_bytes(pye_number number) {
    switch (number) {
    case PYE_NUMBER_F64:
        return 8;
    case PYE_NUMBER_F32:
        return 4;
    case PYE_NUMBER_F16:
    case PYE_NUMBER_BF16:
        return 2;
    default:
        return 1;
    }
}

static const char *shape_text(const pye_tensor *tensor, char text[96]) {
    size_t used = 0;
    text[0] = '\0';
    for (uint32_t i = 0; i < tensor->n_dims && used < 80; i++)
        used += (size_t)snprintf(text + used, 96 - used, "%s%" PRIu64, i > 0 ? ", " : "", tensor->shape[i]);
    return text;
}

pye_status pye_finder_fail(pye_finder *f, const pye_tensor *part, const char *why) {
    char names[2][PYE_QUOTE_BYTES], type[PYE_QUOTE_BYTES], shapes[2][96];
    return pye_blame_file(part,
                          pye_fail(f->error, f->bad, part->offset, "tensor %s [%s]: %s of type %s [%s] %s",
                                   pye_quote(names[0], f->codes->name), shape_text(f->codes, shapes[0]),
                                   pye_quote(names[1], part->name), pye_quote(type, part->type_name),
                                   shape_text(part, shapes[1]), why),
                          f->error);
}

void pye_finder_codes(pye_finder *f, pye_code code, uint64_t columns, uint64_t row_bytes) {
    pye_coding *coding = f->coding;
    coding->is_blocks = false;
    coding->type = NULL;
    coding->scaling.code = code;
    coding->n_columns = columns;
    coding->n_rows = f->codes->n_dims > 0 ? 1 : 0;
    /* No overflow: the size in bytes was found to fit when the file was opened. */
    for (uint32_t i = 0; i + 1 < f->codes->n_dims; i++)
        coding->n_rows *= f->codes->shape[i];
    coding->layout[PYE_CODES] = (pye_part_layout){row_bytes, row_bytes};
}

bool pye_is_single(const pye_tensor *tensor) {
    uint64_t n;
    return tensor->n_dims <= 2 && pye_shape_size(tensor, 1, &n) && n == 1;
}

/* Whether there is a scale for every square block of codes, such as 128 x 128. */
static bool is_of_tiles(const pye_tensor *scales, const pye_coding *coding) {
    const uint64_t *shape = scales->shape;
    for (uint64_t side = 16; side <= 256; side *= 2)
        if (scales->n_dims == 2 && !pye_is_single(scales) && coding->n_rows > 1 &&
            shape[0] == coding->n_rows / side + (coding->n_rows % side != 0) &&
            shape[1] == coding->n_columns / side + (coding->n_columns % side != 0))
            return true;
    return false;
}

pye_status pye_finder_scales(pye_finder *f, pye_number number, uint64_t group) {
    pye_coding *coding = f->coding;
    const pye_tensor *scales = f->beside.scales;
    const uint64_t *shape = scales->shape;
    uint64_t n_bytes = pye_number_bytes(number);
    bool is_matrix = scales->n_dims == 2 && shape[0] == coding->n_rows;
    uint64_t n_groups = is_matrix ? shape[1] : 1;
    bool is_shared = pye_is_single(scales) && coding->n_rows != 1;
    bool is_a_row = is_matrix || (scales->n_dims == 1 && shape[0] == coding->n_rows) || pye_is_single(scales);
    if (is_of_tiles(scales, coding))
        return pye_finder_fail(f, scales,
                               "holds one scale for a block of several rows, which cannot be decoded here");
    if (!is_shared && (!is_a_row || n_groups == 0 || coding->n_columns == 0 || coding->n_columns % n_groups != 0))
        return pye_finder_fail(f, scales, "holds neither one scale, nor one a row, nor one a group of columns");
    uint64_t columns = coding->n_columns / n_groups;
    if (group != 0 && (is_shared || columns != group))
        return pye_finder_fail(f, scales,
                               group == NVFP4_GROUP ? "is not one scale for every 16 columns of a row"
                                                    : "is not one scale for every 32 columns of a row");
    if (n_groups > 1 && columns % LEAST_GROUP != 0)
        return pye_finder_fail(f, scales, "has groups whose number of columns is not a multiple of 16");
    coding->scaling.scales = number;
    coding->scaling.group = n_groups > 1 ? columns : 0;
    coding->tensors[PYE_SCALES] = scales;
    coding->layout[PYE_SCALES] = (pye_part_layout){n_groups * n_bytes, is_shared ? 0 : n_groups * n_bytes};
    return PYE_OK;
}
