/* The table of all tokens' texts: at most two thirds full. The hash of each token lies behind the slots. */
#include "vocabulary/laws.h"

#include <stdatomic.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"

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

/* What one text tells by itself, and its hash: shared out among threads in batches. */
typedef struct text_job {
    pye_text_table *table;
    const pye_vocabulary *vocabulary;
    uint64_t *hashes;
    pye_token_facts *facts;
    _Atomic(uint64_t) next;
    atomic_size_t max_bytes;
    atomic_bool failed;
    pye_watch watch;
    bool has_forked;
    pye_status status; /* of the first that failed, which wrote `error` */
    pye_error *error;
} text_job;

static pye_status read_batch(text_job *job, uint64_t first, uint64_t n, pye_error *error) {
    pye_string texts[PYE_LAWS_BATCH];
    const pye_vocabulary *vocabulary = job->vocabulary;
    pye_status status = pye_array_strings(vocabulary->model, &vocabulary->tokens, first, n, texts, error);
    if (status != PYE_OK)
        return status;
    size_t longest = 0;
    for (uint64_t i = 0; i < n; i++) {
        longest = texts[i].size > longest ? texts[i].size : longest;
        job->hashes[first + i] = pye_text_hash(job->table, texts[i].data, texts[i].size);
        if (job->facts != NULL)
            pye_text_facts(texts[i], &job->facts[first + i]);
    }
    size_t known = atomic_load(&job->max_bytes);
    while (longest > known && !atomic_compare_exchange_weak(&job->max_bytes, &known, longest))
        ;
    return PYE_OK;
}

static void read_texts(void *context) {
    text_job *job = context;
    uint64_t n_tokens = job->vocabulary->tokens.n_elements;
    while (!atomic_load(&job->failed)) {
        uint64_t first = atomic_fetch_add(&job->next, PYE_LAWS_BATCH);
        if (first >= n_tokens)
            return;
        pye_error error;
        uint64_t n = n_tokens - first < PYE_LAWS_BATCH ? n_tokens - first : PYE_LAWS_BATCH;
        pye_status status = read_batch(job, first, n, &error);
        if (status != PYE_OK && !atomic_exchange(&job->failed, true)) {
            job->status = status;
            if (job->error != NULL)
                *job->error = error;
        }
        if (!pye_watch_is_caller(&job->watch))
            continue;
        if (pye_watch_stops(&job->watch) && !atomic_exchange(&job->failed, true))
            job->status = pye_fail_interrupted(job->error);
        job->has_forked = pye_watch_has_forked(&job->watch);
        if (job->has_forked)
            return;
    }
}

/* In order of id, so that of equal texts the first has its slot. The slots lie all over memory: some are on their way
 * while others are filled. */
static void insert_all(pye_text_table *table, const uint64_t *hashes, uint64_t n_tokens, pye_token_facts *facts) {
    for (uint64_t i = 0; i < n_tokens; i++) {
        if (n_tokens - i > PREFETCHED)
            __builtin_prefetch(&table->slots[hashes[i + PREFETCHED] & table->mask], 1, 3);
        insert(table, hashes[i], i, facts == NULL ? NULL : &facts[i].first_id);
    }
}

static pye_status fill(pye_text_table *table, const pye_vocabulary *vocabulary, pye_token_facts *facts,
                       uint64_t *hashes, pye_error *error) {
    pye_model *model = vocabulary->model;
    uint64_t n_tokens = vocabulary->tokens.n_elements;
    text_job job = {.table = table,
                    .vocabulary = vocabulary,
                    .hashes = hashes,
                    .facts = facts,
                    .status = PYE_OK,
                    .error = error};
    atomic_init(&job.next, 0);
    atomic_init(&job.max_bytes, 0);
    atomic_init(&job.failed, false);
    size_t n_threads = pye_pool_threads(0, n_tokens / TOKENS_A_THREAD);
    job.watch = pye_watch_begin(&model->interrupt);
    pye_pool_run(&model->pool, &model->allocator, n_threads, read_texts, &job);
    while (job.has_forked) { /* the child does all of it */
        job.has_forked = false;
        job.watch = pye_watch_begin(&model->interrupt);
        atomic_store(&job.next, 0);
        read_texts(&job);
    }
    if (job.status == PYE_OK)
        insert_all(table, hashes, n_tokens, facts);
    table->max_bytes = atomic_load(&job.max_bytes);
    return job.status;
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
    size_t n_bytes = (size_t)(n_slots + n_tokens) * sizeof *table->slots;
    table->slots = pye_allocate(allocator, n_bytes);
    if (table->slots == NULL)
        return pye_fail_memory(error, n_bytes);
    pye_want_large_pages(table->slots, n_bytes);
    memset(table->slots, 0, (size_t)n_slots * sizeof *table->slots);
    pye_choose_key(table->key, table->slots);
    return fill(table, vocabulary, facts, table->slots + n_slots, error);
}

void pye_text_table_free(pye_text_table *table) { pye_release(table->slots); }
