#include "layout/companions.h"

#include <stdlib.h>
#include <string.h>

#include "base/status.h"
#include "base/text.h"

typedef enum role { SCALES, BIASES, MULTIPLIER, DIVISOR } role;

/* What follows a module's name. */
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
};

/* A part with one of these words in its name belongs to codes, of one of many kinds (bitsandbytes, GPTQ, AWQ, HQQ, EXL, zero
 * points ...): without it rows would come out wrong. */
static const char *const coded_words[] = {
    "scale", "scales",   "scb",     "absmax", "amax",    "packed",    "zero",      "zeros",
    "zp",    "biases",   "qweight", "qzeros", "qscales", "quantized", "quant",     "code",
    "codes", "codebook", "lut",     "gidx",   "idx",     "trellis",   "codebooks",
};

#define N_ENDS (sizeof ends / sizeof ends[0])

/* The module without a name has tensors that are called `weight` and so on. */
static const char *end_of(pye_string stem, const char *end) { return stem.size == 0 ? end + 1 : end; }

pye_string pye_module_of(pye_string tensor) {
    static const char *const weights[] = {".weight", ".weight_packed"};
    for (size_t i = 0; i < 2; i++) {
        if (pye_string_compare(tensor, pye_text(weights[i] + 1)) == 0)
            return (pye_string){tensor.data, 0};
        if (pye_string_ends(tensor, pye_text(weights[i])))
            return (pye_string){tensor.data, tensor.size - strlen(weights[i])};
    }
    return tensor;
}

static pye_status fail_two(const pye_model *model, const pye_tensor *a, const pye_tensor *b, const char *what,
                           pye_error *error) {
    char names[2][PYE_QUOTE_BYTES];
    pye_status status =
        pye_fail(error, pye_model_bad(model), b->offset, "%s and %s are both there: which are the %s?",
                 pye_quote(names[0], a->name), pye_quote(names[1], b->name), what);
    return pye_blame_file(b, status, error);
}

static pye_status add(const pye_model *model, pye_companions *found, role what, const pye_tensor *part,
                      pye_error *error) {
    const pye_tensor **place = what == SCALES ? &found->scales : what == BIASES ? &found->biases : &found->factor;
    if (*place != NULL)
        return fail_two(model, *place, part,
                        what == BIASES   ? "biases"
                        : what == SCALES ? "scales"
                                         : "factor",
                        error);
    *place = part;
    if (what == MULTIPLIER || what == DIVISOR)
        found->factor_kind = what == MULTIPLIER ? PYE_FACTOR_MULTIPLIES : PYE_FACTOR_DIVIDES;
    return PYE_OK;
}

/* ------------------------------------------------------------------------------------- parts unknown */

static bool is_separator(char c) { return c == '.' || c == '_' || c == ':' || c == '-'; }

static bool is_word(pye_string text, const char *word) {
    size_t n = strlen(word);
    if (text.size != n)
        return false;
    for (size_t i = 0; i < n; i++)
        if ((text.data[i] >= 'A' && text.data[i] <= 'Z' ? text.data[i] + ('a' - 'A') : text.data[i]) != word[i])
            return false;
    return true;
}

/* Whether a part's name, without the dot before it, has one of the words. */
static bool has_coded_word(pye_string part) {
    for (size_t first = 0, end; first < part.size; first = end + 1) {
        for (end = first; end < part.size && !is_separator(part.data[end]); end++)
            continue;
        pye_string word = {part.data + first, end - first};
        /* Scales of inputs and outputs do not apply to rows. */
        if (first == 0 && (is_word(word, "input") || is_word(word, "output") || is_word(word, "embed")))
            return false;
        for (size_t i = 0; i < sizeof coded_words / sizeof coded_words[0]; i++)
            if (is_word(word, coded_words[i]))
                return true;
    }
    return false;
}

/* Parts are named after their module directly, or after its weight; what follows a further dot is a module's below. */
static bool is_part(pye_string part) {
    return memchr(part.data, '.', part.size) == NULL || pye_string_starts(part, pye_text("weight."));
}

static bool is_known(pye_string part) {
    for (size_t i = 0; i < N_ENDS; i++)
        if (pye_string_compare(part, pye_text(ends[i].end + 1)) == 0)
            return true;
    return false;
}

/* What a tensor's name has after its module's and the dot, or, where the module has no name or the codes are named as it is, an
 * underscore; empty for a tensor that is not a part of it. */
static pye_string part_of(pye_string name, pye_string stem, const pye_tensor *holder) {
    pye_string end = pye_string_after(name, stem.size);
    if (stem.size == 0)
        return end;
    bool is_part = end.size > 1 && (end.data[0] == '.' || (end.data[0] == '_' && holder->name.size == stem.size));
    return pye_string_after(end, is_part ? 1 : end.size);
}

