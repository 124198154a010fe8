/* Opening one GGUF file: header, metadata, tensor infos.
 *
 * The format is read as its specification has it. Where llama.cpp asks for more (offsets without gaps, names below 64
 * bytes, an alignment that is a power of two...) the file opens here all the same. */
#include "format/gguf_file.h"

#include <inttypes.h>

#include "base/sort.h"
#include "base/text.h"
#include "format/gguf_metadata.h"
#include "format/zip.h"

#define DEFAULT_ALIGNMENT 32

/* ------------------------------------------------------------------------------------------ header */

/* The format has no flag for the byte order. Versions are small: the half of the word that is zero shows it. */
static pye_status read_version(pye_reader *reader) {
    const uint8_t *bytes;
    if (!pye_cursor_bytes(&reader->cursor, 4, &bytes))
        return pye_reader_truncated(reader, "the magic");
    if (memcmp(bytes, "GGUF", 4) != 0)
        return pye_reader_fail(reader, reader->cursor.map->first,
                               "not a GGUF file: it begins with the bytes %02x %02x %02x %02x", bytes[0], bytes[1],
                               bytes[2], bytes[3]);
    if (!pye_cursor_bytes(&reader->cursor, 4, &bytes))
        return pye_reader_truncated(reader, "the version");
    uint32_t little =
        (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
    bool is_big = (little & 0xFFFFu) == 0;
    uint32_t version = is_big ? pye_swap32(little) : little;
    if (version < 1 || version > 3)
        return pye_reader_fail(reader, reader->cursor.map->first + 4,
                               "GGUF version %" PRIu32 " is not one of 1 to 3", version);
    reader->file->facts.version = version;
    reader->file->facts.big_endian = is_big;
    reader->file->swap = is_big != pye_host_is_big_endian();
    reader->cursor.swap = reader->file->swap;
    return PYE_OK;
}

static pye_status read_header(pye_reader *reader) {
    pye_status status = read_version(reader);
    if (status != PYE_OK)
        return status;
    pye_shard *facts = &reader->file->facts;
    uint64_t length_bytes = facts->version >= 2 ? 8 : 4;
    status = pye_reader_count(reader, "the number of tensors", length_bytes + 4 + 4 + 8, &facts->n_tensors);
    if (status == PYE_OK)
        status =
            pye_reader_count(reader, "the number of metadata entries", length_bytes + 4 + 1, &facts->n_metadata);
    return status;
}

/* ---------------------------------------------------------------------------------------- metadata */

static pye_status read_entry(pye_reader *reader, pye_metadata *metadata) {
    uint64_t start = reader->cursor.position;
    pye_status status = pye_grow(reader->cursor.map->allocator, (void **)&metadata->entries, &metadata->max,
                                 metadata->n, sizeof *metadata->entries, reader->cursor.error);
    if (status != PYE_OK)
        return status;
    pye_value value;
    status = pye_reader_entry(reader, &value);
    if (status != PYE_OK)
        return status;
    if (value.key.size == 0)
        return pye_reader_fail(reader, start, "a metadata key is empty");
    uint64_t *waypoints = NULL;
    if (value.type == PYE_VALUE_ARRAY)
        status = pye_reader_skip_array(reader, &value, 0, &waypoints);
    else
        status = pye_reader_scalar(reader, &value);
    if (status == PYE_OK)
        metadata->entries[metadata->n++] = (pye_entry){start, waypoints};
    return status;
}

typedef struct key_context {
    pye_file *file;
    const pye_metadata *metadata;
} key_context;

static int compare_keys(const void *context, uint32_t a, uint32_t b) {
    const key_context *keys = context;
    return pye_string_compare(pye_string_at(keys->file, keys->metadata->entries[a].position),
                              pye_string_at(keys->file, keys->metadata->entries[b].position));
}

static pye_status read_metadata(pye_reader *reader, pye_metadata *metadata) {
    for (uint64_t i = 0; i < reader->file->facts.n_metadata; i++) {
        pye_status status = read_entry(reader, metadata);
        if (status != PYE_OK)
            return status;
    }
    key_context keys = {reader->file, metadata};
    metadata->by_key = pye_sorted_order(reader->cursor.map->allocator, metadata->n, compare_keys, &keys);
    if (metadata->by_key == NULL)
        return pye_fail_memory(reader->cursor.error, (uint64_t)metadata->n * 2 * sizeof(uint32_t));
    for (size_t i = 1; i < metadata->n; i++) {
        uint32_t later = metadata->by_key[i];
        if (compare_keys(&keys, metadata->by_key[i - 1], later) == 0) {
            char key[PYE_QUOTE_BYTES];
            uint64_t position = metadata->entries[later].position;
            return pye_reader_fail(reader, position, "the metadata key %s occurs twice",
                                   pye_quote(key, pye_string_at(reader->file, position)));
        }
    }
    return PYE_OK;
}

static pye_status read_alignment(const pye_reader *reader, const pye_metadata *metadata) {
    pye_value value;
    reader->file->facts.alignment = DEFAULT_ALIGNMENT;
    pye_status status = pye_metadata_lookup(reader->file, reader->shard, metadata, pye_text("general.alignment"),
                                            &value, reader->cursor.error);
    if (status == PYE_ERROR_NOT_FOUND)
        return PYE_OK;
    if (status != PYE_OK)
        return status;
    if (value.type != PYE_VALUE_U32)
        return pye_reader_fail(reader, value.offset,
                               "general.alignment is stored as value type %" PRId32 ", not as u32 (4)",
                               value.type);
    uint64_t alignment = value.as.u64;
    bool is_power_of_two = alignment != 0 && (alignment & (alignment - 1)) == 0;
    if (alignment == 0 || (alignment % 8 != 0 && !is_power_of_two))
        return pye_reader_fail(reader, value.offset,
                               "general.alignment is %" PRIu64 ", neither a multiple of 8 nor a power of two",
                               alignment);
    reader->file->facts.alignment = alignment;
    return PYE_OK;
}

/* ----------------------------------------------------------------------------------------- tensors */

static pye_status read_shape(pye_reader *reader, pye_tensor *tensor, const char *name) {
    uint64_t position = reader->cursor.position;
    if (!pye_cursor_u32(&reader->cursor, &tensor->n_dims))
        return pye_reader_truncated(reader, "a tensor's number of dimensions");
    if (tensor->n_dims > PYE_MAX_DIMS)
        return pye_reader_fail(reader, position, "tensor %s has %" PRIu32 " dimensions; at most %d are defined",
                               name, tensor->n_dims, PYE_MAX_DIMS);
    for (uint32_t i = 0; i < tensor->n_dims; i++)
        if (!pye_reader_length(reader, &tensor->shape[tensor->n_dims - 1 - i]))
            return pye_reader_truncated(reader, "a tensor's dimensions");
    return PYE_OK;
}

/* The offset is left relative to the data section, whose place is not yet known. */
static pye_status read_tensor(pye_reader *reader, pye_tensor *tensor) {
    uint64_t start = reader->cursor.position;
    *tensor = (pye_tensor){.shard = reader->shard};
    if (!pye_reader_string(reader, &tensor->name))
        return pye_reader_truncated(reader, "a tensor's name");
    char name[PYE_QUOTE_BYTES];
    (void)pye_quote(name, tensor->name);
    pye_status status = read_shape(reader, tensor, name);
    if (status != PYE_OK)
        return status;
    uint32_t type;
    if (!pye_cursor_u32(&reader->cursor, &type))
        return pye_reader_truncated(reader, "a tensor's type");
    tensor->type = (int32_t)type;
    if (!pye_cursor_u64(&reader->cursor, &tensor->offset))
        return pye_reader_truncated(reader, "a tensor's offset");
    const pye_type_info *info = pye_type_info_of(tensor->type);
    const char *type_name = info != NULL ? info->name : pye_foreign_type(tensor->type);
    if (type_name != NULL)
        tensor->type_name = pye_text(type_name);
    const char *reason;
    if (!pye_tensor_measure(tensor, &reason))
        return pye_reader_fail(reader, start, "tensor %s of type %s: %s", name, info->name, reason);
    return PYE_OK;
}

/* Places a tensor whose offset is relative to the data section, which begins at or before the end of the file. */
static pye_status place_tensor(const pye_reader *reader, pye_tensor *tensor) {
    uint64_t data_offset = reader->file->facts.data_offset;
    uint64_t room = reader->file->map.end - data_offset;
    uint64_t n_bytes = tensor->n_bytes == PYE_UNKNOWN_BYTES ? 0 : tensor->n_bytes;
    if (tensor->offset > room || n_bytes > room - tensor->offset) {
        char name[PYE_QUOTE_BYTES];
        return pye_reader_fail(reader, data_offset,
                               "tensor %s does not lie inside the file: %" PRIu64 " bytes at offset %" PRIu64
                               " of a data section of %" PRIu64 " bytes; is the file cut short?",
                               pye_quote(name, tensor->name), n_bytes, tensor->offset, room);
    }
    tensor->offset += data_offset;
    return PYE_OK;
}

static pye_status read_tensors(pye_reader *reader, pye_model *model) {
    pye_shard *facts = &reader->file->facts;
    size_t first = model->n_tensors;
    reader->file->metadata_end = reader->cursor.position;
    for (uint64_t i = 0; i < facts->n_tensors; i++) {
        pye_tensor tensor;
        pye_status status = read_tensor(reader, &tensor);
        if (status == PYE_OK)
            status = pye_model_add_tensor(model, &tensor, reader->cursor.error);
        if (status != PYE_OK)
            return status;
    }
    uint64_t end = reader->cursor.position;
    uint64_t past = (end - reader->file->map.first) % facts->alignment; /* aligned to the GGUF file's own start */
    uint64_t padding = facts->n_tensors == 0 ? 0 : (facts->alignment - past) % facts->alignment;
    if (padding > pye_cursor_left(&reader->cursor))
        return pye_reader_fail(reader, end, "the file ends before its tensor data, which begins at byte %" PRIu64,
                               end + padding);
    facts->data_offset = end + padding;
    for (size_t i = first; i < model->n_tensors; i++) {
        pye_status status = place_tensor(reader, &model->tensors[i]);
        if (status != PYE_OK)
            return status;
    }
    return PYE_OK;
}

/* ------------------------------------------------------------------------------------------ a file */

static pye_status parse_file(pye_reader *reader, pye_model *model, pye_metadata *metadata) {
    pye_status status = read_header(reader);
    if (status == PYE_OK)
        status = read_metadata(reader, metadata);
    if (status == PYE_OK)
        status = read_alignment(reader, metadata);
    if (status == PYE_OK)
        status = read_tensors(reader, model);
    return status == PYE_OK
               ? pye_map_settle(&reader->file->map, reader->file->facts.data_offset, reader->cursor.error)
               : status;
}

/* Finds the GGUF file inside a zip archive. Any other file is left to the parser, which says what is wrong with it. */
static pye_status locate(pye_file *file, pye_error *error) {
    pye_map *map = &file->map;
    pye_range place;
    pye_status status = map->size < 4 ? PYE_ERROR_NOT_FOUND : pye_map_reveal(map, 4, error);
    if (status == PYE_OK)
        status = memcmp(map->base, "GGUF", 4) == 0 ? PYE_ERROR_NOT_FOUND : pye_zip_find_gguf(map, &place, error);
    if (status == PYE_OK) {
        pye_map_narrow(map, place);
        file->facts.first = map->first;
        file->facts.end = map->end;
    }
    return status == PYE_ERROR_NOT_FOUND ? PYE_OK : status;
}

pye_status pye_gguf_file_open(pye_model *model, const char *path, pye_load_mode mode, pye_metadata *metadata,
                              pye_reader *reader, pye_error *error) {
    pye_file *file;
    uint32_t shard = (uint32_t)model->n_files;
    pye_status status = pye_model_add_file(model, path, mode, &file, error);
    if (status != PYE_OK)
        return status;
    status = locate(file, error);
    if (status != PYE_OK) {
        if (error != NULL)
            error->shard = shard;
        return status;
    }
    *reader = pye_reader_at(file, shard, file->map.first, error);
    return parse_file(reader, model, metadata);
}
