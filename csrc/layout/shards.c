#include "layout/shards.h"

#include <inttypes.h>
#include <string.h>

#include "base/status.h"
#include "base/text.h"

#define MAX_DIGITS 18

/* The parts of a name after its base and a dot. */
typedef struct shard_name {
    uint64_t number;
    bool is_numbered_module; /* shards.N rather than shard_N */
    size_t stem_bytes;       /* of the text up to the number's end */
    pye_string leaf;         /* the last component */
} shard_name;

static bool take_number(pye_string text, size_t *at, uint64_t *number) {
    size_t first = *at;
    *number = 0;
    for (; *at < text.size && text.data[*at] >= '0' && text.data[*at] <= '9'; ++*at) {
        if (*at - first == MAX_DIGITS)
            return false;
        *number = *number * 10 + (uint64_t)(text.data[*at] - '0');
    }
    return *at > first;
}

/* `text` is shard_N.LEAF or shards.N.LEAF. */
static bool parse(pye_string text, shard_name *name) {
    static const char *const starts[] = {"shard_", "shards."};
    for (size_t i = 0; i < 2; i++) {
        if (!pye_string_starts(text, pye_text(starts[i])))
            continue;
        size_t at = strlen(starts[i]);
        if (!take_number(text, &at, &name->number) || at + 1 >= text.size || text.data[at] != '.')
            return false;
        name->is_numbered_module = i == 1;
        name->stem_bytes = at;
        name->leaf = pye_string_after(text, at + 1);
        return true;
    }
    return false;
}

bool pye_shard_split(pye_string name, pye_string *base, pye_string *stem) {
    for (size_t dot = name.size; dot-- > 1;) {
        shard_name shard;
        if (name.data[dot] != '.' || !parse(pye_string_after(name, dot + 1), &shard) ||
            memchr(shard.leaf.data, '.', shard.leaf.size) != NULL)
            continue;
        *base = (pye_string){name.data, dot};
        *stem = (pye_string){name.data, dot + 1 + shard.stem_bytes};
        return true;
    }
    return false;
}

static bool holds_codes(pye_string leaf) {
    return pye_string_compare(leaf, pye_text("weight")) == 0 ||
           pye_string_compare(leaf, pye_text("weight_packed")) == 0;
}

bool pye_shard_is_first(pye_string name, pye_string stem) {
    size_t at = stem.size;
    while (at > 0 && stem.data[at - 1] == '0')
        at--;
    bool is_zero = at < stem.size && (stem.data[at - 1] == '_' || stem.data[at - 1] == '.');
    return is_zero && holds_codes(pye_string_after(name, stem.size + 1));
}

/* The next tensor, from place *at on, that holds the codes of a shard; NULL at the end. */
static const pye_tensor *next_shard(const pye_model *model, pye_string base, size_t *at, shard_name *name) {
    while (*at < model->n_tensors) {
        const pye_tensor *tensor = &model->tensors[model->tensors_by_name[(*at)++]];
        if (!pye_string_starts(tensor->name, base))
            return NULL;
        if (tensor->name.size > base.size + 1 && tensor->name.data[base.size] == '.' &&
            parse(pye_string_after(tensor->name, base.size + 1), name) && holds_codes(name->leaf))
            return tensor;
    }
    return NULL;
}

static pye_status fail_number(const pye_model *model, const pye_tensor *tensor, const pye_tensor *other,
                              pye_string base, pye_error *error) {
    char name[PYE_QUOTE_BYTES], names[2][PYE_QUOTE_BYTES];
    pye_status status =
        pye_fail(error, pye_model_bad(model), tensor->offset, "table %s: %s and %s are shards of the same number",
                 pye_quote(name, base), pye_quote(names[0], other->name), pye_quote(names[1], tensor->name));
    return pye_blame_file(tensor, status, error);
}

/* Whether a name is that of a shard but for its number: a sign, too many digits, anything. */
static bool is_misnumbered(pye_string name, pye_string base) {
    static const char *const starts[] = {"shard_", "shards."};
    shard_name parts;
    if (name.size <= base.size + 1 || name.data[base.size] != '.')
        return false;
    pye_string text = pye_string_after(name, base.size + 1);
    bool is_shard = pye_string_starts(text, pye_text(starts[0])) || pye_string_starts(text, pye_text(starts[1]));
    bool is_codes =
        pye_string_ends(text, pye_text(".weight")) || pye_string_ends(text, pye_text(".weight_packed"));
    bool is_whole = parse(text, &parts) && !(parts.leaf.data[0] >= '0' && parts.leaf.data[0] <= '9');
    return is_shard && is_codes && !is_whole;
}

/* A shard whose number cannot be read would be missing from the table. */
static pye_status check_numbers(const pye_model *model, pye_string base, size_t first, pye_error *error) {
    for (size_t at = first; at < model->n_tensors; at++) {
        const pye_tensor *tensor = &model->tensors[model->tensors_by_name[at]];
        if (!pye_string_starts(tensor->name, base))
            return PYE_OK;
        if (!is_misnumbered(tensor->name, base))
            continue;
        char name[PYE_QUOTE_BYTES], quoted[PYE_QUOTE_BYTES];
        pye_status status =
            pye_fail(error, pye_model_bad(model), tensor->offset,
                     "table %s: %s is named as a shard, but its number is not one of 1 to %d digits",
                     pye_quote(name, base), pye_quote(quoted, tensor->name), MAX_DIGITS);
        return pye_blame_file(tensor, status, error);
    }
    return PYE_OK;
}

