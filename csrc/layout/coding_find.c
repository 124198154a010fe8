#include "layout/coding_find.h"

#include <inttypes.h>
#include <string.h>

#include "base/status.h"
#include "base/text.h"
#include "layout/finder.h"
#include "layout/lookalikes.h"
#include "layout/shards.h"

/* ---------------------------------------------------------------------------------------- eight bits */

static pye_status fail_missing(pye_finder *f, const pye_tensor *elsewhere) {
    char names[2][PYE_QUOTE_BYTES], type[PYE_QUOTE_BYTES];
    pye_status status =
        pye_fail(f->error, f->bad, f->codes->offset,
                 "tensor %s: no scale of its lies beside it, though others of type %s have one, such as %s",
                 pye_quote(names[0], f->codes->name), pye_quote(type, f->codes->type_name),
                 pye_quote(names[1], elsewhere->name));
    return pye_blame_file(f->codes, status, f->error);
}

/* Tables of hashed rows that are written with scales whenever they are codes: without them a part of the file is missing. */
static bool needs_scales(const pye_finder *f) {
    pye_string name = f->base.size > 0 ? f->base : f->stem;
    return pye_string_ends(name, pye_text("ple_embedding.ngram_embedding")) ||
           pye_string_ends(name, pye_text("engram.embed"));
}

static pye_status fail_without_scales(pye_finder *f) {
    const pye_tensor *part = f->beside.biases != NULL ? f->beside.biases : f->beside.factor;
    if (part != NULL)
        return pye_finder_fail(f, part, "lies beside it, and the scales that it goes with do not");
    if (!pye_may_be_codes(f->codes))
        return PYE_OK;
    const pye_tensor *elsewhere = f->first == NULL ? pye_companions_elsewhere(f->model, f->codes) : NULL;
    if (elsewhere != NULL)
        return fail_missing(f, elsewhere);
    if (f->first == NULL && needs_scales(f))
        return pye_finder_fail(f, f->codes,
                               "holds codes of a table of hashed rows, whose scales are not in the file");
    pye_status status = f->first == NULL ? pye_companions_refuse_stray(f->model, f->codes, f->error) : PYE_OK;
    if (status == PYE_OK)
        status = pye_lookalikes_refuse(f->model, f->codes, f->first == NULL ? f->base : pye_text(""), f->error);
    return status == PYE_OK && f->first == NULL ? pye_companions_refuse_one_of_many(f->model, f->codes, f->error)
                                                : status;
}

/* Nothing but scales may lie beside the codes. */
static pye_status refuse_others(pye_finder *f) {
    const pye_tensor *part = f->beside.biases != NULL ? f->beside.biases : f->beside.factor;
    return part == NULL ? PYE_OK : pye_finder_fail(f, part, "is of no use to codes of its type and scales");
}

/* Scales for eight-bit codes: floats for any group, exponents stored as bytes for the group of MXFP8 and MXINT8. */
static pye_status scale_bytes(pye_finder *f) {
    pye_status status = refuse_others(f);
    if (status != PYE_OK)
        return status;
    pye_number number = pye_number_of(f->beside.scales);
    if (pye_is_dtype(f->beside.scales, "U8"))
        return pye_finder_scales(f, PYE_NUMBER_E8M0, MX_GROUP);
    if (number == PYE_NUMBER_NONE || number == PYE_NUMBER_E4M3)
        return pye_finder_fail(f, f->beside.scales, "does not hold scales of a type that goes with its codes");
    return pye_finder_scales(f, number, 0);
}

static pye_status find_float8(pye_finder *f, pye_code code) {
    uint64_t width = f->codes->shape[f->codes->n_dims - 1];
    pye_finder_codes(f, code, width, width);
    return f->beside.scales == NULL ? fail_without_scales(f) : scale_bytes(f);
}

/* --------------------------------------------------------------------------------------- four bits */

