/* One safetensors file: 8 bytes with the header's length, the header as JSON, the tensors' bytes.
 *
 * Stricter than the format's reference implementation in two points. A field of an entry that is not part of the format
 * is an error, because a reader that ignores it cannot know that it read the tensor rightly. And the header must begin
 * with '{', as the format's description has it, without white space in front. More lenient in one: a dtype of an unknown
 * spelling is listed, so that the file's other tensors can be read.
 */
#include "format/safetensors.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/cursor.h"
#include "base/sort.h"
#include "base/status.h"
#include "base/text.h"
#include "format/shape.h"

#define BAD PYE_ERROR_SAFETENSORS

/* The dtypes whose size is known; those without a type are listed, but no table of them can be opened. */
static const struct dtype {
    const char *name;
    int32_t type;
    uint32_t n_bits;
} dtypes[] = {
    {"F64", PYE_TYPE_F64, 64},
    {"F32", PYE_TYPE_F32, 32},
    {"F16", PYE_TYPE_F16, 16},
    {"BF16", PYE_TYPE_BF16, 16},
    {"I64", PYE_TYPE_I64, 64},
    {"I32", PYE_TYPE_I32, 32},
    {"I16", PYE_TYPE_I16, 16},
    {"I8", PYE_TYPE_I8, 8},
    {"U64", PYE_TYPE_UNKNOWN, 64},
    {"U32", PYE_TYPE_UNKNOWN, 32},
    {"U16", PYE_TYPE_UNKNOWN, 16},
    {"U8", PYE_TYPE_UNKNOWN, 8},
    {"BOOL", PYE_TYPE_UNKNOWN, 8},
    {"C64", PYE_TYPE_UNKNOWN, 64},
    {"F8_E4M3", PYE_TYPE_UNKNOWN, 8},
    {"F8_E5M2", PYE_TYPE_UNKNOWN, 8},
    {"F8_E8M0", PYE_TYPE_UNKNOWN, 8},
    {"F8_E4M3FNUZ", PYE_TYPE_UNKNOWN, 8},
    {"F8_E5M2FNUZ", PYE_TYPE_UNKNOWN, 8},
    {"F6_E2M3", PYE_TYPE_UNKNOWN, 6},
    {"F6_E3M2", PYE_TYPE_UNKNOWN, 6},
    {"F4", PYE_TYPE_UNKNOWN, 4},
};

static const struct dtype *find_dtype(pye_string name) {
    for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++)
        if (pye_string_compare(name, pye_text(dtypes[i].name)) == 0)
            return &dtypes[i];
    return NULL;
}

typedef struct header_reader {
    pye_model *model;
    pye_json json;
    pye_error *error;
    uint64_t data_offset;
    uint64_t data_bytes;
    size_t first_tensor;
    uint32_t shard;
    bool has_metadata;
    uint64_t *entries; /* where each tensor's entry begins, for messages */
    size_t max_entries;
} header_reader;

enum { HAS_DTYPE = 1, HAS_SHAPE = 2, HAS_OFFSETS = 4 };

typedef struct tensor_entry {
    pye_tensor tensor;
    uint64_t offset;
    uint64_t begin;
    uint64_t end;
    unsigned has;
} tensor_entry;

pye_status pye_safetensors_blame(pye_error *error, pye_status status, const char *kind, pye_string name) {
    if (error != NULL) {
        char message[PYE_ERROR_MESSAGE_BYTES];
        char quoted[PYE_QUOTE_BYTES];
        memcpy(message, error->message, sizeof message);
        int n = snprintf(error->message, sizeof error->message, "%s%s: ", kind, pye_quote(quoted, name));
        size_t used = n > 0 && (size_t)n < sizeof error->message ? (size_t)n : 0;
        (void)snprintf(error->message + used, sizeof error->message - used, "%.*s",
                       (int)(sizeof error->message - used - 1), message);
    }
    return status;
}

pye_status pye_safetensors_text(pye_model *model, const pye_json_string *string, pye_string *text,
                                pye_error *error) {
    *text = string->raw;
    if (!string->escaped)
        return PYE_OK;
    char *copy = pye_allocate(&model->allocator, string->raw.size);
    if (copy == NULL)
        return pye_fail_memory(error, string->raw.size);
    *text = (pye_string){copy, pye_json_unescape(string, copy)};
    return pye_model_keep_text(model, copy, error);
}

