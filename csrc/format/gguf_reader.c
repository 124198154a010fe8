/* Reading the pieces of a GGUF file: lengths, strings, values. */
#include "format/gguf_reader.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

/* Arrays of arrays may nest; a bound keeps a hostile file from exhausting the stack. */
#define MAX_DEPTH 64

pye_reader pye_reader_at(pye_file *file, uint32_t shard, uint64_t position, pye_error *error) {
    return (pye_reader){
        .file = file,
        .shard = shard,
        .cursor = {.map = &file->map, .position = position, .swap = file->swap, .error = error},
    };
}

pye_status pye_reader_fail(const pye_reader *reader, uint64_t offset, const char *format, ...) {
    char message[PYE_ERROR_MESSAGE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    pye_status status = pye_fail(reader->cursor.error, PYE_ERROR_GGUF, offset, "%s", message);
    if (reader->cursor.error != NULL)
        reader->cursor.error->shard = reader->shard;
    return status;
}

pye_status pye_reader_truncated(const pye_reader *reader, const char *what) {
    if (reader->cursor.status != PYE_OK) {
        if (reader->cursor.error != NULL)
            reader->cursor.error->shard = reader->shard;
        return reader->cursor.status;
    }
    return pye_reader_fail(reader, reader->cursor.position, "the file ends inside %s: %" PRIu64 " bytes are left",
                           what, pye_cursor_left(&reader->cursor));
}

pye_status pye_reader_count(pye_reader *reader, const char *what, uint64_t min_bytes, uint64_t *count) {
    uint64_t position = reader->cursor.position;
    if (!pye_reader_length(reader, count))
        return pye_reader_truncated(reader, what);
    if (*count > pye_cursor_left(&reader->cursor) / min_bytes)
        return pye_reader_fail(reader, position,
                               "%s is %" PRIu64 ", more than the remaining %" PRIu64 " bytes can hold", what,
                               *count, pye_cursor_left(&reader->cursor));
    return PYE_OK;
}

uint64_t pye_value_bytes(int32_t type) {
    static const uint8_t bytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    return type >= 0 && (size_t)type < sizeof bytes ? bytes[type] : 0;
}

static bool is_value_type(int32_t type) {
    return type == PYE_VALUE_STRING || type == PYE_VALUE_ARRAY || pye_value_bytes(type) > 0;
}

static uint64_t min_bytes_of(const pye_reader *reader, int32_t type) {
    uint64_t length_bytes = reader->file->facts.version >= 2 ? 8 : 4;
    if (type == PYE_VALUE_STRING)
        return length_bytes;
    return type == PYE_VALUE_ARRAY ? 4 + length_bytes : pye_value_bytes(type);
}

static pye_status read_type(pye_reader *reader, const char *what, int32_t *type) {
    uint64_t position = reader->cursor.position;
    uint32_t number;
    if (!pye_cursor_u32(&reader->cursor, &number))
        return pye_reader_truncated(reader, what);
    *type = (int32_t)number;
    if (!is_value_type(*type))
        return pye_reader_fail(reader, position, "%s is %" PRIu32 "; value types are 0 to 12", what, number);
    return PYE_OK;
}

pye_status pye_reader_array_header(pye_reader *reader, pye_value *value) {
    pye_status status = read_type(reader, "the element type of an array", &value->element_type);
    if (status == PYE_OK)
        status = pye_reader_count(reader, "the length of an array", min_bytes_of(reader, value->element_type),
                                  &value->n_elements);
    value->type = PYE_VALUE_ARRAY;
    value->offset = reader->cursor.position;
    return status;
}

pye_status pye_reader_entry(pye_reader *reader, pye_value *value) {
    *value = (pye_value){.element_type = -1, .n_elements = 1};
    if (!pye_reader_string(reader, &value->key))
        return pye_reader_truncated(reader, "a metadata key");
    pye_status status = read_type(reader, "the type of a metadata value", &value->type);
    if (status == PYE_OK && value->type == PYE_VALUE_ARRAY)
        status = pye_reader_array_header(reader, value);
    value->offset = reader->cursor.position;
    return status;
}

pye_status pye_reader_scalar(pye_reader *reader, pye_value *value) {
    const char *what = "a metadata value";
    if (value->type == PYE_VALUE_STRING)
        return pye_reader_string(reader, &value->as.string) ? PYE_OK : pye_reader_truncated(reader, what);
    const uint8_t *bytes;
    uint64_t n = pye_value_bytes(value->type);
    if (!pye_cursor_bytes(&reader->cursor, n, &bytes))
        return pye_reader_truncated(reader, what);
    uint64_t bits = 0;
    for (uint64_t i = 0; i < n; i++)
        bits = bits << 8 | bytes[reader->file->facts.big_endian ? i : n - 1 - i];
    double f64;
    float f32;
    switch (value->type) {
    case PYE_VALUE_I8:
        value->as.i64 = (int8_t)bits;
        break;
    case PYE_VALUE_I16:
        value->as.i64 = (int16_t)bits;
        break;
    case PYE_VALUE_I32:
        value->as.i64 = (int32_t)bits;
        break;
    case PYE_VALUE_I64:
        value->as.i64 = (int64_t)bits;
        break;
    case PYE_VALUE_F32: {
        uint32_t narrow = (uint32_t)bits;
        memcpy(&f32, &narrow, sizeof f32);
        value->as.f64 = (double)f32;
        break;
    }
    case PYE_VALUE_F64:
        memcpy(&f64, &bits, sizeof f64);
        value->as.f64 = f64;
        break;
    case PYE_VALUE_BOOL:
        value->as.u64 = bits != 0;
        break;
    default:
        value->as.u64 = bits;
    }
    return PYE_OK;
}

static pye_status skip_strings(pye_reader *reader, uint64_t n, uint64_t **waypoints) {
    uint64_t *recorded = NULL;
    if (waypoints != NULL && n > 0) {
        uint64_t n_waypoints = (n - 1) / PYE_WAYPOINT_STRIDE + 1;
        recorded = pye_allocate(reader->cursor.map->allocator, (size_t)n_waypoints * sizeof *recorded);
        if (recorded == NULL)
            return pye_fail_memory(reader->cursor.error, n_waypoints * sizeof *recorded);
    }
    for (uint64_t i = 0; i < n; i++) {
        pye_string string;
        if (recorded != NULL && i % PYE_WAYPOINT_STRIDE == 0)
            recorded[i / PYE_WAYPOINT_STRIDE] = reader->cursor.position;
        if (!pye_reader_string(reader, &string)) {
            pye_release(recorded);
            return pye_reader_truncated(reader, "an array of strings");
        }
    }
    if (waypoints != NULL)
        *waypoints = recorded;
    return PYE_OK;
}

pye_status pye_reader_skip_array(pye_reader *reader, const pye_value *array, int depth, uint64_t **waypoints) {
    if (array->element_type == PYE_VALUE_STRING)
        return skip_strings(reader, array->n_elements, waypoints);
    if (array->element_type != PYE_VALUE_ARRAY) {
        /* The count was checked against the bytes that are left, so the product fits. */
        const uint8_t *bytes;
        uint64_t n = array->n_elements * pye_value_bytes(array->element_type);
        return pye_cursor_bytes(&reader->cursor, n, &bytes) ? PYE_OK : pye_reader_truncated(reader, "an array");
    }
    if (depth >= MAX_DEPTH)
        return pye_reader_fail(reader, array->offset, "arrays nest more than %d deep", MAX_DEPTH);
    for (uint64_t i = 0; i < array->n_elements; i++) {
        pye_value child = {0};
        pye_status status = pye_reader_array_header(reader, &child);
        if (status == PYE_OK)
            status = pye_reader_skip_array(reader, &child, depth + 1, NULL);
        if (status != PYE_OK)
            return status;
    }
    return PYE_OK;
}

pye_string pye_string_at(pye_file *file, uint64_t position) {
    pye_reader reader = pye_reader_at(file, 0, position, NULL);
    pye_string string = {"", 0};
    (void)pye_reader_string(&reader, &string);
    return string;
}
