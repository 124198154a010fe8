/* Opening GGUF models: one file, or the shards of a split set, which have to agree with each other. */
#include <inttypes.h>
#include <stdio.h>

#include "base/text.h"
#include "format/gguf_file.h"
#include "format/gguf_metadata.h"
#include "format/parsers.h"

typedef struct split_facts {
    int64_t number; /* -1 where absent */
    int64_t count;
    int64_t n_tensors;
} split_facts;

/* A whole number of any integer type; -1 where the key is absent. */
static pye_status read_whole(const pye_reader *reader, const pye_metadata *metadata, const char *key,
                             int64_t *number) {
    pye_value value;
    *number = -1;
    pye_status status =
        pye_metadata_lookup(reader->file, reader->shard, metadata, pye_text(key), &value, reader->cursor.error);
    if (status == PYE_ERROR_NOT_FOUND)
        return PYE_OK;
    if (status != PYE_OK)
        return status;
    bool is_signed = value.type == PYE_VALUE_I8 || value.type == PYE_VALUE_I16 || value.type == PYE_VALUE_I32 ||
                     value.type == PYE_VALUE_I64;
    bool is_whole = is_signed || value.type == PYE_VALUE_U8 || value.type == PYE_VALUE_U16 ||
                    value.type == PYE_VALUE_U32 || value.type == PYE_VALUE_U64;
    if (!is_whole || (is_signed ? value.as.i64 < 0 : value.as.u64 > INT64_MAX))
        return pye_reader_fail(reader, value.offset, "%s is not a whole number", key);
    *number = is_signed ? value.as.i64 : (int64_t)value.as.u64;
    return PYE_OK;
}

static pye_status read_split(const pye_reader *reader, const pye_metadata *metadata, split_facts *split) {
    pye_status status = read_whole(reader, metadata, "split.no", &split->number);
    if (status == PYE_OK)
        status = read_whole(reader, metadata, "split.count", &split->count);
    if (status == PYE_OK)
        status = read_whole(reader, metadata, "split.tensors.count", &split->n_tensors);
    return status;
}

/* Keys that a shard may repeat and that must then agree with the first. */
static const char *const shared_keys[] = {"general.architecture", "general.name", "general.uuid"};

static pye_status check_same_model(pye_model *model, const pye_reader *reader, const pye_metadata *metadata) {
    for (size_t i = 0; i < sizeof shared_keys / sizeof shared_keys[0]; i++) {
        pye_value first;
        pye_value later;
        pye_string key = pye_text(shared_keys[i]);
        if (pye_metadata_lookup(model->files[0], 0, &model->metadata, key, &first, NULL) != PYE_OK ||
            pye_metadata_lookup(reader->file, reader->shard, metadata, key, &later, NULL) != PYE_OK)
            continue;
        if (first.type != later.type || first.type != PYE_VALUE_STRING ||
            pye_string_compare(first.as.string, later.as.string) != 0)
            return pye_reader_fail(reader, later.offset,
                                   "the shard is of another model: its %s differs from the first's",
                                   shared_keys[i]);
    }
    return PYE_OK;
}

static pye_status check_shard(pye_model *model, const pye_reader *reader, const pye_metadata *metadata,
                              const split_facts *set) {
    split_facts split;
    pye_status status = read_split(reader, metadata, &split);
    if (status != PYE_OK)
        return status;
    if (split.number != (int64_t)reader->shard)
        return pye_reader_fail(reader, 0,
                               "split.no is %" PRId64 " in the shard that should be number %" PRIu32 " (from 0)",
                               split.number, reader->shard);
    if (split.count != set->count)
        return pye_reader_fail(
            reader, 0, "the shard is of another set: split.count is %" PRId64 ", in the first shard %" PRId64,
            split.count, set->count);
    if (split.n_tensors != set->n_tensors)
        return pye_reader_fail(reader, 0,
                               "the shard is of another set: split.tensors.count is %" PRId64
                               ", in the first shard %" PRId64,
                               split.n_tensors, set->n_tensors);
    return check_same_model(model, reader, metadata);
}

#define SUFFIX_BYTES 64

static void shard_suffix(char suffix[SUFFIX_BYTES], int64_t number, int64_t count) {
    (void)snprintf(suffix, SUFFIX_BYTES, "-%05" PRId64 "-of-%05" PRId64 ".gguf", number + 1, count);
}

static pye_status open_shard(pye_model *model, const char *path, pye_load_mode mode, const split_facts *set,
                             pye_error *error) {
    pye_metadata metadata = {0};
    pye_reader reader;
    pye_status status = pye_gguf_file_open(model, path, mode, &metadata, &reader, error);
    if (status == PYE_OK)
        status = check_shard(model, &reader, &metadata, set);
    pye_metadata_free(&metadata);
    return status;
}

