/* The only code that takes untrusted bytes apart: a bounded reader of either byte order.
 *
 * Every read first compares what it needs with what is left, by subtraction. A read that fails does not move
 * the cursor and leaves its reason in `status`: PYE_OK means that the file is too short, anything else that it could not be read
 * (the error is filled). */
#pragma once

#include <stdbool.h>
#include <string.h>

#include "base/byte_order.h"
#include "base/map.h"

typedef struct pye_cursor {
    pye_map *map;
    uint64_t position;
    bool swap;         /* the file's byte order is not this machine's */
    pye_status status; /* of the last failed read */
    pye_error *error;
} pye_cursor;

static inline uint64_t pye_cursor_left(const pye_cursor *cursor) { return cursor->map->end - cursor->position; }

/* True if n more bytes are there to be read. */
static inline bool pye_cursor_has(pye_cursor *cursor, uint64_t n) {
    if (n > pye_cursor_left(cursor))
        return false;
    if (cursor->position + n <= cursor->map->visible)
        return true;
    cursor->status = pye_map_reveal(cursor->map, cursor->position + n, cursor->error);
    return cursor->status == PYE_OK;
}

static inline bool pye_cursor_bytes(pye_cursor *cursor, uint64_t n, const uint8_t **bytes) {
    if (!pye_cursor_has(cursor, n))
        return false;
    *bytes = cursor->map->base + cursor->position;
    cursor->position += n;
    return true;
}

static inline bool pye_cursor_u32(pye_cursor *cursor, uint32_t *value) {
    const uint8_t *bytes;
    if (!pye_cursor_bytes(cursor, sizeof *value, &bytes))
        return false;
    memcpy(value, bytes, sizeof *value);
    if (cursor->swap)
        *value = pye_swap32(*value);
    return true;
}

static inline bool pye_cursor_u64(pye_cursor *cursor, uint64_t *value) {
    const uint8_t *bytes;
    if (!pye_cursor_bytes(cursor, sizeof *value, &bytes))
        return false;
    memcpy(value, bytes, sizeof *value);
    if (cursor->swap)
        *value = pye_swap64(*value);
    return true;
}
