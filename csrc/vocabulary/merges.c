/* A batch at a time, so that the table's slots are fetched ahead. */
#include "vocabulary/merges.h"

#include <string.h>

#include "base/portions.h"
#include "base/status.h"

/* Below this a thread costs more than it saves. */
#define MERGES_A_THREAD 32768

typedef struct merge_hashes {
    uint64_t left;
    uint64_t right;
    uint64_t product;
    bool is_whole; /* it has two parts */
} merge_hashes;

static merge_hashes hash_merge(const pye_text_table *table, pye_string merge) {
    const char *space = merge.size < 2 ? NULL : memchr(merge.data + 1, ' ', merge.size - 1);
    if (space == NULL)
        return (merge_hashes){.is_whole = false};
    size_t n_left = (size_t)(space - merge.data), n_right = merge.size - n_left - 1;
    merge_hashes hashes = {.is_whole = true, .right = pye_text_table_hash(table, space + 1, n_right)};
    pye_universal_hash product = pye_universal_begin(&table->key);
    pye_universal_add(&table->key, &product, merge.data, n_left);
    hashes.left = pye_universal_end(&table->key, &product);
    pye_universal_add(&table->key, &product, space + 1, n_right);
    hashes.product = pye_universal_end(&table->key, &product);
    pye_text_table_prefetch(table, hashes.left);
    pye_text_table_prefetch(table, hashes.right);
    pye_text_table_prefetch(table, hashes.product);
    return hashes;
}

static uint8_t judge_merge(uint32_t left, uint32_t right, uint32_t product) {
    uint32_t unknown = (left == PYE_NO_TOKEN ? (uint32_t)PYE_MERGE_LEFT_UNKNOWN : 0u) |
                       (right == PYE_NO_TOKEN ? (uint32_t)PYE_MERGE_RIGHT_UNKNOWN : 0u) |
                       (product == PYE_NO_TOKEN ? (uint32_t)PYE_MERGE_PRODUCT_UNKNOWN : 0u);
    bool late = unknown == 0 && (left >= product || right >= product);
    return (uint8_t)(unknown | (late ? (uint32_t)PYE_MERGE_LATE : 0u));
}

typedef struct merge_job {
    const pye_text_table *table;
    const pye_vocabulary *vocabulary;
    const pye_value *merges;
    const pye_vocabulary_facts *out;
} merge_job;

static pye_status resolve_batch(void *context, uint64_t first, uint64_t n, pye_error *error) {
    const merge_job *job = context;
    pye_string texts[PYE_TOKEN_BATCH];
    merge_hashes hashes[PYE_TOKEN_BATCH];
    pye_status status = pye_array_strings(job->vocabulary->model, job->merges, first, n, texts, error);
    if (status != PYE_OK)
        return status;
    for (uint64_t i = 0; i < n; i++)
        hashes[i] = hash_merge(job->table, texts[i]);
    for (uint64_t i = 0; i < n; i++) {
        bool is_whole = hashes[i].is_whole;
        uint32_t left = is_whole ? pye_text_table_find(job->table, hashes[i].left) : PYE_NO_TOKEN;
        uint32_t right = is_whole ? pye_text_table_find(job->table, hashes[i].right) : PYE_NO_TOKEN;
        uint32_t product = is_whole ? pye_text_table_find(job->table, hashes[i].product) : PYE_NO_TOKEN;
        job->out->products[first + i] = product;
        job->out->merge_flags[first + i] = judge_merge(left, right, product);
    }
    return PYE_OK;
}

pye_status pye_merges_resolve(const pye_text_table *table, const pye_vocabulary *vocabulary,
                              const pye_value *merges, const pye_vocabulary_facts *out, pye_error *error) {
    pye_model *model = vocabulary->model;
    merge_job job = {table, vocabulary, merges, out};
    const pye_portions portions = {.pool = &model->pool,
                                   .allocator = &model->allocator,
                                   .interrupt = &model->interrupt,
                                   .n_threads = pye_pool_threads(0, merges->n_elements / MERGES_A_THREAD),
                                   .n_items = merges->n_elements,
                                   .portion = PYE_TOKEN_BATCH,
                                   .work = resolve_batch,
                                   .context = &job};
    return pye_portions_run(&portions, error);
}

pye_status pye_merges_first(const pye_vocabulary *vocabulary, const pye_vocabulary_facts *out, pye_error *error) {
    uint64_t n_tokens = vocabulary->tokens.n_elements;
    size_t n_bytes = (size_t)n_tokens / 8 + 1;
    uint8_t *made = pye_allocate_zeros(&vocabulary->model->allocator, n_bytes); /* a bit a token */
    if (made == NULL)
        return pye_fail_memory(error, n_bytes);
    made[n_tokens / 8] = (uint8_t)(1u << n_tokens % 8); /* and one for PYE_NO_TOKEN */
    uint64_t n_left = n_tokens < out->n_merges ? n_tokens : out->n_merges;
    uint32_t *next = out->first_merges;
    /* Without a branch on whether a merge is a first one, which nothing could predict. */
    for (uint64_t i = 0; i < out->n_merges && n_left > 0; i++) {
        uint64_t product = out->products[i] == PYE_NO_TOKEN ? n_tokens : out->products[i];
        uint32_t is_first = ~(uint32_t)made[product / 8] >> product % 8 & 1u;
        made[product / 8] |= (uint8_t)(1u << product % 8);
        *next = (uint32_t)i;
        next += is_first;
        n_left -= is_first;
    }
    *out->n_first_merges = (uint64_t)(next - out->first_merges);
    pye_release(made);
    return PYE_OK;
}