/* E2M1, two a byte, in rows of `row_bytes`: NVFP4 with E4M3 scales and a factor, MXFP4 with exponents. */
static pye_status find_float4(pye_finder *f, uint64_t row_bytes) {
    const pye_tensor *scales = f->beside.scales;
    bool is_bytes = pye_is_dtype(scales, "U8");
    pye_number number = pye_number_of(scales);
    pye_finder_codes(f, PYE_CODE_E2M1, row_bytes * 2, row_bytes);
    if (f->beside.biases != NULL)
        return pye_finder_fail(f, f->beside.biases, "is of no use to codes of four bits");
    if (number == PYE_NUMBER_E4M3 || (is_bytes && f->beside.factor != NULL)) {
        if (f->beside.factor == NULL)
            return pye_finder_fail(f, scales,
                                   "holds NVFP4's scales, but weight_scale_2 or weight_global_scale is missing");
        return pye_finder_scales(f, PYE_NUMBER_E4M3, NVFP4_GROUP);
    }
    if (number != PYE_NUMBER_E8M0 && !is_bytes)
        return pye_finder_fail(f, scales, "does not hold scales of a type that goes with codes of four bits");
    if (f->beside.factor != NULL)
        return pye_finder_fail(f, f->beside.factor, "is of no use to MXFP4");
    return pye_finder_scales(f, PYE_NUMBER_E8M0, MX_GROUP);
}

/* How many bytes of codes share a scale; 0 if that is not a whole number. */
static uint64_t bytes_a_scale(const pye_finder *f) {
    const pye_tensor *scales = f->beside.scales;
    uint64_t width = f->codes->shape[f->codes->n_dims - 1];
    uint64_t n = scales->n_dims == 2 ? scales->shape[1] : 0;
    return n > 0 && width % n == 0 ? width / n : 0;
}

static bool has_exponents(const pye_finder *f) {
    return pye_number_of(f->beside.scales) == PYE_NUMBER_E8M0 || pye_is_dtype(f->beside.scales, "U8");
}

/* U8: two codes of four bits a byte; or MXFP8, which has a scale for every 32 bytes instead of 16. */
static pye_status find_bytes(pye_finder *f) {
    uint64_t width = f->codes->shape[f->codes->n_dims - 1];
    if (f->beside.scales == NULL)
        return fail_without_scales(f);
    if (!has_exponents(f) || f->beside.factor != NULL || bytes_a_scale(f) != MX_GROUP)
        return find_float4(f, width);
    return find_float8(f, PYE_CODE_E4M3);
}

/* I8: whole numbers with scales, but for what has the scales of four-bit codes. */
static pye_status find_int8(pye_finder *f) {
    uint64_t width = f->codes->shape[f->codes->n_dims - 1];
    if (f->beside.scales == NULL)
        return fail_without_scales(f);
    bool is_packed = pye_string_ends(f->codes->name, pye_text(".weight_packed"));
    if (is_packed || pye_number_of(f->beside.scales) == PYE_NUMBER_E4M3 || f->beside.factor != NULL)
        return find_float4(f, width);
    if (has_exponents(f) && bytes_a_scale(f) == MX_GROUP / 2)
        return pye_finder_fail(f, f->beside.scales,
                               "may belong to codes of four bits or of eight: a U8 or F4 tensor would say which");
    pye_finder_codes(f, PYE_CODE_BLOCKS, width, width);
    f->coding->type = pye_type_info_of(PYE_TYPE_I8);
    f->coding->scaling.type = PYE_TYPE_I8;
    return scale_bytes(f);
}

static pye_status find_f4(pye_finder *f) {
    uint64_t width = f->codes->shape[f->codes->n_dims - 1];
    if (f->beside.scales == NULL)
        return fail_without_scales(f);
    if (width % 2 != 0)
        return pye_finder_fail(f, f->codes, "has rows that end inside a byte");
    return find_float4(f, width / 2);
}

