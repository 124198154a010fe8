#include "layout/layout.h"

#include <inttypes.h>
#include <string.h>

#include "base/status.h"
#include "base/text.h"
#include "layout/coding_find.h"
#include "layout/finder.h"
#include "layout/shards.h"

/* ------------------------------------------------------------------------------------------- pieces */

static pye_status allocate_pieces(const pye_model *model, pye_layout *layout, size_t n, pye_error *error) {
    layout->pieces = pye_allocate_zeros(&model->allocator, n * sizeof *layout->pieces);
    layout->n_pieces = n;
    return layout->pieces != NULL ? PYE_OK : pye_fail_memory(error, n * sizeof *layout->pieces);
}

static void keep_tensors(pye_piece_tensors *piece, const pye_coding *coding) {
    memcpy(piece->parts, coding->tensors, sizeof piece->parts);
    piece->factor = coding->factor;
}

static bool is_same_coding(const pye_coding *a, const pye_coding *b) {
    bool is_same = a->type == b->type && a->is_blocks == b->is_blocks && a->n_columns == b->n_columns &&
                   a->n_parts == b->n_parts && a->scaling.code == b->scaling.code &&
                   a->scaling.n_bits == b->scaling.n_bits && a->scaling.scales == b->scaling.scales &&
                   a->scaling.biases == b->scaling.biases && a->scaling.group == b->scaling.group &&
                   a->scaling.factor_kind == b->scaling.factor_kind;
    for (size_t part = 0; part < a->n_parts; part++)
        is_same = is_same && a->layout[part].row_bytes == b->layout[part].row_bytes &&
                  a->layout[part].stride == b->layout[part].stride && a->starts[part] == b->starts[part];
    return is_same;
}

/* A shard of one row has one scale whether that is its row's or its own. */
static void make_alike(pye_coding *coding, const pye_coding *first) {
    if (coding->n_rows <= 1 && coding->n_parts == first->n_parts)
        for (size_t part = 1; part < first->n_parts; part++)
            if (coding->layout[part].row_bytes == first->layout[part].row_bytes)
                coding->layout[part].stride = first->layout[part].stride;
}

static pye_status fail_shard(const pye_model *model, pye_string name, const pye_tensor *shard, const char *why,
                             pye_error *error) {
    char names[2][PYE_QUOTE_BYTES];
    return pye_blame_file(shard,
                          pye_fail(error, pye_model_bad(model), shard->offset, "table %s: the shard %s %s",
                                   pye_quote(names[0], name), pye_quote(names[1], shard->name), why),
                          error);
}

static pye_status add_shard(const pye_model *model, pye_string name, const pye_tensor *shard, size_t i,
                            pye_layout *layout, pye_error *error) {
    pye_coding coding;
    pye_status status = pye_coding_find(model, shard, i > 0 ? &layout->coding : NULL, &coding, error);
    if (status != PYE_OK)
        return status;
    if (i == 0) {
        layout->coding = coding;
        layout->piece_rows = coding.n_rows;
    }
    make_alike(&coding, &layout->coding);
    if (coding.n_parts < layout->coding.n_parts)
        return fail_shard(model, name, shard, "has no scales, and others have", error);
    if (!is_same_coding(&coding, &layout->coding))
        return fail_shard(model, name, shard, "does not have scales like the first one's", error);
    if (__builtin_add_overflow(layout->n_rows, coding.n_rows, &layout->n_rows) || layout->n_rows > INT64_MAX)
        return fail_shard(model, name, shard, "makes the number of rows larger than 63 bits", error);
    keep_tensors(&layout->pieces[i], &coding);
    return PYE_OK;
}

static pye_status fill_shards(const pye_model *model, pye_string name, const pye_tensor *const *shards, size_t n,
                              pye_layout *layout, pye_error *error) {
    pye_status status = allocate_pieces(model, layout, n, error);
    for (size_t i = 0; i < n && status == PYE_OK; i++)
        status = add_shard(model, name, shards[i], i, layout, error);
    return status;
}

static pye_status fill_tensor(const pye_model *model, const pye_tensor *tensor, pye_layout *layout,
                              pye_error *error) {
    pye_status status = allocate_pieces(model, layout, 1, error);
    if (status == PYE_OK)
        status = pye_coding_find(model, tensor, NULL, &layout->coding, error);
    if (status != PYE_OK)
        return status;
    layout->n_rows = layout->piece_rows = layout->coding.n_rows;
    keep_tensors(layout->pieces, &layout->coding);
    return PYE_OK;
}

/* ---------------------------------------------------------------------------------- rows by a mapping */

static bool is_whole(const pye_tensor *tensor) {
    static const char *const types[] = {"I64", "I32", "I16", "I8", "U64", "U32", "U16", "U8"};
    for (size_t i = 0; i < sizeof types / sizeof types[0]; i++)
        if (pye_is_dtype(tensor, types[i]))
            return true;
    return false;
}

static bool is_column(const pye_tensor *tensor) { return tensor->n_dims == 2 && tensor->shape[1] == 1; }

