#include "format/json.h"

#include <string.h>

#include "base/status.h"
#include "base/utf8.h"

void pye_json_open(pye_json *json, const pye_map *map, uint64_t first, uint64_t end, pye_status bad,
                   pye_error *error) {
    *json = (pye_json){.base = map->base, .position = first, .end = end, .bad = bad, .error = error};
}

static pye_status fail(const pye_json *json, const char *message) {
    return pye_fail(json->error, json->bad, json->position, "JSON: %s", message);
}

/* The next byte, or -1 at the end. */
static int peek(const pye_json *json) { return json->position < json->end ? json->base[json->position] : -1; }

static bool accept(pye_json *json, char wanted) {
    if (peek(json) != wanted)
        return false;
    json->position++;
    return true;
}

static void skip_space(pye_json *json) {
    while (accept(json, ' ') || accept(json, '\n') || accept(json, '\r') || accept(json, '\t'))
        continue;
}

uint64_t pye_json_offset(pye_json *json) {
    skip_space(json);
    return json->position;
}

/* ------------------------------------------------------------------------------------------ strings */

/* One character of a string: where it begins, and how it was spelt. */
typedef struct spelling {
    size_t n_raw;   /* bytes in the text; 0: malformed */
    size_t n_bytes; /* bytes it stands for, not more than n_raw */
    uint8_t bytes[4];
    const char *problem;
} spelling;

static size_t encode(uint32_t point, uint8_t out[4]) {
    if (point < 0x80) {
        out[0] = (uint8_t)point;
        return 1;
    }
    size_t n = point < 0x800 ? 2 : point < 0x10000 ? 3 : 4;
    static const uint8_t lead[5] = {0, 0, 0xC0, 0xE0, 0xF0};
    for (size_t i = n; --i > 0; point >>= 6)
        out[i] = (uint8_t)(0x80 | (point & 0x3F));
    out[0] = (uint8_t)(lead[n] | point);
    return n;
}

/* The code unit of a \uXXXX at `p`, or -1. */
static int32_t code_unit(const uint8_t *p, size_t left) {
    if (left < 6 || p[0] != '\\' || p[1] != 'u')
        return -1;
    int32_t unit = 0;
    for (size_t i = 2; i < 6; i++) {
        int digit = p[i] >= '0' && p[i] <= '9'   ? p[i] - '0'
                    : p[i] >= 'a' && p[i] <= 'f' ? p[i] - 'a' + 10
                    : p[i] >= 'A' && p[i] <= 'F' ? p[i] - 'A' + 10
                                                 : -1;
        if (digit < 0)
            return -1;
        unit = unit * 16 + digit;
    }
    return unit;
}

static spelling malformed(const char *problem) { return (spelling){.problem = problem}; }

static spelling spell_unicode(const uint8_t *p, size_t left) {
    int32_t unit = code_unit(p, left);
    if (unit < 0)
        return malformed("\\u takes four hexadecimal digits");
    spelling spelt = {.n_raw = 6};
    uint32_t point = (uint32_t)unit;
    if (unit >= 0xD800 && unit <= 0xDFFF) {
        int32_t low = code_unit(p + 6, left - 6);
        if (unit > 0xDBFF || low < 0xDC00 || low > 0xDFFF)
            return malformed("an unpaired surrogate");
        point = 0x10000 + ((point - 0xD800) << 10) + ((uint32_t)low - 0xDC00);
        spelt.n_raw = 12;
    }
    spelt.n_bytes = encode(point, spelt.bytes);
    return spelt;
}

/* The character at `p`, where at least one byte is left. Scanning and unescaping both go through this, each with
 * its own bound, so that not even a file that changes in between makes the second read or write too far. */
