#include "vocabulary/vocabulary.h"

#include <inttypes.h>
#include <string.h>

#include "base/sha256.h"
#include "base/status.h"

static pye_status find_tokens(const pye_model *model, pye_value *tokens, pye_error *error) {
    static const char key[] = "tokenizer.ggml.tokens";
    pye_status status = PYE_ERROR_NOT_FOUND;
    if (model->format == PYE_FORMAT_GGUF)
        status = pye_metadata_find(model, key, strlen(key), tokens, NULL);
    if (status == PYE_ERROR_IO)
        return pye_model_intact(model, error);
    if (status != PYE_OK)
        return pye_fail(error, PYE_ERROR_VOCABULARY, PYE_NO_OFFSET, "the file carries no vocabulary (no %s)", key);
    if (tokens->type != PYE_VALUE_ARRAY || (tokens->element_type != PYE_VALUE_STRING && tokens->n_elements > 0))
        return pye_fail(error, PYE_ERROR_VOCABULARY, tokens->offset, "%s is not an array of strings", key);
    if (tokens->n_elements >= UINT32_MAX)
        return pye_fail(error, PYE_ERROR_VOCABULARY, tokens->offset, "%" PRIu64 " tokens; ids have 32 bits",
                        tokens->n_elements);
    return PYE_OK;
}

/* An optional array of 32-bit numbers of two kinds, at least as long as the token list. */
static pye_status find_numbers(const pye_model *model, const char *key, int32_t kind, int32_t other_kind,
                               uint64_t n_tokens, pye_value *numbers, pye_error *error) {
    pye_status status = pye_metadata_find(model, key, strlen(key), numbers, NULL);
    if (status == PYE_ERROR_IO)
        return pye_model_intact(model, error);
    if (status != PYE_OK) {
        *numbers = (pye_value){.element_type = -1};
        return PYE_OK;
    }
    if (numbers->type != PYE_VALUE_ARRAY || (numbers->element_type != kind && numbers->element_type != other_kind))
        return pye_fail(error, PYE_ERROR_VOCABULARY, numbers->offset,
                        "%s is stored as value type %" PRId32 " of %" PRId32 ", not as an array of 32-bit numbers",
                        key, numbers->type, numbers->element_type);
    if (numbers->n_elements < n_tokens)
        return pye_fail(error, PYE_ERROR_VOCABULARY, numbers->offset,
                        "%s has %" PRIu64 " elements for %" PRIu64 " tokens", key, numbers->n_elements, n_tokens);
    return PYE_OK;
}

pye_status pye_vocabulary_open(pye_model *model, pye_vocabulary **vocabulary, pye_error *error) {
    pye_value tokens, scores, types;
    pye_status status = find_tokens(model, &tokens, error);
    if (status == PYE_OK)
        status = find_numbers(model, "tokenizer.ggml.scores", PYE_VALUE_F32, PYE_VALUE_I32, tokens.n_elements,
                              &scores, error);
    if (status == PYE_OK)
        status = find_numbers(model, "tokenizer.ggml.token_type", PYE_VALUE_I32, PYE_VALUE_U32, tokens.n_elements,
                              &types, error);
    if (status != PYE_OK)
        return status;
    pye_vocabulary *opened = pye_allocate(&model->allocator, sizeof *opened);
    if (opened == NULL)
        return pye_fail_memory(error, sizeof *opened);
    opened->model = model;
    opened->tokens = tokens;
    opened->scores = scores;
    opened->types = types;
    atomic_init(&opened->index, NULL);
    pye_model_retain(model);
    *vocabulary = opened;
    return PYE_OK;
}

void pye_vocabulary_close(pye_vocabulary *vocabulary) {
    if (vocabulary == NULL)
        return;
    pye_model *model = vocabulary->model;
    pye_token_index_free(atomic_load(&vocabulary->index));
    pye_release(vocabulary);
    pye_model_release(model);
}

uint64_t pye_vocabulary_n_tokens(const pye_vocabulary *vocabulary) { return vocabulary->tokens.n_elements; }

static pye_status read_scores(const pye_vocabulary *vocabulary, uint64_t first, uint64_t n, float *scores,
                              pye_error *error) {
    const pye_value *array = &vocabulary->scores;
    memset(scores, 0, (size_t)n * sizeof *scores);
    if (array->n_elements == 0)
        return PYE_OK;
    if (array->element_type == PYE_VALUE_F32)
        return pye_array_read(vocabulary->model, array, first, n, scores, error);
    int32_t whole[PYE_TOKEN_BATCH];
    pye_status status = pye_array_read(vocabulary->model, array, first, n, whole, error);
    for (uint64_t i = 0; status == PYE_OK && i < n; i++)
        scores[i] = (float)whole[i];
    return status;
}

static pye_status read_types(const pye_vocabulary *vocabulary, uint64_t first, uint64_t n, int32_t *types,
                             pye_error *error) {
    for (uint64_t i = 0; i < n; i++)
        types[i] = PYE_TOKEN_NORMAL;
    if (vocabulary->types.n_elements == 0)
        return PYE_OK;
    return pye_array_read(vocabulary->model, &vocabulary->types, first, n, types, error);
}