/* --------------------------------------------------------------------------------------- which it is */

/* Floats are what they are, unless something beside them says that they are not. */
static pye_status check_floats(pye_finder *f) {
    static const char *const ends[] = {".weight_scale", ".weight_scale_inv", ".scale_weight", ".weight_scale_2",
                                       ".weight_global_scale"};
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        const pye_tensor *part = pye_model_tensor(f->model, f->stem, ends[i] + (f->stem.size == 0));
        if (part != NULL && part != f->codes)
            return pye_finder_fail(f, part, "lies beside it, though the tensor holds floats and not codes");
    }
    return PYE_OK;
}

/* What a shard shares with its whole table is named after that. */
static pye_status find_shared(pye_finder *f) {
    pye_companions shared;
    pye_status status = pye_companions_find(f->model, f->base, f->codes, &shared, f->error);
    if (status == PYE_OK && f->first == NULL)
        status = pye_companions_refuse_unknown(f->model, f->base, f->codes, f->error);
    if (status != PYE_OK)
        return status;
    if (shared.biases != NULL)
        return pye_finder_fail(f, shared.biases, "lies beside the whole table instead of its shards");
    if (shared.scales != NULL && !pye_is_single(shared.scales))
        return pye_finder_fail(f, shared.scales, "is not one number, though all shards share it");
    if (shared.scales != NULL && f->beside.scales != NULL)
        return pye_finder_fail(f, shared.scales, "lies beside the whole table, and its shards have their own");
    if (shared.factor != NULL && f->beside.factor != NULL)
        return pye_finder_fail(f, shared.factor, "lies beside the whole table, and its shards have their own");
    if (shared.scales != NULL)
        f->beside.scales = shared.scales;
    if (shared.factor != NULL) {
        f->beside.factor = shared.factor;
        f->beside.factor_kind = shared.factor_kind;
    }
    return PYE_OK;
}

static bool is_coded(const pye_tensor *tensor) {
    return pye_number_of(tensor) == PYE_NUMBER_NONE || pye_number_of(tensor) == PYE_NUMBER_E4M3;
}

static pye_status find_safetensors(pye_finder *f) {
    pye_string stem;
    if (pye_shard_split(f->codes->name, &f->base, &stem))
        f->stem = stem;
    if (!is_coded(f->codes))
        return check_floats(f);
    pye_status status = pye_companions_find(f->model, f->stem, f->codes, &f->beside, f->error);
    if (status == PYE_OK)
        status = pye_companions_refuse_unknown(f->model, f->stem, f->codes, f->error);
    if (status == PYE_OK && f->base.size > 0)
        status = find_shared(f);
    if (status != PYE_OK)
        return status;
    const pye_companions *beside = &f->beside;
    if (f->codes->n_dims != 2 && (beside->scales != NULL || beside->factor != NULL))
        return pye_finder_fail(f, beside->scales != NULL ? beside->scales : beside->factor,
                               "lies beside it, though it does not have two dimensions");
    if (pye_is_dtype(f->codes, "F8_E4M3"))
        return find_float8(f, PYE_CODE_E4M3);
    if (pye_is_dtype(f->codes, "F8_E5M2"))
        return find_float8(f, PYE_CODE_E5M2);
    if (pye_is_dtype(f->codes, "I8"))
        return find_int8(f);
    if (pye_is_dtype(f->codes, "U8"))
        return find_bytes(f);
    if (pye_is_dtype(f->codes, "F4"))
        return find_f4(f);
    if (pye_is_dtype(f->codes, "U32"))
        return pye_finder_mlx(f);
    if (beside->scales == NULL)
        return fail_without_scales(f);
    char names[2][PYE_QUOTE_BYTES], type[PYE_QUOTE_BYTES];
    return pye_fail(f->error, PYE_ERROR_TYPE, PYE_NO_OFFSET,
                    "tensor %s: codes of type %s with the scales %s are of a kind that cannot be decoded",
                    pye_quote(names[0], f->codes->name), pye_quote(type, f->codes->type_name),
                    pye_quote(names[1], beside->scales->name));
}

