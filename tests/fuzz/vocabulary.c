/* The input is a list of tokens, each after its length in a byte: what the index finds must be what a search finds. */
#include "writer.h"

enum { MAX_TOKENS = 512 };

static void check(const pye_vocabulary *vocabulary, const pye_string *tokens, size_t n, pye_string wanted) {
    size_t expected = fuzz_search(tokens, n, wanted);
    uint64_t id = 0;
    pye_status status = pye_vocabulary_find(vocabulary, wanted.data, wanted.size, &id, NULL);
    fuzz_require(expected == n ? status == PYE_ERROR_NOT_FOUND : status == PYE_OK && id == expected,
                 "the index finds what a search finds");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    pye_string tokens[MAX_TOKENS];
    size_t n = fuzz_split(data, size, tokens, MAX_TOKENS);
    fuzz_writer file = {0};
    fuzz_put_start(&file, 0, 1);
    fuzz_put_strings(&file, "tokenizer.ggml.tokens", tokens, n);
    char path[FUZZ_PATH_BYTES];
    fuzz_save(&file, path, "v.gguf");
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
