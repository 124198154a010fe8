#include "table/companions.h"

#include <string.h>

#include "base/status.h"
#include "base/text.h"

typedef enum role { SCALES, BIASES, MULTIPLIER, DIVISOR, UNKNOWN_PART } role;

/* What follows a module's name. Those of the last kind belong to codes of bitsandbytes, GPTQ, AWQ, HQQ, EXL and of
 * compressed-tensors with zero points: without them rows would come out wrong. */
static const struct {
    const char *end;
    role role;
} ends[] = {
    {".weight_scale", SCALES},
    {".weight_scale_inv", SCALES},
    {".scale_weight", SCALES},
    {".scales", SCALES},
    {".scale", SCALES},
    {".biases", BIASES},
    {".weight_scale_2", MULTIPLIER},
    {".weight_global_scale", DIVISOR},
    {".weight_zero_point", UNKNOWN_PART},
    {".zero_point", UNKNOWN_PART},
    {".zeros", UNKNOWN_PART},
    {".qweight", UNKNOWN_PART},
    {".qzeros", UNKNOWN_PART},
    {".g_idx", UNKNOWN_PART},
    {".weight_g_idx", UNKNOWN_PART},
    {".SCB", UNKNOWN_PART},
    {".weight.absmax", UNKNOWN_PART},
    {".weight.quant_map", UNKNOWN_PART},
    {".absmax", UNKNOWN_PART},
    {".trellis", UNKNOWN_PART},
    {".codes", UNKNOWN_PART},
    {".codebooks", UNKNOWN_PART},
};

#define N_ENDS (sizeof ends / sizeof ends[0])

pye_string pye_module_of(pye_string tensor) {
    static const char *const weights[] = {".weight", ".weight_packed"};
    for (size_t i = 0; i < 2; i++)
        if (pye_string_ends(tensor, pye_text(weights[i])))
            return (pye_string){tensor.data, tensor.size - strlen(weights[i])};
    return tensor;
}

static pye_status fail_two(const pye_tensor *a, const pye_tensor *b, const char *what, pye_error *error) {
    char names[2][PYE_QUOTE_BYTES];
    pye_status status =
        pye_fail(error, PYE_ERROR_SAFETENSORS, b->offset, "%s and %s are both there: which are the %s?",
                 pye_quote(names[0], a->name), pye_quote(names[1], b->name), what);
    return pye_blame_file(b, status, error);
}

static pye_status add(pye_companions *found, role role, const pye_tensor *holder, const pye_tensor *part,
                      pye_error *error) {
    char names[2][PYE_QUOTE_BYTES];
    const pye_tensor **place = role == SCALES ? &found->scales : role == BIASES ? &found->biases : &found->factor;
    if (role == UNKNOWN_PART)
        return pye_fail(error, PYE_ERROR_TYPE, PYE_NO_OFFSET,
                        "tensor %s is stored as codes of a kind that cannot be decoded: %s belongs to them",
                        pye_quote(names[0], holder->name), pye_quote(names[1], part->name));
    if (*place != NULL)
        return fail_two(*place, part, role == BIASES ? "biases" : role == SCALES ? "scales" : "factor", error);
    *place = part;
    if (role == MULTIPLIER || role == DIVISOR)
        found->factor_kind = role == MULTIPLIER ? PYE_FACTOR_MULTIPLIES : PYE_FACTOR_DIVIDES;
    return PYE_OK;
}

pye_status pye_companions_find(const pye_model *model, pye_string stem, const pye_tensor *holder,
                               pye_companions *found, pye_error *error) {
    memset(found, 0, sizeof *found);
    pye_status status = PYE_OK;
    for (size_t i = 0; i < N_ENDS && status == PYE_OK; i++) {
        const pye_tensor *part = pye_model_tensor(model, stem, ends[i].end);
        if (part != NULL && part != holder)
            status = add(found, ends[i].role, holder, part, error);
    }
    return status;
}

static bool is_of_type(const pye_tensor *tensor, const pye_tensor *like) {
    return tensor->type == like->type && pye_string_compare(tensor->type_name, like->type_name) == 0;
}

/* The tensor of the type of `codes` whose scales `part` is, by their names. */
static const pye_tensor *scaled_by(const pye_model *model, const pye_tensor *part, const pye_tensor *codes) {
    static const char *const weights[] = {"", ".weight", ".weight_packed"};
    for (size_t i = 0; i < N_ENDS; i++) {
        if (ends[i].role != SCALES || !pye_string_ends(part->name, pye_text(ends[i].end)))
            continue;
        pye_string stem = {part->name.data, part->name.size - strlen(ends[i].end)};
        for (size_t k = 0; k < sizeof weights / sizeof weights[0]; k++) {
            const pye_tensor *other = pye_model_tensor(model, stem, weights[k]);
            if (other != NULL && other != codes && is_of_type(other, codes))
                return other;
        }
    }
    return NULL;
}

const pye_tensor *pye_companions_elsewhere(const pye_model *model, const pye_tensor *codes) {
    for (size_t i = 0; i < model->n_tensors; i++) {
        const pye_tensor *found = scaled_by(model, &model->tensors[i], codes);
        if (found != NULL)
            return found;
    }
    return NULL;
}
