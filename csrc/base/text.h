/* Texts of a file (pye_string: bytes and their number) and of this program (NUL-terminated). */
#pragma once

#include <stdbool.h>
#include <string.h>

#include "pyembed.h"

/* A NUL-terminated text as a pye_string, which points to it. */
static inline pye_string pye_text(const char *text) { return (pye_string){text, strlen(text)}; }

/* By bytes, a prefix before what it is a prefix of. */
static inline int pye_string_compare(pye_string a, pye_string b) {
    size_t n = a.size < b.size ? a.size : b.size;
    int order = n == 0 ? 0 : memcmp(a.data, b.data, n);
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

static inline bool pye_ends_with(const char *text, const char *end) {
    size_t n = strlen(text);
    size_t m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static inline bool pye_string_starts(pye_string text, pye_string start) {
    return text.size >= start.size && (start.size == 0 || memcmp(text.data, start.data, start.size) == 0);
}

static inline bool pye_string_ends(pye_string text, pye_string end) {
    return text.size >= end.size &&
           (end.size == 0 || memcmp(text.data + (text.size - end.size), end.data, end.size) == 0);
}

/* What follows the first n bytes. */
static inline pye_string pye_string_after(pye_string text, size_t n) {
    return (pye_string){text.data + n, text.size - n};
}