/* The caller knows the first file's path only. */
static void name_shard(pye_error *error, const char *path, int64_t number, int64_t count) {
    char quoted[PYE_QUOTE_BYTES];
    char cause[PYE_ERROR_MESSAGE_BYTES];
    (void)snprintf(cause, sizeof cause, "%s", error->message);
    (void)snprintf(error->message, sizeof error->message, "shard %" PRId64 " of %" PRId64 ", %s: %.340s",
                   number + 1, count, pye_quote(quoted, pye_text(pye_file_name(path))), cause);
}

static pye_status open_other_shards(pye_model *model, const char *path, pye_load_mode mode, const split_facts *set,
                                    pye_error *error) {
    char suffix[SUFFIX_BYTES];
    shard_suffix(suffix, 0, set->count);
    size_t prefix = strlen(path) - strlen(suffix);
    char *name = pye_allocate(&model->allocator, strlen(path) + SUFFIX_BYTES);
    if (name == NULL)
        return pye_fail_memory(error, strlen(path) + SUFFIX_BYTES);
    memcpy(name, path, prefix);
    pye_status status = PYE_OK;
    for (int64_t i = 1; i < set->count && status == PYE_OK; i++) {
        shard_suffix(suffix, i, set->count);
        memcpy(name + prefix, suffix, strlen(suffix) + 1);
        status = open_shard(model, name, mode, set, error);
        if (status != PYE_OK && error != NULL && error->shard == (uint32_t)i)
            name_shard(error, name, i, set->count);
    }
    pye_release(name);
    return status;
}

static pye_status check_total(const pye_model *model, const pye_reader *first, const split_facts *set) {
    if (set->n_tensors < 0 || (uint64_t)set->n_tensors != model->n_tensors)
        return pye_reader_fail(first, 0, "the set has %zu tensors, and split.tensors.count says %" PRId64,
                               model->n_tensors, set->n_tensors);
    return PYE_OK;
}

static pye_status open_set(pye_model *model, const char *path, pye_load_mode mode, const pye_reader *first,
                           pye_error *error) {
    split_facts set;
    pye_status status = read_split(first, &model->metadata, &set);
    if (status != PYE_OK || set.count <= 1)
        return status;
    if (set.number < 0)
        return pye_reader_fail(first, 0, "split.count is %" PRId64 " and split.no is missing", set.count);
    if (set.number != 0)
        return pye_reader_fail(first, 0,
                               "this is shard %" PRId64 " of %" PRId64
                               ": open the first one, *-00001-of-%05" PRId64 ".gguf",
                               set.number + 1, set.count, set.count);
    char suffix[SUFFIX_BYTES];
    shard_suffix(suffix, 0, set.count);
    if (!pye_ends_with(path, suffix))
        return pye_reader_fail(
            first, 0,
            "a set of %" PRId64
            " files whose first name does not end in %s: the others cannot be found; give all of them",
            set.count, suffix);
    status = open_other_shards(model, path, mode, &set, error);
    return status == PYE_OK ? check_total(model, first, &set) : status;
}

/* The same for files whose names were given, so that only what they say of themselves tells their places. */
static pye_status open_listed(pye_model *model, const pye_open_options *options, const pye_reader *first,
                              pye_error *error) {
    split_facts set;
    pye_status status = read_split(first, &model->metadata, &set);
    if (status != PYE_OK)
        return status;
    int64_t count = set.count > 1 ? set.count : 1;
    if ((uint64_t)count != options->n_paths)
        return pye_reader_fail(first, 0,
                               "the file is of a set of %" PRId64 ", and %zu are given: list all of them", count,
                               options->n_paths);
    if (count > 1 && set.number != 0)
        return pye_reader_fail(first, 0,
                               "split.no is %" PRId64 " in the first of the files given: list them by split.no, "
                               "from 0, each once",
                               set.number);
    for (int64_t i = 1; i < count && status == PYE_OK; i++) {
        const char *path = options->paths[i];
        status = open_shard(model, path, options->load_mode, &set, error);
        if (status != PYE_OK && error != NULL && error->shard == (uint32_t)i)
            name_shard(error, path, i, count);
    }
    return status == PYE_OK && count > 1 ? check_total(model, first, &set) : status;
}

pye_status pye_gguf_open(pye_model *model, const char *path, const pye_open_options *options, pye_error *error) {
    pye_reader first;
    bool is_listed = options->paths != NULL;
    pye_status status = pye_gguf_file_open(model, is_listed ? options->paths[0] : path, options->load_mode,
                                           &model->metadata, &first, error);
    if (status == PYE_OK)
        status = is_listed ? open_listed(model, options, &first, error)
                           : open_set(model, path, options->load_mode, &first, error);
    return status == PYE_OK ? pye_model_sort_tensors(model, PYE_ERROR_GGUF, error) : status;
}
