/* Everything a model does with an allocator of the caller's, first with one that counts, then with one that fails at the
 * first, the second, the third ... allocation: each time the answer is a status, and nothing stays behind.
 *
 *     allocator MODEL    prints how many allocations there were; exit status 1 where something is wrong */
#include <pyembed.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "small_ngram.h"

typedef struct pool {
    atomic_size_t n_live;
    atomic_size_t n_calls;
    size_t failing; /* the call that fails; SIZE_MAX for none */
} pool;

static int fails(pool *self) { return atomic_fetch_add(&self->n_calls, 1) == self->failing; }

static void *allocate(size_t n_bytes, void *context) {
    pool *self = context;
    void *memory = fails(self) ? NULL : malloc(n_bytes);
    if (memory != NULL) {
        memset(memory, 0xA5, n_bytes); /* who expects zeros must have asked for them */
        atomic_fetch_add(&self->n_live, 1);
    }
    return memory;
}

static void *resize(void *memory, size_t n_bytes, void *context) {
    return fails(context) ? NULL : realloc(memory, n_bytes);
}

static void release(void *memory, void *context) {
    pool *self = context;
    atomic_fetch_sub(&self->n_live, 1);
    free(memory);
}

static pye_status use_table(pye_model *model) {
    pye_table *table;
    pye_status status = pye_table_open(model, "token_embd.weight", 17, &table, NULL);
    if (status != PYE_OK)
        return status;
    pye_table_info info;
    pye_table_get_info(table, &info);
    int32_t ids[64] = {0};
    float *rows = calloc(64 * (size_t)info.n_columns, sizeof *rows);
    pye_gather_options threads = {.struct_bytes = sizeof threads, .n_threads = 4};
    status = pye_table_gather(table, ids, 64, rows, &threads, NULL); /* without workers the caller works alone */
    float scores[3];
    uint64_t best[3];
    pye_scan_options options = {.struct_bytes = sizeof options, .metric = PYE_METRIC_COSINE, .k = 3};
    if (status == PYE_OK)
        status = pye_table_scan(table, rows, 1, &options, scores, best, NULL, NULL);
    free(rows);
    pye_table_close(table);
    return status;
}

static pye_status use_vocabulary(pye_model *model) {
    pye_vocabulary *vocabulary;
    pye_status status = pye_vocabulary_open(model, &vocabulary, NULL);
    if (status != PYE_OK)
        return status;
    uint64_t id;
    status = pye_vocabulary_find(vocabulary, "no such token", 13, &id, NULL);
    pye_vocabulary_close(vocabulary);
    return status == PYE_ERROR_NOT_FOUND ? PYE_OK : status;
}

static pye_status use_ngram(const pye_allocator *allocator) {
    pye_ngram_description description = small_description();
    description.allocator = allocator;
    pye_ngram *ngram;
    int are_in_range;
    pye_status status = pye_ngram_open(&description, &ngram, NULL);
    if (status != PYE_OK)
        return status;
    status = small_names(ngram, 3, 4, &are_in_range, NULL);
    pye_ngram_close(ngram);
    return status == PYE_OK && !are_in_range ? PYE_ERROR_ARGUMENT : status;
}

static pye_status use(const char *path, pool *from) {
    pye_allocator allocator = {allocate, resize, release, from};
    pye_open_options options = {.struct_bytes = sizeof options, .allocator = &allocator};
    pye_model *model;
    pye_status status = use_ngram(&allocator);
    if (status == PYE_OK)
        status = pye_model_open(path, &options, &model, NULL);
    memset(&allocator, 0, sizeof allocator); /* it was copied */
    if (status != PYE_OK)
        return status;
    status = use_table(model);
    if (status == PYE_OK)
        status = use_vocabulary(model);
    pye_model_close(model);
    return status;
}

int main(int argc, char **argv) {
    if (argc != 2)
        return 2;
    pool all = {.failing = SIZE_MAX};
    pye_status status = use(argv[1], &all);
    if (status != PYE_OK || all.n_live != 0)
        return printf("status %d, %zu blocks left\n", (int)status, (size_t)all.n_live), 1;
    size_t n_refused = 0;
    for (size_t failing = 0; failing < all.n_calls; failing++) {
        pool some = {.failing = failing};
        status = use(argv[1], &some);
        n_refused += status == PYE_ERROR_MEMORY;
        if ((status != PYE_OK && status != PYE_ERROR_MEMORY) || some.n_live != 0)
            return printf("allocation %zu: status %d, %zu blocks left\n", failing, (int)status,
                          (size_t)some.n_live),
                   1;
    }
    printf("%zu allocations, %zu of them refused in turn\n", (size_t)all.n_calls, n_refused);
    return n_refused == 0;
}
