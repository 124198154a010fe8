#include "layout/lookalikes.h"

#include <string.h>

#include "base/status.h"
#include "base/text.h"
#include "format/shape.h"
#include "layout/companions.h"
#include "layout/finder.h"

static bool is_separator(char c) { return c == '_' || c == ':' || c == '-'; }

/* The last part of a name, between `separates` and the end. */
static pye_string last_word(pye_string name) {
    size_t at = name.size;
    while (at > 0 && !is_separator(name.data[at - 1]) && name.data[at - 1] != '.')
        at--;
    return pye_string_after(name, at);
}

/* Whether a name says that the tensor is about something else, or about what goes into a module or comes out of it. */
static bool is_about_others(pye_string name) {
    static const char *const firsts[] = {"input", "output", "embed", "lora", "cluster"};
    static const char *const lasts[] = {"bias",      "norm",        "norms",  "temperature", "gate",
                                        "eps",       "epsilon",     "count",  "counts",      "mask",
                                        "weights",   "idf",         "label",  "labels",      "scores",
                                        "frequency", "frequencies", "inited", "loss",        "epoch"};
    pye_string last = last_word(name);
    for (size_t i = 0; i < sizeof lasts / sizeof lasts[0]; i++)
        if (pye_string_compare(last, pye_text(lasts[i])) == 0)
            return true;
    for (size_t i = 0; i < sizeof firsts / sizeof firsts[0]; i++) {
        size_t n = strlen(firsts[i]);
        if (pye_string_starts(name, pye_text(firsts[i])) && (name.size == n || is_separator(name.data[n])))
            return true;
    }
    return false;
}

bool pye_may_be_codes(const pye_tensor *tensor) {
    return !pye_is_dtype(tensor, "I64") && !pye_is_dtype(tensor, "U64") && !pye_is_dtype(tensor, "BOOL") &&
           pye_string_compare(last_word(tensor->name), pye_text("ids")) != 0;
}

static bool holds_numbers(const pye_tensor *tensor) {
    return pye_number_of(tensor) != PYE_NUMBER_NONE || pye_is_dtype(tensor, "U8");
}

/* Whether there is a number for every square block of codes. */
static bool is_of_tiles(const pye_tensor *part, const pye_tensor *codes) {
    for (uint64_t side = 16; side <= 256 && part->n_dims == 2; side *= 2)
        if (part->shape[0] == codes->shape[0] / side + (codes->shape[0] % side != 0) &&
            part->shape[1] == codes->shape[1] / side + (codes->shape[1] % side != 0))
            return true;
    return false;
}

/* Whether there is a number for every row of codes, or for every group of as many columns of a row. Behind a table's
 * first shard there are more rows. */
static bool is_of_rows(const pye_tensor *part, const pye_tensor *codes, bool is_first_of_many) {
    uint64_t n_rows = part->n_dims > 0 ? part->shape[0] : 0, n_groups;
    bool is_as_long = n_rows == codes->shape[0] || (is_first_of_many && n_rows > codes->shape[0]);
    return n_rows > 0 && is_as_long && pye_shape_size(part, 1, &n_groups) && n_groups > 0 &&
           n_groups % n_rows == 0 && n_groups / n_rows < codes->shape[1] &&
           codes->shape[1] % (n_groups / n_rows) == 0;
}

/* --------------------------------------------------------------------------------------------- places */

/* How long the name of what a tensor lies in is, with the dot behind it. */
static size_t parent_bytes(pye_string name) {
    size_t n = name.size;
    while (n > 0 && name.data[n - 1] != '.')
        n--;
    return n;
}

/* Whether a name belongs to that of codes in the same module: it goes on where theirs ends, or has another last word. Single
 * words belong together in a module, and not beside each other in a file. */
static bool is_of_stem(pye_string name, pye_string codes, bool is_in_module) {
    pye_string stem = {codes.data, codes.size - last_word(codes).size};
    if (name.size > codes.size && pye_string_starts(name, codes) && is_separator(name.data[codes.size]))
        return true;
    return stem.size > 0 ? pye_string_starts(name, stem) : is_in_module && last_word(name).size == name.size;
}