static pye_status read_batch(const pye_vocabulary *vocabulary, uint64_t first, uint64_t n, pye_token *out,
                             pye_error *error) {
    pye_string texts[PYE_TOKEN_BATCH];
    float scores[PYE_TOKEN_BATCH];
    int32_t types[PYE_TOKEN_BATCH];
    pye_status status = pye_array_strings(vocabulary->model, &vocabulary->tokens, first, n, texts, error);
    if (status == PYE_OK)
        status = read_scores(vocabulary, first, n, scores, error);
    if (status == PYE_OK)
        status = read_types(vocabulary, first, n, types, error);
    for (uint64_t i = 0; status == PYE_OK && i < n; i++)
        out[i] = (pye_token){texts[i], scores[i], types[i]};
    return status;
}

pye_status pye_vocabulary_tokens(const pye_vocabulary *vocabulary, uint64_t first, uint64_t n, pye_token *out,
                                 pye_error *error) {
    uint64_t n_tokens = vocabulary->tokens.n_elements;
    if (first > n_tokens || n > n_tokens - first)
        return pye_fail(error, PYE_ERROR_ID, 0,
                        "%" PRIu64 " tokens from id %" PRIu64 " on are not inside a vocabulary of %" PRIu64, n,
                        first, n_tokens);
    pye_status status = PYE_OK;
    for (uint64_t i = 0; i < n && status == PYE_OK; i += PYE_TOKEN_BATCH)
        status =
            read_batch(vocabulary, first + i, n - i < PYE_TOKEN_BATCH ? n - i : PYE_TOKEN_BATCH, out + i, error);
    if (status == PYE_OK && n == 0) /* asked after texts were copied */
        status = pye_model_intact(vocabulary->model, error);
    return status;
}

/* The first call builds the index; where two threads do at once, one of the equal indexes is dropped. */
static pye_status index_of(const pye_vocabulary *vocabulary, const pye_token_index **found, pye_error *error) {
    _Atomic(pye_token_index *) *place = (_Atomic(pye_token_index *) *)(uintptr_t)&vocabulary->index;
    pye_token_index *index = atomic_load(place);
    if (index == NULL) {
        pye_token_index *built = NULL;
        pye_status status = pye_token_index_build(vocabulary->model, &vocabulary->tokens, &built, error);
        if (status != PYE_OK)
            return status;
        if (atomic_compare_exchange_strong(place, &index, built))
            index = built;
        else
            pye_token_index_free(built);
    }
    *found = index;
    return PYE_OK;
}

pye_status pye_vocabulary_find(const pye_vocabulary *vocabulary, const char *text, size_t text_size, uint64_t *id,
                               pye_error *error) {
    pye_string wanted = {text, text_size};
    const pye_token_index *index = NULL;
    pye_status status = index_of(vocabulary, &index, error);
    if (status != PYE_OK)
        return status;
    uint64_t found = pye_token_index_find(index, wanted);
    /* A text that was found was compared with the file's bytes: unless it ends like what a file lost, they are there. */
    bool is_sure = found != UINT64_MAX && text_size > 0 && text[text_size - 1] != '\0';
    status = is_sure ? pye_model_undamaged(vocabulary->model, error) : pye_model_intact(vocabulary->model, error);
    if (status != PYE_OK)
        return status;
    char quoted[PYE_QUOTE_BYTES];
    if (found == UINT64_MAX)
        return pye_fail(error, PYE_ERROR_NOT_FOUND, PYE_NO_OFFSET, "no token is stored as %s",
                        pye_quote(quoted, wanted));
    *id = found;
    return PYE_OK;
}

static void hash_token(pye_sha256 *hash, pye_string text) {
    uint8_t length[8];
    for (int i = 0; i < 8; i++)
        length[i] = (uint8_t)((uint64_t)text.size >> (8 * i));
    pye_sha256_add(hash, length, sizeof length);
    pye_sha256_add(hash, text.data, text.size);
}

pye_status pye_vocabulary_digest(const pye_vocabulary *vocabulary, char digest[PYE_DIGEST_BYTES],
                                 pye_error *error) {
    pye_sha256 hash;
    pye_sha256_begin(&hash);
    pye_string texts[PYE_TOKEN_BATCH];
    uint64_t n_tokens = vocabulary->tokens.n_elements;
    pye_watch watch = pye_watch_begin(&vocabulary->model->interrupt);
    for (uint64_t first = 0; first < n_tokens; first += PYE_TOKEN_BATCH) {
        if (pye_watch_stops(&watch))
            return pye_fail_interrupted(error);
        uint64_t n = n_tokens - first < PYE_TOKEN_BATCH ? n_tokens - first : PYE_TOKEN_BATCH;
        pye_status status = pye_array_strings(vocabulary->model, &vocabulary->tokens, first, n, texts, error);
        if (status != PYE_OK)
            return status;
        for (uint64_t i = 0; i < n; i++)
            hash_token(&hash, texts[i]);
    }
    pye_status status = pye_model_intact(vocabulary->model, error);
    if (status != PYE_OK)
        return status;
    pye_sha256_text(&hash, digest);
    return PYE_OK;
}
