#include "vocabulary/text_facts.h"

#include <stdbool.h>
#include <string.h>

#include "base/utf8.h"

#define MARK 0x2581u /* stands for a space in SentencePiece's texts */
#define MARK_BYTES 3

static uint32_t decode(const uint8_t *p, size_t n) {
    switch (n) {
    case 1:
        return p[0];
    case 2:
        return (p[0] & 0x1Fu) << 6 | (p[1] & 0x3Fu);
    case 3:
        return (p[0] & 0x0Fu) << 12 | (p[1] & 0x3Fu) << 6 | (p[2] & 0x3Fu);
    default:
        return (p[0] & 0x07u) << 18 | (p[1] & 0x3Fu) << 12 | (p[2] & 0x3Fu) << 6 | (p[3] & 0x3Fu);
    }
}

/* The characters that GPT-2 spells bytes with: printable Latin-1, and U+0100 to U+0143 for the 68 others. */
static bool is_alphabet(uint32_t c) {
    return c - 0x21u <= 0x7Eu - 0x21u || (c - 0xA1u <= 0x143u - 0xA1u && c != 0xADu);
}

/* What a text's code points have in common, and its first two. */
typedef struct code_points {
    uint32_t n;
    uint32_t first;
    uint32_t second;
    bool alphabet;
    bool repeated;
    bool has_nul;
} code_points;

/* Length of the well-formed beginning. */
static size_t read_well_formed(const uint8_t *bytes, size_t size, code_points *points) {
    uint32_t n = 0, first = 0, second = 0;
    bool alphabet = true, repeated = true, has_nul = false;
    size_t at = 0;
    while (at < size) {
        size_t length = bytes[at] < 0x80 ? 1 : pye_utf8_length(bytes + at, size - at);
        if (length == 0)
            break;
        uint32_t c = length == 1 ? bytes[at] : decode(bytes + at, length);
        first = n == 0 ? c : first;
        second = n == 1 ? c : second;
        alphabet &= is_alphabet(c);
        repeated &= c == first;
        has_nul |= c == 0;
        at += length;
        n++;
    }
    *points = (code_points){n, first, second, alphabet, repeated, has_nul};
    return at;
}

static uint16_t count_to_16_bits(size_t n) { return (uint16_t)(n < UINT16_MAX ? n : UINT16_MAX); }

/* Returns flags. */
static uint32_t read_code_points(pye_string text, pye_token_facts *facts) {
    const uint8_t *bytes = (const uint8_t *)text.data;
    code_points points;
    size_t well_formed = read_well_formed(bytes, text.size, &points);
    if (well_formed < text.size) {
        points.has_nul |= memchr(bytes + well_formed, 0, text.size - well_formed) != NULL;
        facts->n_code_points = count_to_16_bits(text.size);
        return (uint32_t)PYE_TEXT_NOT_UTF8 | (points.has_nul ? (uint32_t)PYE_TEXT_NUL : 0u);
    }
    bool has_mark = points.first == MARK;
    facts->n_code_points = count_to_16_bits(points.n);
    facts->code_point = has_mark && points.n > 1 ? points.second : points.first;
    return (points.alphabet ? (uint32_t)PYE_TEXT_ALPHABET : 0u) |
           (points.repeated ? (uint32_t)PYE_TEXT_REPEATED : 0u) | (has_mark ? (uint32_t)PYE_TEXT_MARK : 0u) |
           (points.has_nul ? (uint32_t)PYE_TEXT_NUL : 0u);
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static bool read_byte_token(pye_string text, uint32_t *byte) {
    if (text.size != 6 || memcmp(text.data, "<0x", 3) != 0 || text.data[5] != '>')
        return false;
    int high = hex_digit(text.data[3]);
    int low = hex_digit(text.data[4]);
    if (high < 0 || low < 0)
        return false;
    *byte = (uint32_t)(high * 16 + low);
    return true;
}

/* Names of tokens that hold a place, as they stand before a number. */
static const struct placeholder {
    const char *begins;
    const char *ends;
    uint32_t flag;
} placeholders[] = {
    {"[PAD", "]", PYE_TEXT_PAD},
    {"<pad", ">", PYE_TEXT_PAD},
    {"<unused", ">", PYE_TEXT_UNUSED},
    {"[unused", "]", PYE_TEXT_UNUSED},
    {"[UNUSED", "]", PYE_TEXT_UNUSED},
    {"<|reserved_special_token_", "|>", PYE_TEXT_RESERVED},
    {"<|reserved_token_", "|>", PYE_TEXT_RESERVED},
    {"<reserved_", ">", PYE_TEXT_RESERVED},
    {"<|unused_", "|>", PYE_TEXT_RESERVED},
};

/* `text` is `begins`, one to nine decimal digits, `ends`. */
static bool read_placeholder(pye_string text, const struct placeholder *kind, uint32_t *number) {
    size_t n_begins = strlen(kind->begins);
    size_t n_ends = strlen(kind->ends);
    if (text.size <= n_begins + n_ends || text.size > n_begins + n_ends + 9 ||
        memcmp(text.data, kind->begins, n_begins) != 0 ||
        memcmp(text.data + text.size - n_ends, kind->ends, n_ends) != 0)
        return false;
    uint32_t value = 0;
    for (size_t i = n_begins; i < text.size - n_ends; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        value = value * 10 + (uint32_t)(text.data[i] - '0');
    }
    *number = value;
    return true;
}

/* Returns flags. */
static uint32_t read_brackets(pye_string text, bool has_mark, uint32_t *number) {
    if (has_mark && text.size > MARK_BYTES)
        text = (pye_string){text.data + MARK_BYTES, text.size - MARK_BYTES};
    if (text.size < 3 || !((text.data[0] == '<' && text.data[text.size - 1] == '>') ||
                           (text.data[0] == '[' && text.data[text.size - 1] == ']')))
        return 0;
    uint32_t bracketed = has_mark ? 0u : (uint32_t)PYE_TEXT_BRACKETED;
    if (read_byte_token(text, number))
        return bracketed | (has_mark ? 0u : (uint32_t)PYE_TEXT_BYTE);
    for (size_t i = 0; i < sizeof placeholders / sizeof *placeholders; i++)
        if (read_placeholder(text, &placeholders[i], number))
            return bracketed | placeholders[i].flag;
    return bracketed;
}

void pye_text_facts(pye_string text, pye_token_facts *facts) {
    facts->flags = text.size == 0 ? PYE_TEXT_EMPTY : 0;
    facts->n_code_points = 0;
    facts->code_point = 0;
    facts->number = 0;
    if (text.size == 0)
        return;
    uint32_t flags = read_code_points(text, facts);
    flags |= read_brackets(text, (flags & PYE_TEXT_MARK) != 0, &facts->number);
    facts->flags = (uint16_t)flags;
}