static spelling spell(const uint8_t *p, size_t left) {
    if (p[0] < 0x20)
        return malformed("a control character in a string must be escaped");
    if (p[0] != '\\') {
        spelling spelt = {.n_raw = pye_utf8_length(p, left)};
        if (spelt.n_raw == 0)
            return malformed("a string is not valid UTF-8");
        spelt.n_bytes = spelt.n_raw;
        memcpy(spelt.bytes, p, spelt.n_raw);
        return spelt;
    }
    if (left >= 2 && p[1] == 'u')
        return spell_unicode(p, left);
    static const char letters[] = "\"\\/bfnrt";
    static const char meanings[] = "\"\\/\b\f\n\r\t";
    const char *letter = left >= 2 && p[1] != '\0' ? strchr(letters, p[1]) : NULL;
    if (letter == NULL)
        return malformed("an unknown escape");
    return (spelling){.n_raw = 2, .n_bytes = 1, .bytes = {(uint8_t)meanings[letter - letters]}};
}

pye_status pye_json_take_string(pye_json *json, pye_json_string *string) {
    skip_space(json);
    uint64_t offset = json->position;
    if (!accept(json, '"'))
        return fail(json, "a string was expected");
    bool escaped = false;
    int c;
    for (; (c = peek(json)) != '"'; escaped = escaped || c == '\\') {
        if (c < 0)
            return fail(json, "a string has no end");
        if (c >= 0x20 && c < 0x80 && c != '\\') {
            json->position++;
            continue;
        }
        spelling spelt = spell(json->base + json->position, (size_t)(json->end - json->position));
        if (spelt.n_raw == 0)
            return fail(json, spelt.problem);
        json->position += spelt.n_raw;
    }
    *string = (pye_json_string){
        .raw = {(const char *)json->base + offset + 1, (size_t)(json->position - offset - 1)},
        .escaped = escaped,
        .offset = offset,
    };
    json->position++;
    return PYE_OK;
}

size_t pye_json_unescape(const pye_json_string *string, char *out) {
    const uint8_t *raw = (const uint8_t *)string->raw.data;
    size_t size = string->raw.size;
    size_t used = 0;
    for (size_t i = 0; i < size;) {
        spelling spelt = spell(raw + i, size - i);
        if (spelt.n_raw == 0)
            break;
        memcpy(out + used, spelt.bytes, spelt.n_bytes);
        used += spelt.n_bytes;
        i += spelt.n_raw;
    }
    return used;
}

bool pye_json_equals(const pye_json_string *string, const char *text) {
    const uint8_t *raw = (const uint8_t *)string->raw.data;
    size_t size = string->raw.size;
    size_t left = strlen(text);
    for (size_t i = 0; i < size;) {
        spelling spelt = spell(raw + i, size - i);
        if (spelt.n_raw == 0 || spelt.n_bytes > left || memcmp(text, spelt.bytes, spelt.n_bytes) != 0)
            return false;
        text += spelt.n_bytes;
        left -= spelt.n_bytes;
        i += spelt.n_raw;
    }
    return left == 0;
}

/* ------------------------------------------------------------------------------------------ numbers */

static bool is_digit(int c) { return c >= '0' && c <= '9'; }

static pye_status skip_digits(pye_json *json) {
    if (!is_digit(peek(json)))
        return fail(json, "a digit was expected");
    while (is_digit(peek(json)))
        json->position++;
    return PYE_OK;
}

static pye_status skip_number(pye_json *json) {
    (void)accept(json, '-');
    pye_status status = PYE_OK;
    if (!accept(json, '0'))
        status = skip_digits(json);
    else if (is_digit(peek(json)))
        status = fail(json, "a number with a leading zero");
    if (status == PYE_OK && accept(json, '.'))
        status = skip_digits(json);
    if (status == PYE_OK && (accept(json, 'e') || accept(json, 'E'))) {
        if (!accept(json, '+'))
            (void)accept(json, '-');
        status = skip_digits(json);
    }
    return status;
}

