/* The input is a list of tokens, each after its length in a byte: what the index finds must be what a search finds. */
#include <stdlib.h>
#include <string.h>

#include "harness.h"

enum { MAX_TOKENS = 512 };

typedef struct writer {
    uint8_t *bytes;
    size_t size;
} writer;

static void put(writer *to, const void *bytes, size_t n) {
    memcpy(to->bytes + to->size, bytes, n);
    to->size += n;
}

static void put_number(writer *to, uint64_t number, size_t n_bytes) {
    for (size_t i = 0; i < n_bytes; i++) {
        uint8_t byte = (uint8_t)(number >> (8 * i));
        put(to, &byte, 1);
    }
}

static size_t split(const uint8_t *data, size_t size, pye_string tokens[MAX_TOKENS]) {
    size_t n = 0;
    for (size_t at = 0; at < size && n < MAX_TOKENS; n++) {
        size_t length = data[at++];
        if (length > size - at)
            length = size - at;
        tokens[n] = (pye_string){(const char *)data + at, length};
        at += length;
    }
    return n;
}

static bool are_equal(pye_string a, pye_string b) {
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

static void check(const pye_vocabulary *vocabulary, const pye_string *tokens, size_t n, pye_string wanted) {
    size_t expected = 0;
    uint64_t id = 0;
    while (expected < n && !are_equal(tokens[expected], wanted))
        expected++;
    pye_status status = pye_vocabulary_find(vocabulary, wanted.data, wanted.size, &id, NULL);
    fuzz_require(expected == n ? status == PYE_ERROR_NOT_FOUND : status == PYE_OK && id == expected,
                 "the index finds what a search finds");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char key[] = "tokenizer.ggml.tokens";
    pye_string tokens[MAX_TOKENS];
    size_t n = split(data, size, tokens);
    writer file = {malloc(size + 9 * MAX_TOKENS + 128), 0};
    if (file.bytes == NULL)
        return 0;
    put(&file, "GGUF", 4);
    put_number(&file, 3, 4);
    put_number(&file, 0, 8);
    put_number(&file, 1, 8);
    put_number(&file, sizeof key - 1, 8);
    put(&file, key, sizeof key - 1);
    put_number(&file, PYE_VALUE_ARRAY, 4);
    put_number(&file, PYE_VALUE_STRING, 4);
    put_number(&file, n, 8);
    for (size_t i = 0; i < n; i++) {
        put_number(&file, tokens[i].size, 8);
        put(&file, tokens[i].data, tokens[i].size);
    }
    char path[FUZZ_PATH_BYTES];
    fuzz_write(path, "v.gguf", file.bytes, file.size);
    free(file.bytes);
    pye_model *model;
    pye_vocabulary *vocabulary;
    fuzz_require(pye_model_open(path, NULL, &model, NULL) == PYE_OK, "a list of tokens is a model");
    fuzz_require(pye_vocabulary_open(model, &vocabulary, NULL) == PYE_OK, "a model has its vocabulary");
    pye_model_close(model);
    for (size_t i = 0; i < n; i++) {
        pye_string shorter = {tokens[i].data, tokens[i].size / 2};
        check(vocabulary, tokens, n, tokens[i]);
        check(vocabulary, tokens, n, shorter);
    }
    pye_vocabulary_close(vocabulary);
    return 0;
}