pye_status pye_companions_refuse_unknown(const pye_model *model, pye_string stem, const pye_tensor *holder,
                                         pye_error *error) {
    for (size_t at = pye_model_seek(model, stem); at < model->n_tensors; at++) {
        const pye_tensor *part = &model->tensors[model->tensors_by_name[at]];
        if (!pye_string_starts(part->name, stem))
            break;
        pye_string name = part_of(part->name, stem, holder);
        bool is_underscored = stem.size > 0 && name.size > 0 && part->name.data[stem.size] == '_';
        if (part == holder || name.size == 0 || (is_known(name) && !is_underscored))
            continue;
        char names[2][PYE_QUOTE_BYTES];
        if (is_part(name) && has_coded_word(name))
            return pye_fail(error, PYE_ERROR_TYPE, PYE_NO_OFFSET,
                            "tensor %s is stored as codes of a kind that cannot be decoded: %s belongs to them",
                            pye_quote(names[0], holder->name), pye_quote(names[1], part->name));
    }
    return PYE_OK;
}

pye_status pye_companions_find(const pye_model *model, pye_string stem, const pye_tensor *holder,
                               pye_companions *found, pye_error *error) {
    memset(found, 0, sizeof *found);
    pye_status status = PYE_OK;
    for (size_t i = 0; i < N_ENDS && status == PYE_OK; i++) {
        const pye_tensor *part = pye_model_tensor(model, stem, end_of(stem, ends[i].end));
        if (part != NULL && part != holder)
            status = add(model, found, ends[i].role, part, error);
    }
    return status;
}

static bool is_of_type(const pye_tensor *tensor, const pye_tensor *like) {
    return tensor->type == like->type && pye_string_compare(tensor->type_name, like->type_name) == 0;
}

/* How long the name of what a tensor lies in is: all before the last dot. */
static size_t parent_bytes(pye_string name) {
    size_t n = name.size;
    while (n > 0 && name.data[n - 1] != '.')
        n--;
    return n > 0 ? n - 1 : 0;
}

/* The end of a name that begins with its parent's and a dot or an underscore, empty for any other name. */
static pye_string inside(pye_string name, pye_string parent) {
    if (parent.size == 0)
        return memchr(name.data, '.', name.size) == NULL ? name : pye_string_after(name, name.size);
    bool is_inside = name.size > parent.size + 1 && pye_string_starts(name, parent) &&
                     (name.data[parent.size] == '.' || name.data[parent.size] == '_');
    return pye_string_after(name, is_inside ? parent.size + 1 : name.size);
}

bool pye_is_weight(pye_string leaf) {
    return pye_string_starts(leaf, pye_text("weight")) || pye_string_compare(leaf, pye_text("qweight")) == 0 ||
           pye_string_starts(leaf, pye_text("original"));
}

pye_status pye_companions_refuse_stray(const pye_model *model, const pye_tensor *codes, pye_error *error) {
    pye_string parent = {codes->name.data, parent_bytes(codes->name)};
    bool is_deep = parent.size > 0 && pye_is_weight(pye_string_after(codes->name, parent.size + 1));
    for (size_t i = 0; i < model->n_tensors; i++) {
        const pye_tensor *part = &model->tensors[i];
        pye_string name = inside(part->name, parent);
        bool is_near = name.size > 0 && (is_deep || memchr(name.data, '.', name.size) == NULL);
        if (part == codes || is_of_type(part, codes) || !(is_near ? has_coded_word(name) : is_known(part->name)))
            continue;
        char names[2][PYE_QUOTE_BYTES];
        return pye_fail(
            error, PYE_ERROR_TYPE, PYE_NO_OFFSET,
            "tensor %s holds codes, and nothing says whether %s belongs to them: scales are read where they "
            "are called weight_scale, scale or scales beside a weight",
            pye_quote(names[0], codes->name), pye_quote(names[1], part->name));
    }
    return PYE_OK;
}

/* A name that ends in -00001-of-00002.safetensors, of a file that was opened alone. */
static bool is_one_of_many(const pye_model *model) {
    const char *name = model->n_files == 1 ? pye_file_name(model->files[0]->facts.path) : "";
    const char *of = strstr(name, "-of-");
    return of != NULL && of > name && of[-1] >= '0' && of[-1] <= '9' && of[4] >= '0' && of[4] <= '9' &&
           strtoull(of + 4, NULL, 10) > 1;
}

pye_status pye_companions_refuse_one_of_many(const pye_model *model, const pye_tensor *codes, pye_error *error) {
    char name[PYE_QUOTE_BYTES];
    if (!is_one_of_many(model))
        return PYE_OK;
    return pye_fail(
        error, PYE_ERROR_TYPE, PYE_NO_OFFSET,
        "tensor %s holds codes, and its scale may lie in another file of the set: open the folder or its "
        "index instead of one file",
        pye_quote(name, codes->name));
}

/* The tensor of the type of `codes` whose scales `part` is, by their names. */
static const pye_tensor *scaled_by(const pye_model *model, const pye_tensor *part, const pye_tensor *codes) {
    static const char *const weights[] = {"", ".weight", ".weight_packed"};
    for (size_t i = 0; i < N_ENDS; i++) {
        bool is_bare = pye_string_compare(part->name, pye_text(ends[i].end + 1)) == 0;
        if (ends[i].role != SCALES || (!is_bare && !pye_string_ends(part->name, pye_text(ends[i].end))))
            continue;
        pye_string stem = {part->name.data, is_bare ? 0 : part->name.size - strlen(ends[i].end)};
        for (size_t k = 0; k < sizeof weights / sizeof weights[0]; k++) {
            const pye_tensor *other = pye_model_tensor(model, stem, k > 0 ? end_of(stem, weights[k]) : "");
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