static pye_status read_dtype(header_reader *reader, tensor_entry *entry) {
    pye_json_string spelling;
    pye_status status = pye_json_take_string(&reader->json, &spelling);
    if (status != PYE_OK)
        return status;
    return pye_safetensors_text(reader->model, &spelling, &entry->tensor.type_name, reader->error);
}

static pye_status read_shape(header_reader *reader, tensor_entry *entry) {
    pye_json *json = &reader->json;
    bool more = false;
    pye_status status = pye_json_begin_array(json);
    while (status == PYE_OK && (status = pye_json_next_element(json, &more)) == PYE_OK && more) {
        uint64_t dimension;
        status = pye_json_take_u64(json, &dimension);
        if (status == PYE_OK && !pye_shape_append(&entry->tensor, dimension))
            return pye_fail(reader->error, BAD, entry->offset, "its shape does not fit 64 bits");
    }
    return status;
}

static pye_status read_data_offsets(header_reader *reader, tensor_entry *entry) {
    pye_json *json = &reader->json;
    uint64_t numbers[2] = {0, 0};
    size_t n = 0;
    bool more = false;
    pye_status status = pye_json_begin_array(json);
    while (status == PYE_OK && (status = pye_json_next_element(json, &more)) == PYE_OK && more) {
        if (n == 2)
            return pye_fail(reader->error, BAD, entry->offset, "\"data_offsets\" holds more than two numbers");
        status = pye_json_take_u64(json, &numbers[n++]);
    }
    if (status == PYE_OK && n != 2)
        return pye_fail(reader->error, BAD, entry->offset, "\"data_offsets\" holds %zu numbers instead of two", n);
    entry->begin = numbers[0];
    entry->end = numbers[1];
    return status;
}

static pye_status read_field(header_reader *reader, tensor_entry *entry, const pye_json_string *key) {
    static const struct field {
        const char *name;
        unsigned bit;
        pye_status (*read)(header_reader *reader, tensor_entry *entry);
    } fields[] = {
        {"dtype", HAS_DTYPE, read_dtype},
        {"shape", HAS_SHAPE, read_shape},
        {"data_offsets", HAS_OFFSETS, read_data_offsets},
    };
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (!pye_json_equals(key, fields[i].name))
            continue;
        if (entry->has & fields[i].bit)
            return pye_fail(reader->error, BAD, key->offset, "the field \"%s\" occurs twice", fields[i].name);
        entry->has |= fields[i].bit;
        return fields[i].read(reader, entry);
    }
    char name[PYE_QUOTE_BYTES];
    return pye_fail(reader->error, BAD, key->offset, "the field %s is not part of the format",
                    pye_quote(name, key->raw));
}

static pye_status check_entry(const header_reader *reader, tensor_entry *entry) {
    pye_tensor *tensor = &entry->tensor;
    if (entry->has != (HAS_DTYPE | HAS_SHAPE | HAS_OFFSETS))
        return pye_fail(reader->error, BAD, entry->offset, "the field \"%s\" is missing",
                        !(entry->has & HAS_DTYPE)   ? "dtype"
                        : !(entry->has & HAS_SHAPE) ? "shape"
                                                    : "data_offsets");
    if (entry->begin > entry->end)
        return pye_fail(reader->error, BAD, entry->offset,
                        "its bytes begin at %" PRIu64 " and end before, at %" PRIu64, entry->begin, entry->end);
    if (entry->end > reader->data_bytes)
        return pye_fail(reader->error, BAD, entry->offset,
                        "its bytes end at %" PRIu64 " of %" PRIu64
                        " bytes of data; the file may have been cut short",
                        entry->end, reader->data_bytes);
    const struct dtype *dtype = find_dtype(tensor->type_name);
    uint64_t n_bits;
    if (!pye_shape_size(tensor, dtype != NULL ? dtype->n_bits : 1, &n_bits))
        return pye_fail(reader->error, BAD, entry->offset, "its size does not fit 63 bits");
    uint64_t n_bytes = entry->end - entry->begin;
    if (dtype != NULL && (n_bits % 8 != 0 || n_bits / 8 != n_bytes))
        return pye_fail(reader->error, BAD, entry->offset,
                        "its shape takes %" PRIu64 " bits as %s, its \"data_offsets\" span %" PRIu64 " bytes",
                        n_bits, dtype->name, n_bytes);
    tensor->type = dtype != NULL ? dtype->type : PYE_TYPE_UNKNOWN;
    tensor->n_bytes = n_bytes;
    tensor->offset = reader->data_offset + entry->begin;
    tensor->shard = reader->shard;
    return PYE_OK;
}

