/* Every allocation fails once: whatever is done then ends in PYE_ERROR_MEMORY, or well where there is another way, and the
 * next attempt ends well. Linked with --wrap for each function below; a sanitizer looks for leaks.
 *
 *     failures FILE...       prints how many allocations failed; exit status 1 at the first wrong answer
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pyembed.h"
#include "small_ngram.h"

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *memory, size_t size);
char *__real_strdup(const char *text);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *memory, size_t size);
char *__wrap_strdup(const char *text);

static long countdown = -1; /* allocations until the one that fails; negative: none does */

static bool fails_now(void) { return countdown >= 0 && countdown-- == 0; }

void *__wrap_malloc(size_t size) { return fails_now() ? NULL : __real_malloc(size); }
void *__wrap_calloc(size_t n, size_t size) { return fails_now() ? NULL : __real_calloc(n, size); }
void *__wrap_realloc(void *memory, size_t size) { return fails_now() ? NULL : __real_realloc(memory, size); }
char *__wrap_strdup(const char *text) { return fails_now() ? NULL : __real_strdup(text); }

typedef struct trial {
    const char *path;
    pye_load_mode mode;
    pye_model *model; /* opened beforehand, for what is done with an open one */
} trial;

static pye_status open_and_close(const trial *it, pye_error *error) {
    pye_open_options options = {.struct_bytes = sizeof options, .load_mode = it->mode, .guard = 1};
    pye_model *model;
    pye_status status = pye_model_open(it->path, &options, &model, error);
    if (status == PYE_OK)
        pye_model_close(model);
    return status;
}

enum { MAX_COLUMNS = 4096, MAX_TOKENS = 256 };

/* The first table of shards, else the first tensor. */
static pye_status open_first_table(const trial *it, pye_table **table, pye_table_info *info, pye_error *error) {
    pye_tensor tensor;
    size_t position = 0;
    pye_status status = pye_sharded_table_next(it->model, &position, &tensor.name, error);
    if (status == PYE_ERROR_NOT_FOUND)
        status = pye_tensor_at(it->model, 0, &tensor, error);
    if (status == PYE_OK)
        status = pye_table_open(it->model, tensor.name.data, tensor.name.size, table, error);
    if (status == PYE_OK)
        pye_table_get_info(*table, info);
    return status;
}

static pye_status gather(const trial *it, pye_error *error) {
    enum { N_IDS = 64 };
    static int32_t ids[N_IDS];
    static float out[N_IDS * MAX_COLUMNS];
    pye_table *table;
    pye_table_info info;
    pye_status status = open_first_table(it, &table, &info, error);
    if (status != PYE_OK)
        return status;
    pye_gather_options options = {.struct_bytes = sizeof options, .n_threads = 4};
    if (info.n_columns <= MAX_COLUMNS)
        status = pye_table_gather(table, ids, N_IDS, out, &options, error);
    pye_table_close(table);
    return status;
}

/* The best two of all rows but one, by cosine, which needs the norms. */
static pye_status scan(const trial *it, pye_error *error) {
    enum { N_QUERIES = 5, K = 2 };
    static float queries[N_QUERIES * MAX_COLUMNS], scores[N_QUERIES * K];
    static uint64_t ids[N_QUERIES * K], excluded[1];
    pye_table *table;
    pye_table_info info;
    pye_status status = open_first_table(it, &table, &info, error);
    if (status != PYE_OK)
        return status;
    pye_scan_options options = {.struct_bytes = sizeof options,
                                .metric = PYE_METRIC_COSINE,
                                .n_threads = 4,
                                .k = K,
                                .excluded = excluded,
                                .n_excluded = 1};
    if (info.n_columns <= MAX_COLUMNS && info.n_rows >= K)
        status = pye_table_scan(table, queries, N_QUERIES, &options, scores, ids, NULL, error);
    pye_table_close(table);
    return status;
}

static pye_status norms_and_faults(const trial *it, pye_error *error) {
    static const uint64_t key[2];
    pye_table *table;
    pye_table_info info;
    const float *norms;
    uint8_t faults;
    uint64_t hash;
    pye_status status = open_first_table(it, &table, &info, error);
    if (status != PYE_OK)
        return status;
    status = pye_table_norms(table, 4, &norms, error);
    if (status == PYE_OK)
        status = pye_table_check(table, 0, 1, &faults, key, &hash, error);
    pye_table_close(table);
    return status;
}

