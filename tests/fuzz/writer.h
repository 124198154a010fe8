/* For targets whose input is not a file itself: takes inputs apart, and writes GGUF files. */
#ifndef PYE_TESTS_FUZZ_WRITER_H
#define PYE_TESTS_FUZZ_WRITER_H

#include <stdlib.h>
#include <string.h>

#include "harness.h"

/* A list of strings, each after its length in a byte; the number of them, at most `most`. */
static inline size_t fuzz_split(const uint8_t *data, size_t size, pye_string *strings, size_t most) {
    size_t n = 0;
    for (size_t at = 0; at < size && n < most; n++) {
        size_t length = data[at++];
        if (length > size - at)
            length = size - at;
        strings[n] = (pye_string){(const char *)data + at, length};
        at += length;
    }
    return n;
}

static inline bool fuzz_are_equal(pye_string a, pye_string b) {
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* Which of the strings is the first that is equal; `n` if none is. */
static inline size_t fuzz_search(const pye_string *strings, size_t n, pye_string wanted) {
    size_t at = 0;
    while (at < n && !fuzz_are_equal(strings[at], wanted))
        at++;
    return at;
}

typedef struct fuzz_writer {
    uint8_t *bytes;
    size_t size;
    size_t room;
    bool big_endian;
} fuzz_writer;

static inline void fuzz_put(fuzz_writer *to, const void *bytes, size_t n) {
    if (n > to->room - to->size) {
        to->room = 2 * to->room + n + 256;
        to->bytes = realloc(to->bytes, to->room);
        fuzz_require(to->bytes != NULL, "there is memory");
    }
    if (n > 0)
        memcpy(to->bytes + to->size, bytes, n);
    to->size += n;
}

static inline void fuzz_put_number(fuzz_writer *to, uint64_t number, size_t n_bytes) {
    uint8_t bytes[8];
    for (size_t i = 0; i < n_bytes; i++)
        bytes[to->big_endian ? n_bytes - 1 - i : i] = (uint8_t)(number >> (8 * i));
    fuzz_put(to, bytes, n_bytes);
}

static inline void fuzz_put_string(fuzz_writer *to, pye_string string) {
    fuzz_put_number(to, string.size, 8);
    fuzz_put(to, string.data, string.size);
}

/* What comes before the entries and the tensors. */
static inline void fuzz_put_start(fuzz_writer *to, uint64_t n_tensors, uint64_t n_entries) {
    fuzz_put(to, "GGUF", 4);
    fuzz_put_number(to, 3, 4);
    fuzz_put_number(to, n_tensors, 8);
    fuzz_put_number(to, n_entries, 8);
}

/* An array's key, type and length; the elements follow. */
static inline void fuzz_put_array(fuzz_writer *to, const char *key, pye_value_type element_type, uint64_t n) {
    fuzz_put_string(to, (pye_string){key, strlen(key)});
    fuzz_put_number(to, PYE_VALUE_ARRAY, 4);
    fuzz_put_number(to, (uint64_t)element_type, 4);
    fuzz_put_number(to, n, 8);
}

static inline void fuzz_put_strings(fuzz_writer *to, const char *key, const pye_string *strings, size_t n) {
    fuzz_put_array(to, key, PYE_VALUE_STRING, n);
    for (size_t i = 0; i < n; i++)
        fuzz_put_string(to, strings[i]);
}

static inline void fuzz_save(fuzz_writer *from, char path[FUZZ_PATH_BYTES], const char *name) {
    fuzz_write(path, name, from->bytes, from->size);
    free(from->bytes);
}

#endif