static pye_status fail_beside(const pye_tensor *codes, const pye_tensor *part, const char *why, pye_error *error) {
    char names[2][PYE_QUOTE_BYTES], type[PYE_QUOTE_BYTES];
    return pye_blame_file(part,
                          pye_fail(error, PYE_ERROR_SAFETENSORS, part->offset,
                                   "tensor %s: %s, of type %s and length %" PRIu64 ", %s",
                                   pye_quote(names[0], codes->name), pye_quote(names[1], part->name),
                                   pye_quote(type, part->type_name), part->n_dims > 0 ? part->shape[0] : 0, why),
                          error);
}

/* Weights are one a row of the table, and multiply as scales do. */
static pye_status add_weights(pye_layout *layout, const pye_tensor *weights, pye_error *error) {
    pye_coding *coding = &layout->coding;
    const pye_tensor *codes = coding->tensors[PYE_CODES];
    pye_number number = pye_number_of(weights);
    if (weights->n_dims != 1 || number == PYE_NUMBER_NONE || number == PYE_NUMBER_E8M0 ||
        number == PYE_NUMBER_E4M3)
        return fail_beside(codes, weights, "is not a list of floats, one a token", error);
    if (weights->shape[0] != layout->n_rows)
        return fail_beside(codes, weights, "is not as long as the table has rows, or its mapping entries", error);
    uint64_t n_bytes = pye_number_bytes(number);
    coding->is_blocks = false;
    coding->n_parts = 2;
    coding->scaling.scales = number;
    coding->layout[PYE_SCALES] = (pye_part_layout){n_bytes, n_bytes};
    layout->pieces[0].parts[PYE_SCALES] = weights;
    layout->scales_are_weights = true;
    return PYE_OK;
}

/* model2vec's tables may have one row for several tokens, and a weight for each token. */
static pye_status find_mapping(const pye_model *model, pye_string name, pye_layout *layout, pye_error *error) {
    if (model->format != PYE_FORMAT_SAFETENSORS || layout->coding.tensors[PYE_CODES]->n_dims != 2 ||
        (pye_string_compare(name, pye_text("embeddings")) != 0 &&
         pye_string_compare(name, pye_text("embedding.weight")) != 0))
        return PYE_OK;
    const pye_tensor *mapping = pye_model_tensor(model, pye_text("mapping"), "");
    const pye_tensor *weights = pye_model_tensor(model, pye_text("weights"), "");
    bool has_mapping = mapping != NULL && (mapping->n_dims == 1 || is_whole(mapping));
    bool has_weights = weights != NULL && (weights->n_dims == 1 || is_column(weights));
    const pye_tensor *codes = layout->coding.tensors[PYE_CODES];
    if ((has_mapping || has_weights) && layout->n_pieces > 1)
        return fail_beside(codes, has_mapping ? mapping : weights, "lies beside a table in shards", error);
    if ((has_mapping || has_weights) && layout->coding.n_parts > 1)
        return fail_beside(codes, has_mapping ? mapping : weights, "lies beside codes that have scales", error);
    if (has_mapping) {
        if (mapping->n_dims != 1 || !is_whole(mapping))
            return fail_beside(codes, mapping, "is not a list of row numbers", error);
        if (layout->n_rows > UINT32_MAX)
            return fail_beside(codes, mapping, "leads into a table of more than 2^32 rows", error);
        layout->mapping = mapping;
        layout->n_rows = mapping->shape[0];
    }
    return has_weights ? add_weights(layout, weights, error) : PYE_OK;
}

/* -------------------------------------------------------------------------------------- from a name */

static pye_status find_by_name(const pye_model *model, pye_string name, pye_layout *layout, pye_error *error) {
    const pye_tensor *tensor = pye_model_tensor(model, name, "");
    if (tensor != NULL)
        return fill_tensor(model, tensor, layout, error);
    const pye_tensor **shards;
    size_t n;
    pye_status status = pye_shards_find(model, name, &shards, &n, error);
    char quoted[PYE_QUOTE_BYTES];
    if (status == PYE_OK && n == 0)
        status =
            pye_fail(error, PYE_ERROR_NOT_FOUND, PYE_NO_OFFSET, "no tensor is named %s", pye_quote(quoted, name));
    if (status == PYE_OK)
        status = fill_shards(model, name, shards, n, layout, error);
    pye_release(shards);
    return status;
}

pye_status pye_layout_find(const pye_model *model, pye_string name, pye_layout *layout, pye_error *error) {
    memset(layout, 0, sizeof *layout);
    pye_status status = pye_model_intact(model, error);
    if (status == PYE_OK)
        status = find_by_name(model, name, layout, error);
    layout->n_stored_rows = layout->n_rows;
    if (status == PYE_OK)
        status = find_mapping(model, name, layout, error);
    if (status != PYE_OK)
        pye_layout_free(layout);
    return status;
}

void pye_layout_free(pye_layout *layout) {
    pye_release(layout->pieces);
    layout->pieces = NULL;
}