/* What a name, which begins as the module's does, says of a tensor that lies near codes; empty for one that lies elsewhere. */
static pye_string near(pye_string name, pye_string codes) {
    pye_string leaf = pye_string_after(codes, parent_bytes(codes)), none = pye_string_after(name, name.size);
    size_t n = codes.size - leaf.size;
    bool is_weight = n > 0 && pye_is_weight(leaf);
    if (name.size <= n || (n > 0 && name.data[n - 1] != '.' && !(is_weight && is_separator(name.data[n - 1]))))
        return none;
    pye_string rest = pye_string_after(name, n);
    bool is_direct = memchr(rest.data, '.', rest.size) == NULL;
    bool is_inside = is_weight && (is_direct || name.data[n - 1] == '.');
    return is_inside || (is_direct && is_of_stem(rest, leaf, n > 0)) ? rest : none;
}

static pye_status fail(const pye_tensor *codes, const pye_tensor *part, pye_error *error) {
    char names[2][PYE_QUOTE_BYTES];
    return pye_fail(error, PYE_ERROR_TYPE, PYE_NO_OFFSET,
                    "tensor %s holds codes, and %s beside it has the shape of their scales: scales are read where "
                    "they are called weight_scale, scale or scales beside a weight",
                    pye_quote(names[0], codes->name), pye_quote(names[1], part->name));
}

/* Whether a part has the shape of scales for all codes, for rows, for groups of columns or for square blocks. */
static bool has_shape_of_scales(const pye_tensor *part, const pye_tensor *codes) {
    return pye_is_single(part) || is_of_rows(part, codes, false) || is_of_tiles(part, codes);
}

/* Scales in a module of their own, such as e.s.weight for e.q.weight. There only such a name is evidence: what else lies
 * beside the module is another one's, a norm for example. */
static const pye_tensor *find_module_of_scales(const pye_model *model, const pye_tensor *codes) {
    static const char *const weights[] = {"s.weight", "scale.weight", "scales.weight", "absmax.weight",
                                          "amax.weight"};
    if (!pye_string_ends(codes->name, pye_text(".weight")))
        return NULL;
    pye_string module = {codes->name.data, codes->name.size - strlen(".weight")};
    pye_string stem = {module.data, module.size - last_word(module).size};
    for (size_t i = 0; i < sizeof weights / sizeof weights[0]; i++) {
        const pye_tensor *part = pye_model_tensor(model, stem, weights[i]);
        if (part != NULL && part != codes && holds_numbers(part) && has_shape_of_scales(part, codes))
            return part;
    }
    return NULL;
}

static bool is_lookalike(const pye_tensor *part, const pye_tensor *codes) {
    pye_string name = near(part->name, codes->name);
    if (part == codes || name.size == 0 || is_about_others(name) || !holds_numbers(part))
        return false;
    bool is_parametrised =
        pye_string_starts(pye_string_after(codes->name, parent_bytes(codes->name)), pye_text("original"));
    bool is_direct = is_parametrised || memchr(name.data, '.', name.size) == NULL;
    return has_shape_of_scales(part, codes) && (is_direct || !pye_is_single(part));
}

/* What lies directly in the table whose first shard codes are. */
static bool is_lookalike_of_table(const pye_tensor *part, const pye_tensor *codes, pye_string base) {
    bool is_inside = part->name.size > base.size + 1 && part->name.data[base.size] == '.';
    pye_string name = pye_string_after(part->name, is_inside ? base.size + 1 : part->name.size);
    return name.size > 0 && memchr(name.data, '.', name.size) == NULL && !is_about_others(name) &&
           holds_numbers(part) && (pye_is_single(part) || is_of_rows(part, codes, true));
}

pye_status pye_lookalikes_refuse(const pye_model *model, const pye_tensor *codes, pye_string base,
                                 pye_error *error) {
    size_t n = parent_bytes(codes->name);
    pye_string start = {codes->name.data, n > 0 ? n - 1 : 0};
    if (codes->n_dims != 2)
        return PYE_OK;
    const pye_tensor *apart = find_module_of_scales(model, codes);
    if (apart != NULL)
        return fail(codes, apart, error);
    for (size_t at = pye_model_seek(model, start); at < model->n_tensors; at++) {
        const pye_tensor *part = &model->tensors[model->tensors_by_name[at]];
        if (!pye_string_starts(part->name, start))
            break;
        if (is_lookalike(part, codes))
            return fail(codes, part, error);
    }
    for (size_t at = pye_model_seek(model, base); base.size > 0 && at < model->n_tensors; at++) {
        const pye_tensor *part = &model->tensors[model->tensors_by_name[at]];
        if (!pye_string_starts(part->name, base))
            break;
        if (is_lookalike_of_table(part, codes, base))
            return fail(codes, part, error);
    }
    return PYE_OK;
}