static pye_status find(const trial *it, pye_error *error) {
    pye_vocabulary *vocabulary;
    pye_token token;
    uint64_t id;
    char digest[PYE_DIGEST_BYTES];
    pye_status status = pye_vocabulary_open(it->model, &vocabulary, error);
    if (status == PYE_ERROR_VOCABULARY) /* a file without tokens */
        return PYE_OK;
    if (status != PYE_OK)
        return status;
    status = pye_vocabulary_tokens(vocabulary, 0, 1, &token, error);
    if (status == PYE_OK)
        status = pye_vocabulary_find(vocabulary, token.text.data, token.text.size, &id, error);
    if (status == PYE_OK)
        status = pye_vocabulary_digest(vocabulary, digest, error);
    pye_vocabulary_close(vocabulary);
    return status;
}

/* All facts, of the merges as many as there are. */
static pye_status examine(const trial *it, pye_error *error) {
    static const char key[] = "tokenizer.ggml.merges";
    static pye_token_facts tokens[MAX_TOKENS];
    static pye_token_splits splits[MAX_TOKENS];
    static uint32_t products[MAX_TOKENS], first_merges[MAX_TOKENS];
    static uint8_t merge_flags[MAX_TOKENS];
    static uint64_t n_first_merges;
    pye_vocabulary *vocabulary;
    pye_value merges;
    pye_vocabulary_facts facts = {.struct_bytes = sizeof facts, .tokens = tokens, .splits = splits};
    pye_status status = pye_vocabulary_open(it->model, &vocabulary, error);
    if (status == PYE_ERROR_VOCABULARY) /* a file without tokens */
        return PYE_OK;
    if (status != PYE_OK)
        return status;
    if (pye_metadata_find(it->model, key, sizeof key - 1, &merges, NULL) == PYE_OK) {
        facts.products = products;
        facts.merge_flags = merge_flags;
        facts.first_merges = first_merges;
        facts.n_first_merges = &n_first_merges;
        facts.n_merges = merges.n_elements;
    }
    if (pye_vocabulary_n_tokens(vocabulary) <= MAX_TOKENS && facts.n_merges <= MAX_TOKENS)
        status = pye_vocabulary_examine(vocabulary, &facts, error);
    pye_vocabulary_close(vocabulary);
    return status;
}

/* Of no file. */
static pye_status names(const trial *it, pye_error *error) {
    (void)it;
    pye_ngram_description description = small_description();
    pye_ngram *ngram;
    int are_in_range;
    pye_status status = pye_ngram_open(&description, &ngram, error);
    if (status != PYE_OK)
        return status;
    status = small_names(ngram, 1, 4, &are_in_range, error);
    pye_ngram_close(ngram);
    return status == PYE_OK && !are_in_range ? PYE_ERROR_ARGUMENT : status;
}

static void require(bool holds, const char *what, const trial *it, long n, const pye_error *error) {
    if (holds)
        return;
    printf("%s, mode %d, allocation %ld: %s: status %d: %s\n", it->path, (int)it->mode, n, what,
           (int)error->status, error->message);
    exit(1);
}

/* Until an attempt gets by without the allocation that was to fail. */
static long fail_each(const trial *it, const char *what, pye_status (*work)(const trial *it, pye_error *error)) {
    for (long n = 0;; n++) {
        pye_error error = {0};
        countdown = n;
        pye_status status = work(it, &error);
        bool was_reached = countdown < 0;
        countdown = -1;
        require(status == PYE_OK || (status == PYE_ERROR_MEMORY && error.message[0] != '\0'), what, it, n, &error);
        require(status == PYE_OK || error.status == status, what, it, n, &error);
        require(work(it, &error) == PYE_OK, what, it, n, &error);
        if (!was_reached)
            return n;
    }
}

int main(int argc, char **argv) {
    static const pye_load_mode modes[] = {PYE_LOAD_MMAP, PYE_LOAD_NONE, PYE_LOAD_DIRECT_IO};
    static const struct {
        const char *what;
        pye_status (*work)(const trial *it, pye_error *error);
    } works[] = {{"gather", gather},   {"scan", scan},     {"norms and faults", norms_and_faults},
                 {"vocabulary", find}, {"facts", examine}, {"names", names}};
    long n = 0;
    for (int i = 1; i < argc; i++) {
        for (size_t m = 0; m < sizeof modes / sizeof modes[0]; m++) {
            trial this_one = {.path = argv[i], .mode = modes[m]};
            pye_open_options options = {.struct_bytes = sizeof options, .load_mode = modes[m], .guard = 1};
            pye_error error = {0};
            n += fail_each(&this_one, "open", open_and_close);
            /* A model for each, so that every table, index and worker is made anew. */
            for (size_t k = 0; k < sizeof works / sizeof works[0]; k++) {
                require(pye_model_open(argv[i], &options, &this_one.model, &error) == PYE_OK, "open", &this_one,
                        -1, &error);
                n += fail_each(&this_one, works[k].what, works[k].work);
                pye_model_close(this_one.model);
            }
        }
    }
    printf("%ld allocations failed\n", n);
    return 0;
}
