/* A strict reader of JSON (RFC 8259) that is pulled through the text once, value by value, and allocates nothing.
 *
 * The text is untrusted: nesting is limited, strings must be valid UTF-8 whose escapes make whole characters, and
 * every error names the byte of the file where it is. A container is read by `begin_`, then `next_` until `more` is
 * false; after each `next_` exactly one value must be taken, or skipped. */
#pragma once

#include <stdbool.h>

#include "base/map.h"

#define PYE_JSON_MAX_DEPTH 32

typedef struct pye_json {
    const uint8_t *base; /* byte 0 of the file */
    uint64_t position;
    uint64_t end; /* of the text, in the file */
    uint32_t depth;
    bool fresh;     /* at the start of a container, whose first item takes no comma before it */
    pye_status bad; /* the status of a malformed text */
    pye_error *error;
} pye_json;

/* A string in the file, without its quotes, known to be well-formed. */
typedef struct pye_json_string {
    pye_string raw;
    bool escaped;    /* has escapes, see pye_json_unescape */
    uint64_t offset; /* of the opening quote, in the file */
} pye_json_string;

/* The text is bytes first .. end - 1 of the file; they must be readable. */
void pye_json_open(pye_json *json, const pye_map *map, uint64_t first, uint64_t end, pye_status bad,
                   pye_error *error);

/* Checks that only white space is left. */
pye_status pye_json_close(pye_json *json);

/* Where the next value begins, past white space. */
uint64_t pye_json_offset(pye_json *json);

pye_status pye_json_begin_object(pye_json *json);
pye_status pye_json_next_member(pye_json *json, pye_json_string *key, bool *more);
pye_status pye_json_begin_array(pye_json *json);
pye_status pye_json_next_element(pye_json *json, bool *more);

pye_status pye_json_take_string(pye_json *json, pye_json_string *string);

/* A whole number without sign, fraction or exponent. */
pye_status pye_json_take_u64(pye_json *json, uint64_t *value);

/* Any value; it must be well formed all the same. */
pye_status pye_json_skip(pye_json *json);

/* Whether the string, unescaped, equals `text`. */
bool pye_json_equals(const pye_json_string *string, const char *text);

/* Writes the string without escapes to `out`, which has room for raw.size bytes: unescaping never makes a text longer.
 * Returns the number of bytes. */
size_t pye_json_unescape(const pye_json_string *string, char *out);