static pye_status read_entry(header_reader *reader, tensor_entry *entry) {
    pye_json *json = &reader->json;
    pye_json_string key;
    bool more = false;
    pye_status status = pye_json_begin_object(json);
    while (status == PYE_OK && (status = pye_json_next_member(json, &key, &more)) == PYE_OK && more)
        status = read_field(reader, entry, &key);
    return status == PYE_OK ? check_entry(reader, entry) : status;
}

static pye_status read_tensor(header_reader *reader, const pye_json_string *name) {
    tensor_entry entry = {.offset = name->offset};
    pye_status status = pye_safetensors_text(reader->model, name, &entry.tensor.name, reader->error);
    if (status != PYE_OK)
        return status;
    status = read_entry(reader, &entry);
    if (status != PYE_OK)
        return pye_safetensors_blame(reader->error, status, "tensor ", entry.tensor.name);
    size_t n = reader->model->n_tensors - reader->first_tensor;
    status = pye_grow(&reader->model->allocator, (void **)&reader->entries, &reader->max_entries, n,
                      sizeof *reader->entries, reader->error);
    if (status != PYE_OK)
        return status;
    reader->entries[n] = entry.offset;
    return pye_model_add_tensor(reader->model, &entry.tensor, reader->error);
}

/* Text about the file, which nothing here depends on; the format allows strings only. */
static pye_status read_metadata(header_reader *reader, const pye_json_string *name) {
    if (reader->has_metadata)
        return pye_fail(reader->error, BAD, name->offset, "\"__metadata__\" occurs twice");
    reader->has_metadata = true;
    pye_json *json = &reader->json;
    pye_json_string key;
    pye_json_string value;
    bool more = false;
    pye_status status = pye_json_begin_object(json);
    while (status == PYE_OK && (status = pye_json_next_member(json, &key, &more)) == PYE_OK && more)
        status = pye_json_take_string(json, &value);
    return status == PYE_OK ? PYE_OK : pye_safetensors_blame(reader->error, status, "", name->raw);
}

static pye_status read_header(header_reader *reader) {
    pye_json *json = &reader->json;
    pye_json_string name;
    bool more = false;
    pye_status status = pye_json_begin_object(json);
    while (status == PYE_OK && (status = pye_json_next_member(json, &name, &more)) == PYE_OK && more) {
        if (pye_json_equals(&name, "__metadata__"))
            status = read_metadata(reader, &name);
        else
            status = read_tensor(reader, &name);
    }
    return status == PYE_OK ? pye_json_close(json) : status;
}

static int compare_places(const void *context, uint32_t a, uint32_t b) {
    const pye_tensor *x = (const pye_tensor *)context + a;
    const pye_tensor *y = (const pye_tensor *)context + b;
    if (x->offset != y->offset)
        return x->offset < y->offset ? -1 : 1;
    return (x->n_bytes > y->n_bytes) - (x->n_bytes < y->n_bytes);
}

/* The file's own; NULL where the model has none yet, to which nothing may be added. */
static const pye_tensor *tensors_of(const header_reader *reader) {
    const pye_tensor *all = reader->model->tensors;
    return all != NULL ? all + reader->first_tensor : NULL;
}