/* ------------------------------------------------------------------------------------------ the whole */

static pye_status check_type(const pye_tensor *tensor, pye_error *error) {
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
    return PYE_OK;
}

/* Rows that are one tensor, of whole blocks. */
static pye_status fill_blocks(pye_finder *f) {
    pye_status status = check_type(f->codes, f->error);
    if (status != PYE_OK)
        return status;
    const pye_type_info *type = pye_type_info_of(f->codes->type);
    uint64_t columns = f->codes->shape[f->codes->n_dims - 1];
    pye_finder_codes(f, PYE_CODE_BLOCKS, columns, columns / type->n_weights * type->block_bytes);
    f->coding->type = type;
    f->coding->scaling.type = type->id;
    f->coding->is_blocks = true;
    return PYE_OK;
}

/* Words of the other byte order are put right in blocks only. */
static pye_status check_byte_order(pye_finder *f) {
    const pye_scaling *scaling = &f->coding->scaling;
    if (f->coding->is_blocks || !f->model->files[f->codes->shard]->swap)
        return PYE_OK;
    bool is_bytes = scaling->code != PYE_CODE_BITS && pye_number_bytes(scaling->scales) == 1 &&
                    scaling->biases == PYE_NUMBER_NONE && f->coding->factor == NULL;
    char name[PYE_QUOTE_BYTES];
    return is_bytes ? PYE_OK
                    : pye_fail(f->error, PYE_ERROR_TYPE, PYE_NO_OFFSET,
                               "tensor %s: codes with scales cannot be read in this file's byte order",
                               pye_quote(name, f->codes->name));
}

static pye_status check_factor(pye_finder *f) {
    const pye_tensor *factor = f->beside.factor;
    pye_coding *coding = f->coding;
    if (factor == NULL || coding->scaling.code != PYE_CODE_E2M1)
        return PYE_OK;
    pye_number number = pye_number_of(factor);
    if (!pye_is_single(factor) ||
        (number != PYE_NUMBER_F32 && number != PYE_NUMBER_BF16 && number != PYE_NUMBER_F16))
        return pye_finder_fail(f, factor, "is not one F32 number");
    coding->factor = factor;
    coding->scaling.factor_kind = f->beside.factor_kind;
    return PYE_OK;
}

pye_status pye_coding_find(const pye_model *model, const pye_tensor *codes, const pye_coding *first,
                           pye_coding *coding, pye_error *error) {
    memset(coding, 0, sizeof *coding);
    bool is_safetensors = model->format == PYE_FORMAT_SAFETENSORS;
    pye_finder f = {.model = model,
                    .codes = codes,
                    .stem = pye_module_of(codes->name),
                    .first = first,
                    .coding = coding,
                    .bad = pye_model_bad(model),
                    .error = error};
    char name[PYE_QUOTE_BYTES];
    if (codes->n_dims == 0)
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET, "tensor %s is a single number: it has no rows",
                        pye_quote(name, codes->name));
    pye_status status = is_safetensors                     ? find_safetensors(&f)
                        : model->format == PYE_FORMAT_GGUF ? pye_finder_gguf(&f)
                                                           : PYE_OK;
    coding->tensors[PYE_CODES] = codes;
    if (status == PYE_OK && coding->layout[PYE_CODES].stride == 0 && coding->scaling.code == PYE_CODE_BLOCKS)
        status = fill_blocks(&f);
    if (status == PYE_OK)
        status = check_factor(&f);
    if (status == PYE_OK)
        status = check_byte_order(&f);
    coding->n_parts = coding->scaling.biases != PYE_NUMBER_NONE   ? 3
                      : coding->scaling.scales != PYE_NUMBER_NONE ? 2
                                                                  : 1;
    return status;
}
