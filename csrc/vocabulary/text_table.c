#include "vocabulary/text_table.h"

#include <string.h>

#include "base/portions.h"
#include "base/random_key.h"
#include "base/status.h"
#include "vocabulary/text_facts.h"

/* Below this a thread costs more than it saves. */
#define TOKENS_A_THREAD 32768
#define PREFETCHED 16

static void insert(pye_text_table *table, uint64_t hash, uint64_t id, uint32_t *first_id) {
    uint64_t id_mask = ((uint64_t)1 << table->id_bits) - 1;
    uint64_t slot = hash & table->mask;
    while (table->slots[slot] != 0 && ((table->slots[slot] ^ hash) & ~id_mask) != 0)
        slot = (slot + 1) & table->mask;
    if (table->slots[slot] == 0)
        table->slots[slot] = (hash & ~id_mask) | (id + 1);
    if (first_id != NULL)
        *first_id = (uint32_t)((table->slots[slot] & id_mask) - 1);
}

/* What one text says by itself, and its hash. */
typedef struct text_job {
    const pye_text_table *table;
    const pye_vocabulary *vocabulary;
    uint64_t *hashes;
    pye_token_facts *facts;
} text_job;

static pye_status read_batch(void *context, uint64_t first, uint64_t n, pye_error *error) {
    const text_job *job = context;
    pye_string texts[PYE_TOKEN_BATCH];
    const pye_vocabulary *vocabulary = job->vocabulary;
    pye_status status = pye_array_strings(vocabulary->model, &vocabulary->tokens, first, n, texts, error);
    for (uint64_t i = 0; status == PYE_OK && i < n; i++) {
        job->hashes[first + i] = pye_text_table_hash(job->table, texts[i].data, texts[i].size);
        if (job->facts != NULL)
            pye_text_facts(texts[i], &job->facts[first + i]);
    }
    return status;
}

/* In order of id, so that of equal texts the first gets the slot. Slots are scattered over memory: some are fetched while
 * others are filled. */
static void insert_all(pye_text_table *table, const uint64_t *hashes, uint64_t n_tokens, pye_token_facts *facts) {
    for (uint64_t i = 0; i < n_tokens; i++) {
        if (n_tokens - i > PREFETCHED)
            __builtin_prefetch(&table->slots[hashes[i + PREFETCHED] & table->mask], 1, 3);
        insert(table, hashes[i], i, facts == NULL ? NULL : &facts[i].first_id);
    }
}

pye_status pye_text_table_build(pye_text_table *table, const pye_vocabulary *vocabulary, pye_token_facts *facts,
                                pye_error *error) {
    uint64_t n_tokens = vocabulary->tokens.n_elements;
    uint64_t n_slots = 8;
    while (n_slots / 3 * 2 < n_tokens)
        n_slots *= 2;
    *table = (pye_text_table){.mask = n_slots - 1, .id_bits = 1};
    while ((uint64_t)1 << table->id_bits <= n_tokens)
        table->id_bits++;
    const pye_allocator *allocator = &vocabulary->model->allocator;
    /* The hashes of all tokens follow the slots. */
    size_t n_bytes = (size_t)(n_slots + n_tokens) * sizeof *table->slots;
    table->slots = pye_allocate(allocator, n_bytes);
    if (table->slots == NULL)
        return pye_fail_memory(error, n_bytes);
    pye_want_large_pages(table->slots, n_bytes);
    memset(table->slots, 0, (size_t)n_slots * sizeof *table->slots);
    pye_random_key(&table->key, sizeof table->key);
    table->key.point &= PYE_UNIVERSAL_PRIME;
    table->key.factor &= PYE_UNIVERSAL_PRIME;
    table->key.addend &= PYE_UNIVERSAL_PRIME;
    text_job job = {table, vocabulary, table->slots + n_slots, facts};
    pye_model *model = vocabulary->model;
    const pye_portions portions = {.pool = &model->pool,
                                   .allocator = &model->allocator,
                                   .interrupt = &model->interrupt,
                                   .n_threads = pye_pool_threads(0, n_tokens / TOKENS_A_THREAD),
                                   .n_items = n_tokens,
                                   .portion = PYE_TOKEN_BATCH,
                                   .work = read_batch,
                                   .context = &job};
    pye_status status = pye_portions_run(&portions, error);
    if (status == PYE_OK)
        insert_all(table, job.hashes, n_tokens, facts);
    return status;
}

void pye_text_table_free(pye_text_table *table) { pye_release(table->slots); }