/* The format has every byte of the data belong to exactly one tensor. */
static pye_status check_tiling(const header_reader *reader, const uint32_t *order, size_t n) {
    const pye_tensor *tensors = tensors_of(reader);
    uint64_t reached = reader->data_offset;
    char name[PYE_QUOTE_BYTES];
    char other[PYE_QUOTE_BYTES];
    for (size_t i = 0; i < n; i++) {
        const pye_tensor *tensor = &tensors[order[i]];
        if (tensor->offset < reached)
            return pye_fail(reader->error, BAD, reader->entries[order[i]], "tensor %s begins inside tensor %s",
                            pye_quote(name, tensor->name), pye_quote(other, tensors[order[i - 1]].name));
        if (tensor->offset > reached)
            return pye_fail(reader->error, BAD, reader->entries[order[i]],
                            "%" PRIu64 " bytes of data before tensor %s belong to no tensor",
                            tensor->offset - reached, pye_quote(name, tensor->name));
        reached = tensor->offset + tensor->n_bytes;
    }
    uint64_t left = reader->data_offset + reader->data_bytes - reached;
    if (left > 0)
        return pye_fail(reader->error, BAD, reached, "the last %" PRIu64 " bytes of data belong to no tensor",
                        left);
    return PYE_OK;
}

static pye_status check_data(const header_reader *reader) {
    size_t n = reader->model->n_tensors - reader->first_tensor;
    uint32_t *order = pye_sorted_order(&reader->model->allocator, n, compare_places, tensors_of(reader));
    if (order == NULL)
        return pye_fail_memory(reader->error, (uint64_t)n * 2 * sizeof *order);
    pye_status status = check_tiling(reader, order, n);
    pye_release(order);
    return status;
}

/* Finds the header and makes it readable. */
static pye_status locate_header(pye_file *file, uint64_t *first, uint64_t *end, pye_error *error) {
    pye_cursor cursor = {.map = &file->map, .swap = file->swap, .error = error};
    uint64_t n_bytes;
    const uint8_t *header;
    if (!pye_cursor_u64(&cursor, &n_bytes))
        return cursor.status != PYE_OK
                   ? cursor.status
                   : pye_fail(error, BAD, 0, "a file of %" PRIu64 " bytes is too short for a safetensors file",
                              file->map.size);
    if (n_bytes > pye_cursor_left(&cursor))
        return pye_fail(error, BAD, 0,
                        "the header's length is %" PRIu64 " bytes, but only %" PRIu64
                        " follow; the file is truncated, or not a safetensors file",
                        n_bytes, pye_cursor_left(&cursor));
    if (n_bytes > PYE_SAFETENSORS_MAX_JSON)
        return pye_fail(error, BAD, 0, "a header of %" PRIu64 " bytes; the format allows %" PRIu64, n_bytes,
                        PYE_SAFETENSORS_MAX_JSON);
    *first = cursor.position;
    if (!pye_cursor_bytes(&cursor, n_bytes, &header))
        return cursor.status;
    *end = cursor.position;
    if (n_bytes == 0 || header[0] != '{')
        return pye_fail(error, BAD, *first, "the header does not begin with '{'");
    return PYE_OK;
}

static pye_status read_file(pye_model *model, pye_file *file, pye_error *error) {
    file->swap = pye_host_is_big_endian();
    uint64_t first = 0;
    uint64_t end = 0;
    pye_status status = locate_header(file, &first, &end, error);
    if (status != PYE_OK)
        return status;
    header_reader reader = {
        .model = model,
        .error = error,
        .data_offset = end,
        .data_bytes = file->map.size - end,
        .first_tensor = model->n_tensors,
        .shard = (uint32_t)(model->n_files - 1),
    };
    pye_json_open(&reader.json, &file->map, first, end, BAD, error);
    status = read_header(&reader);
    if (status == PYE_OK)
        status = check_data(&reader);
    pye_release(reader.entries);
    if (status != PYE_OK)
        return status;
    file->facts.data_offset = end;
    file->facts.n_tensors = model->n_tensors - reader.first_tensor;
    return pye_map_settle(&file->map, end, error);
}

pye_status pye_safetensors_add_file(pye_model *model, const char *path, pye_load_mode mode, pye_error *error) {
    pye_file *file;
    pye_status status = pye_model_add_file(model, path, mode, &file, error);
    if (status != PYE_OK)
        return status;
    status = read_file(model, file, error);
    if (status != PYE_OK && error != NULL)
        error->shard = (uint32_t)(model->n_files - 1);
    return status;
}