pye_status pye_json_take_u64(pye_json *json, uint64_t *value) {
    skip_space(json);
    uint64_t first = json->position;
    uint64_t number = 0;
    for (int c; is_digit(c = peek(json)); json->position++) {
        uint64_t digit = (uint64_t)(c - '0');
        if (number > (UINT64_MAX - digit) / 10) {
            json->position = first;
            return fail(json, "a number does not fit 64 bits");
        }
        number = number * 10 + digit;
    }
    int after = peek(json);
    bool leading_zero = json->position - first > 1 && json->base[first] == '0';
    if (json->position == first || leading_zero || after == '.' || after == 'e' || after == 'E') {
        json->position = first;
        return fail(json, "a non-negative integer was expected");
    }
    *value = number;
    return PYE_OK;
}

/* --------------------------------------------------------------------------------------- containers */

static pye_status begin(pye_json *json, char bracket, const char *message) {
    skip_space(json);
    if (peek(json) != bracket)
        return fail(json, message);
    if (json->depth == PYE_JSON_MAX_DEPTH)
        return fail(json, "nested too deeply");
    json->position++;
    json->depth++;
    json->fresh = true;
    return PYE_OK;
}

/* Takes the closing bracket, or the comma before the next item. */
static pye_status next(pye_json *json, char bracket, const char *message, bool *more) {
    skip_space(json);
    bool first = json->fresh;
    json->fresh = false;
    *more = !accept(json, bracket);
    if (!*more)
        json->depth--;
    else if (!first && !accept(json, ','))
        return fail(json, message);
    return PYE_OK;
}

pye_status pye_json_begin_object(pye_json *json) { return begin(json, '{', "an object was expected"); }

pye_status pye_json_begin_array(pye_json *json) { return begin(json, '[', "an array was expected"); }

pye_status pye_json_next_element(pye_json *json, bool *more) {
    return next(json, ']', "a comma or the end of an array was expected", more);
}

pye_status pye_json_next_member(pye_json *json, pye_json_string *key, bool *more) {
    pye_status status = next(json, '}', "a comma or the end of an object was expected", more);
    if (status != PYE_OK || !*more)
        return status;
    status = pye_json_take_string(json, key);
    if (status != PYE_OK)
        return status;
    skip_space(json);
    return accept(json, ':') ? PYE_OK : fail(json, "a colon was expected");
}

static pye_status skip_word(pye_json *json, const char *word) {
    size_t n = strlen(word);
    if (json->end - json->position < n || memcmp(json->base + json->position, word, n) != 0)
        return fail(json, "a value was expected");
    json->position += n;
    return PYE_OK;
}

static pye_status skip_object(pye_json *json) {
    pye_json_string key;
    bool more = false;
    pye_status status = pye_json_begin_object(json);
    while (status == PYE_OK && (status = pye_json_next_member(json, &key, &more)) == PYE_OK && more)
        status = pye_json_skip(json);
    return status;
}

static pye_status skip_array(pye_json *json) {
    bool more = false;
    pye_status status = pye_json_begin_array(json);
    while (status == PYE_OK && (status = pye_json_next_element(json, &more)) == PYE_OK && more)
        status = pye_json_skip(json);
    return status;
}

/* Recursion is bounded by PYE_JSON_MAX_DEPTH. */
pye_status pye_json_skip(pye_json *json) {
    skip_space(json);
    pye_json_string string;
    switch (peek(json)) {
    case '{':
        return skip_object(json);
    case '[':
        return skip_array(json);
    case '"':
        return pye_json_take_string(json, &string);
    case 't':
        return skip_word(json, "true");
    case 'f':
        return skip_word(json, "false");
    case 'n':
        return skip_word(json, "null");
    case '-':
    case '0':
    case '1':
    case '2':
    case '3':
    case '4':
    case '5':
    case '6':
    case '7':
    case '8':
    case '9':
        return skip_number(json);
    default:
        return fail(json, "a value was expected");
    }
}

pye_status pye_json_close(pye_json *json) {
    skip_space(json);
    return json->position == json->end ? PYE_OK : fail(json, "unexpected text after the object");
}
