/* Metadata of an open GGUF file is parsed from the file's bytes on every access.
 *
 * Everything was checked when the file was opened. It is checked again here, because a mapped file may have been
 * overwritten since: the answer is then an error or other bytes of the same file, never a read outside it. */
#include "format/gguf_metadata.h"

#include <inttypes.h>

#include "base/text.h"
#include "format/gguf_reader.h"

/* Where a page was lost, whatever was found is void, and that is the error. No byte at or after `end` was read; 0 if that is
 * not known. */
static pye_status settle(const pye_file *file, uint32_t shard, pye_status status, uint64_t end, pye_error *error) {
    bool is_sure = status == PYE_OK && end > 0 && !pye_map_may_be_cut(&file->map, file->map.base + end - 1);
    pye_status intact =
        is_sure ? pye_map_undamaged(&file->map, shard, error) : pye_map_intact(&file->map, shard, error);
    return intact != PYE_OK ? intact : status;
}

static pye_status value_at(pye_file *file, uint32_t shard, const pye_entry *entry, pye_value *value,
                           pye_error *error) {
    pye_reader reader = pye_reader_at(file, shard, entry->position, error);
    pye_value found;
    pye_status status = pye_reader_entry(&reader, &found);
    if (status == PYE_OK && found.type != PYE_VALUE_ARRAY)
        status = pye_reader_scalar(&reader, &found);
    found.marks = entry->waypoints;
    status = settle(file, shard, status, reader.cursor.position, error);
    if (status == PYE_OK)
        *value = found;
    return status;
}

pye_status pye_metadata_lookup(pye_file *file, uint32_t shard, const pye_metadata *metadata, pye_string key,
                               pye_value *value, pye_error *error) {
    size_t first = 0;
    size_t end = metadata->n;
    while (first < end) {
        size_t middle = first + (end - first) / 2;
        const pye_entry *entry = &metadata->entries[metadata->by_key[middle]];
        int order = pye_string_compare(pye_string_at(file, entry->position), key);
        if (order == 0)
            return value_at(file, shard, entry, value, error);
        if (order < 0)
            first = middle + 1;
        else
            end = middle;
    }
    return settle(file, shard, PYE_ERROR_NOT_FOUND, 0, error);
}

size_t pye_model_n_metadata(const pye_model *model) { return model->metadata.n; }

pye_status pye_metadata_at(const pye_model *model, size_t index, pye_value *value, pye_error *error) {
    if (index >= model->metadata.n)
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET, "metadata entry %zu is not below %zu", index,
                        model->metadata.n);
    return value_at(model->files[0], 0, &model->metadata.entries[index], value, error);
}

pye_status pye_metadata_find(const pye_model *model, const char *key, size_t key_size, pye_value *value,
                             pye_error *error) {
    pye_string wanted = {key, key_size};
    pye_status status = pye_metadata_lookup(model->files[0], 0, &model->metadata, wanted, value, error);
    char quoted[PYE_QUOTE_BYTES];
    if (status == PYE_ERROR_NOT_FOUND)
        return pye_fail(error, status, PYE_NO_OFFSET, "no metadata key is named %s", pye_quote(quoted, wanted));
    return status;
}

/* True for an array of elements of the wanted kind that has elements first .. first + n - 1. */
static pye_status check_range(const pye_value *array, bool fits, const char *kind, uint64_t first, uint64_t n,
                              pye_error *error) {
    if (array->type != PYE_VALUE_ARRAY || !fits)
        return pye_fail(error, PYE_ERROR_ARGUMENT, array->offset, "the value is not an array of %s", kind);
    if (first > array->n_elements || n > array->n_elements - first)
        return pye_fail(error, PYE_ERROR_ARGUMENT, array->offset,
                        "elements %" PRIu64 " to %" PRIu64 " are not inside an array of %" PRIu64, first,
                        first + n - 1, array->n_elements);
    return PYE_OK;
}

static void copy_numbers(void *out, const uint8_t *bytes, uint64_t n, uint64_t size, bool swap) {
    if (!swap || size == 1) {
        memcpy(out, bytes, (size_t)(n * size));
        return;
    }
    uint8_t *to = out;
    for (uint64_t i = 0; i < n; i++)
        for (uint64_t byte = 0; byte < size; byte++)
            to[i * size + byte] = bytes[i * size + size - 1 - byte];
}

pye_status pye_array_read(const pye_model *model, const pye_value *array, uint64_t first, uint64_t n, void *out,
                          pye_error *error) {
    uint64_t size = pye_value_bytes(array->element_type);
    pye_status status = check_range(array, size > 0, "numbers or bools", first, n, error);
    if (status != PYE_OK || n == 0)
        return status;
    pye_file *file = model->files[0];
    pye_reader reader = pye_reader_at(file, 0, array->offset + first * size, error);
    const uint8_t *bytes;
    if (!pye_cursor_bytes(&reader.cursor, n * size, &bytes))
        return pye_reader_truncated(&reader, "an array");
    copy_numbers(out, bytes, n, size, file->swap);
    if (array->element_type == PYE_VALUE_BOOL)
        for (uint64_t i = 0; i < n; i++)
            ((uint8_t *)out)[i] = bytes[i] != 0;
    return settle(file, 0, PYE_OK, reader.cursor.position, error);
}

pye_status pye_array_strings(const pye_model *model, const pye_value *array, uint64_t first, uint64_t n,
                             pye_string *out, pye_error *error) {
    pye_status status = check_range(array, array->element_type == PYE_VALUE_STRING, "strings", first, n, error);
    if (status != PYE_OK || n == 0)
        return status;
    uint64_t near = array->marks != NULL ? first - first % PYE_WAYPOINT_STRIDE : 0;
    uint64_t position = array->marks != NULL ? array->marks[first / PYE_WAYPOINT_STRIDE] : array->offset;
    pye_reader reader = pye_reader_at(model->files[0], 0, position, error);
    for (uint64_t i = near; i < first + n; i++) {
        pye_string string;
        if (!pye_reader_string(&reader, &string))
            return settle(model->files[0], 0, pye_reader_truncated(&reader, "an array of strings"), 0, error);
        if (i >= first)
            out[i - first] = string;
    }
    return settle(model->files[0], 0, PYE_OK, reader.cursor.position, error);
}

pye_status pye_array_arrays(const pye_model *model, const pye_value *array, uint64_t first, uint64_t n,
                            pye_value *out, pye_error *error) {
    pye_status status = check_range(array, array->element_type == PYE_VALUE_ARRAY, "arrays", first, n, error);
    if (status != PYE_OK)
        return status;
    pye_reader reader = pye_reader_at(model->files[0], 0, array->offset, error);
    for (uint64_t i = 0; status == PYE_OK && i < first + n; i++) {
        pye_value child = {.element_type = -1};
        status = pye_reader_array_header(&reader, &child);
        if (status == PYE_OK)
            status = pye_reader_skip_array(&reader, &child, 1, NULL);
        if (status == PYE_OK && i >= first)
            out[i - first] = child;
    }
    return settle(model->files[0], 0, status, reader.cursor.position, error);
}
