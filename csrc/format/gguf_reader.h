/* The elements of a GGUF file: positions, counts, strings and values, each checked against what is left of the file. */
#pragma once

#include "base/cursor.h"
#include "base/status.h"
#include "format/model.h"

typedef struct pye_reader {
    pye_file *file;
    uint32_t shard;
    pye_cursor cursor; /* its error is the caller's */
} pye_reader;

pye_reader pye_reader_at(pye_file *file, uint32_t shard, uint64_t position, pye_error *error);

/* PYE_ERROR_GGUF at a byte offset of the reader's file. */
pye_status pye_reader_fail(const pye_reader *reader, uint64_t offset, const char *format, ...) PYE_PRINTF(3, 4);

/* What to return when a read failed: the file ends inside `what`, or could not be read. */
pye_status pye_reader_truncated(const pye_reader *reader, const char *what);

/* Counts and lengths: 32 bits wide in version 1, 64 from version 2 on. */
static inline bool pye_reader_length(pye_reader *reader, uint64_t *length) {
    if (reader->file->facts.version >= 2)
        return pye_cursor_u64(&reader->cursor, length);
    uint32_t narrow;
    if (!pye_cursor_u32(&reader->cursor, &narrow))
        return false;
    *length = narrow;
    return true;
}

static inline bool pye_reader_string(pye_reader *reader, pye_string *string) {
    uint64_t start = reader->cursor.position;
    uint64_t length;
    const uint8_t *bytes;
    if (!pye_reader_length(reader, &length))
        return false;
    if (!pye_cursor_bytes(&reader->cursor, length, &bytes)) {
        reader->cursor.position = start;
        return false;
    }
    *string = (pye_string){(const char *)bytes, (size_t)length};
    return true;
}

/* A count of things that take at least `min_bytes` each, which must fit what is left of the file. */
pye_status pye_reader_count(pye_reader *reader, const char *what, uint64_t min_bytes, uint64_t *count);

/* Key, type and, of an array, element type and count; the cursor is left at the value, or the first element. */
pye_status pye_reader_entry(pye_reader *reader, pye_value *value);

/* Element type and count of an array; the cursor is left at the first element. */
pye_status pye_reader_array_header(pye_reader *reader, pye_value *value);

/* Moves past the elements of an array whose header was read, checking them on the way. With `waypoints`, the positions
 * of every PYE_WAYPOINT_STRIDE-th string are recorded. */
pye_status pye_reader_skip_array(pye_reader *reader, const pye_value *array, int depth, uint64_t **waypoints);

/* The scalar or string at the cursor, into value->as. */
pye_status pye_reader_scalar(pye_reader *reader, pye_value *value);

/* Bytes of a value of fixed size; 0 for strings, arrays and unknown types. */
uint64_t pye_value_bytes(int32_t type);

/* The string at a position that was checked when the file was opened; empty if the file changed since. */
pye_string pye_string_at(pye_file *file, uint64_t position);