/* Puts the shards where their numbers say. */
static pye_status sort_shards(const pye_model *model, pye_string base, size_t first, const pye_tensor **shards,
                              size_t n, pye_error *error) {
    shard_name name = {0}, first_name = {0};
    uint64_t highest = 0;
    char quoted[PYE_QUOTE_BYTES], other[PYE_QUOTE_BYTES];
    size_t at = first;
    (void)next_shard(model, base, &at, &first_name);
    at = first;
    for (const pye_tensor *tensor; (tensor = next_shard(model, base, &at, &name)) != NULL;) {
        if (name.is_numbered_module != first_name.is_numbered_module) {
            pye_status status = pye_fail(error, pye_model_bad(model), tensor->offset,
                                         "table %s: its shards are named in two ways; %s is one of them",
                                         pye_quote(quoted, base), pye_quote(other, tensor->name));
            return pye_blame_file(tensor, status, error);
        }
        highest = name.number > highest ? name.number : highest;
        if (name.number >= n)
            continue;
        if (shards[name.number] != NULL)
            return fail_number(model, tensor, shards[name.number], base, error);
        shards[name.number] = tensor;
    }
    for (size_t i = 0; i < n; i++)
        if (shards[i] == NULL)
            return pye_fail(error, pye_model_bad(model), PYE_NO_OFFSET,
                            "table %s: shard %zu is missing; the highest that is there is %" PRIu64
                            ", and of all %zu are",
                            pye_quote(quoted, base), i, highest, n);
    return PYE_OK;
}

static bool is_same_type(const pye_tensor *a, const pye_tensor *b) {
    return a->type == b->type && pye_string_compare(a->type_name, b->type_name) == 0;
}

static pye_status check_shapes(const pye_model *model, pye_string base, const pye_tensor *const *shards, size_t n,
                               pye_error *error) {
    const pye_tensor *first = shards[0];
    char name[PYE_QUOTE_BYTES], quoted[PYE_QUOTE_BYTES], types[2][PYE_QUOTE_BYTES];
    for (size_t i = 0; i < n; i++) {
        const pye_tensor *shard = shards[i];
        pye_status status = PYE_OK;
        if (shard->n_dims != 2)
            status = pye_fail(error, pye_model_bad(model), shard->offset,
                              "table %s: the shard %s has %" PRIu32 " dimensions instead of 2",
                              pye_quote(quoted, base), pye_quote(name, shard->name), shard->n_dims);
        else if (!is_same_type(first, shard))
            status = pye_fail(error, pye_model_bad(model), shard->offset,
                              "table %s: the shard %s is of type %s, the first of %s", pye_quote(quoted, base),
                              pye_quote(name, shard->name), pye_quote(types[0], shard->type_name),
                              pye_quote(types[1], first->type_name));
        else if (shard->shape[1] != first->shape[1])
            status =
                pye_fail(error, pye_model_bad(model), shard->offset,
                         "table %s: the shard %s is %" PRIu64 " wide, the first %" PRIu64, pye_quote(quoted, base),
                         pye_quote(name, shard->name), shard->shape[1], first->shape[1]);
        else if (i + 1 < n ? shard->shape[0] != first->shape[0] : shard->shape[0] > first->shape[0])
            status =
                pye_fail(error, pye_model_bad(model), shard->offset,
                         "table %s: the shard %s has %" PRIu64 " rows, the first %" PRIu64
                         ": all but the last must have as many, and the last no more",
                         pye_quote(quoted, base), pye_quote(name, shard->name), shard->shape[0], first->shape[0]);
        if (status != PYE_OK)
            return pye_blame_file(shard, status, error);
    }
    return PYE_OK;
}

pye_status pye_shards_find(const pye_model *model, pye_string base, const pye_tensor ***shards, size_t *n,
                           pye_error *error) {
    *shards = NULL;
    *n = 0;
    if (base.size == 0 || model->n_tensors == 0)
        return PYE_OK;
    size_t first = pye_model_seek(model, base);
    shard_name name;
    size_t count = 0;
    for (size_t at = first; next_shard(model, base, &at, &name) != NULL;)
        count++;
    if (count == 0)
        return PYE_OK;
    const pye_tensor **found = pye_allocate_zeros(&model->allocator, count * sizeof *found);
    if (found == NULL)
        return pye_fail_memory(error, count * sizeof *found);
    pye_status status = check_numbers(model, base, first, error);
    if (status == PYE_OK)
        status = sort_shards(model, base, first, found, count, error);
    if (status == PYE_OK)
        status = check_shapes(model, base, found, count, error);
    if (status != PYE_OK) {
        pye_release(found);
        return status;
    }
    *shards = found;
    *n = count;
    return PYE_OK;
}
