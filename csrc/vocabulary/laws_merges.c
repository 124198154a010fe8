/* Merges, and cuts of tokens, looked up by text: a batch at a time, so that the table's slots are fetched ahead. */
#include <stdatomic.h>
#include <string.h>

#include "base/memory.h"
#include "base/status.h"
#include "base/utf8.h"
#include "vocabulary/laws.h"

/* Below this a thread costs more than it saves. */
#define MERGES_A_THREAD 32768
/* Tokens up to this length leave every thread room for a product of its own. */
#define MAX_SHARED_BYTES 65536

typedef struct merge_hashes {
    uint64_t left;
    uint64_t right;
    uint64_t product;
    bool whole;       /* it has two parts */
    bool has_product; /* which is no longer than the longest token */
} merge_hashes;

/* The product of the merge before, which many merges of one token share. */
typedef struct product_text {
    char *bytes; /* room for the longest token */
    size_t n;    /* SIZE_MAX before the first */
    uint64_t hash;
} product_text;

static uint64_t hash_product(const pye_text_table *table, pye_string left, pye_string right, product_text *last) {
    if (last->n == left.size + right.size && memcmp(last->bytes, left.data, left.size) == 0 &&
        memcmp(last->bytes + left.size, right.data, right.size) == 0)
        return last->hash;
    memcpy(last->bytes, left.data, left.size);
    memcpy(last->bytes + left.size, right.data, right.size);
    last->n = left.size + right.size;
    last->hash = pye_text_hash(table, last->bytes, last->n);
    pye_text_table_prefetch(table, last->hash);
    return last->hash;
}

/* A part or product that is longer than the longest token is no token. */
static merge_hashes hash_merge(const pye_text_table *table, pye_string merge, product_text *last) {
    merge_hashes hashes = {0};
    const char *space = merge.size < 2 ? NULL : memchr(merge.data + 1, ' ', merge.size - 1);
    if (space == NULL)
        return hashes;
    size_t n_left = (size_t)(space - merge.data);
    size_t n_right = merge.size - n_left - 1;
    hashes.whole = true;
    hashes.left = pye_text_hash(table, merge.data, n_left);
    hashes.right = pye_text_hash(table, space + 1, n_right);
    pye_text_table_prefetch(table, hashes.left);
    pye_text_table_prefetch(table, hashes.right);
    if (n_left + n_right <= table->max_bytes) {
        pye_string left = {merge.data, n_left}, right = {space + 1, n_right};
        hashes.product = hash_product(table, left, right, last);
        hashes.has_product = true;
    }
    return hashes;
}

static uint8_t judge_merge(uint32_t left, uint32_t right, uint32_t product) {
    uint32_t unknown = (left == PYE_NO_TOKEN ? (uint32_t)PYE_MERGE_LEFT_UNKNOWN : 0u) |
                       (right == PYE_NO_TOKEN ? (uint32_t)PYE_MERGE_RIGHT_UNKNOWN : 0u) |
                       (product == PYE_NO_TOKEN ? (uint32_t)PYE_MERGE_PRODUCT_UNKNOWN : 0u);
    bool late = unknown == 0 && (left >= product || right >= product);
    return (uint8_t)(unknown | (late ? (uint32_t)PYE_MERGE_LATE : 0u));
}

static pye_status resolve_batch(const pye_text_table *table, const pye_vocabulary *vocabulary,
                                const pye_value *merges, uint64_t first, uint64_t n, char *scratch,
                                const pye_vocabulary_facts *out, pye_error *error) {
    pye_string texts[PYE_LAWS_BATCH];
    merge_hashes hashes[PYE_LAWS_BATCH];
    pye_status status = pye_array_strings(vocabulary->model, merges, first, n, texts, error);
    if (status != PYE_OK)
        return status;
    product_text last = {scratch, SIZE_MAX, 0};
    for (uint64_t i = 0; i < n; i++)
        hashes[i] = hash_merge(table, texts[i], &last);
    for (uint64_t i = 0; i < n; i++) {
        uint32_t left = hashes[i].whole ? pye_text_table_find(table, hashes[i].left) : PYE_NO_TOKEN;
        uint32_t right = hashes[i].whole ? pye_text_table_find(table, hashes[i].right) : PYE_NO_TOKEN;
        uint32_t product = hashes[i].has_product ? pye_text_table_find(table, hashes[i].product) : PYE_NO_TOKEN;
        out->products[first + i] = product;
        out->merge_flags[first + i] = judge_merge(left, right, product);
    }
    return PYE_OK;
}

/* Merges are shared out in batches; each thread has its own room for products. */
typedef struct merge_job {
    const pye_text_table *table;
    const pye_vocabulary *vocabulary;
    const pye_value *merges;
    const pye_vocabulary_facts *out;
    char *scratch;
    size_t scratch_bytes; /* of each thread */
    _Atomic(uint64_t) next;
    atomic_size_t n_threads; /* that have begun */
    atomic_bool failed;
    pye_watch watch;
    bool has_forked;
    pye_status status; /* of the first that failed, which wrote `error` */
    pye_error *error;
} merge_job;

static void resolve_merges(void *context) {
    merge_job *job = context;
    char *scratch = job->scratch + atomic_fetch_add(&job->n_threads, 1) * job->scratch_bytes;
    uint64_t n_merges = job->merges->n_elements;
    while (!atomic_load(&job->failed)) {
        uint64_t first = atomic_fetch_add(&job->next, PYE_LAWS_BATCH);
        if (first >= n_merges)
            return;
        uint64_t n = n_merges - first < PYE_LAWS_BATCH ? n_merges - first : PYE_LAWS_BATCH;
        pye_error error;
        pye_status status =
            resolve_batch(job->table, job->vocabulary, job->merges, first, n, scratch, job->out, &error);
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

pye_status pye_merges_resolve(const pye_text_table *table, const pye_vocabulary *vocabulary,
                              const pye_value *merges, const pye_vocabulary_facts *out, pye_error *error) {
    bool is_shared = table->max_bytes <= MAX_SHARED_BYTES;
    size_t n_threads = pye_pool_threads(is_shared ? 0 : 1, merges->n_elements / MERGES_A_THREAD);
    size_t scratch_bytes = table->max_bytes + 1;
    pye_model *model = vocabulary->model;
    merge_job job = {.table = table,
                     .vocabulary = vocabulary,
                     .merges = merges,
                     .out = out,
                     .scratch = pye_allocate(&model->allocator, n_threads * scratch_bytes),
                     .scratch_bytes = scratch_bytes,
                     .status = PYE_OK,
                     .error = error};
    if (job.scratch == NULL)
        return pye_fail_memory(error, n_threads * scratch_bytes);
    atomic_init(&job.next, 0);
    atomic_init(&job.n_threads, 0);
    atomic_init(&job.failed, false);
    job.watch = pye_watch_begin(&model->interrupt);
    pye_pool_run(&model->pool, &model->allocator, n_threads, resolve_merges, &job);
    while (job.has_forked) { /* the child does all of it */
        job.has_forked = false;
        job.watch = pye_watch_begin(&model->interrupt);
        atomic_store(&job.next, 0);
        atomic_store(&job.n_threads, 0);
        resolve_merges(&job);
    }
    pye_release(job.scratch);
    return job.status;
}

pye_status pye_merges_first(const pye_vocabulary *vocabulary, const pye_vocabulary_facts *out, pye_error *error) {
    uint64_t n_tokens = vocabulary->tokens.n_elements;
    size_t n_bytes = (size_t)n_tokens / 8 + 1;
    uint8_t *made = pye_allocate_zeros(&vocabulary->model->allocator, n_bytes); /* one bit a token */
    if (made == NULL)
        return pye_fail_memory(error, n_bytes);
    made[n_tokens / 8] = (uint8_t)(1u << n_tokens % 8); /* and one for what is no token */
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

/* A cut of one token, on its way through the table. */
typedef struct cut {
    uint64_t hash; /* of the half that is looked up next */
    pye_string text;
    size_t n_left;
    uint32_t id;
    bool left_sooner;
} cut;

static bool is_one_code_point(pye_string text) {
    return text.size > 0 && pye_utf8_length((const uint8_t *)text.data, text.size) == text.size;
}

static bool is_sooner(uint32_t half_id, uint32_t id, pye_string half) {
    return half_id < id || is_one_code_point(half);
}

/* First all left halves, then the right halves of those that are tokens. */
static void count_cuts(const pye_text_table *table, cut *cuts, size_t n_cuts, pye_token_splits *out) {
    size_t n_kept = 0;
    for (size_t i = 0; i < n_cuts; i++) {
        cut one = cuts[i];
        uint32_t left = pye_text_table_find(table, one.hash);
        if (left == PYE_NO_TOKEN)
            continue;
        one.left_sooner = is_sooner(left, one.id, (pye_string){one.text.data, one.n_left});
        one.hash = pye_text_hash(table, one.text.data + one.n_left, one.text.size - one.n_left);
        pye_text_table_prefetch(table, one.hash);
        cuts[n_kept++] = one;
    }
    for (size_t i = 0; i < n_kept; i++) {
        const cut *one = &cuts[i];
        uint32_t right = pye_text_table_find(table, one->hash);
        if (right == PYE_NO_TOKEN)
            continue;
        pye_string half = {one->text.data + one->n_left, one->text.size - one->n_left};
        out[one->id].n++;
        out[one->id].n_sooner += one->left_sooner && is_sooner(right, one->id, half);
    }
}

typedef struct cut_batch {
    size_t n;
    cut cuts[PYE_LAWS_BATCH];
} cut_batch;

/* Puts the cuts of one token into the batch, and counts those of the batch whenever it is full. */
static void add_cuts(const pye_text_table *table, pye_string text, uint32_t id, cut_batch *batch,
                     pye_token_splits *out) {
    const uint8_t *bytes = (const uint8_t *)text.data;
    for (size_t at = 0; at < text.size;) {
        size_t n = pye_utf8_length(bytes + at, text.size - at);
        at += n;
        if (n == 0 || at >= text.size)
            break; /* 0 only if the file was overwritten since the text was found well-formed */
        uint64_t hash = pye_text_hash(table, text.data, at);
        pye_text_table_prefetch(table, hash);
        batch->cuts[batch->n++] = (cut){hash, text, at, id, false};
        if (batch->n == PYE_LAWS_BATCH) {
            count_cuts(table, batch->cuts, batch->n, out);
            batch->n = 0;
        }
    }
}

static bool is_well_formed(pye_string text) {
    for (size_t at = 0; at < text.size;) {
        size_t n = pye_utf8_length((const uint8_t *)text.data + at, text.size - at);
        if (n == 0)
            return false;
        at += n;
    }
    return true;
}

pye_status pye_splits_count(const pye_text_table *table, const pye_vocabulary *vocabulary, pye_token_splits *out,
                            pye_error *error) {
    cut_batch batch;
    batch.n = 0;
    pye_watch watch = pye_watch_begin(&vocabulary->model->interrupt);
    uint64_t n_tokens = vocabulary->tokens.n_elements;
    for (uint64_t first = 0; first < n_tokens; first += PYE_LAWS_BATCH) {
        if (pye_watch_stops(&watch))
            return pye_fail_interrupted(error);
        uint64_t n = n_tokens - first < PYE_LAWS_BATCH ? n_tokens - first : PYE_LAWS_BATCH;
        pye_string texts[PYE_LAWS_BATCH];
        pye_status status = pye_array_strings(vocabulary->model, &vocabulary->tokens, first, n, texts, error);
        if (status != PYE_OK)
            return status;
        for (uint64_t i = 0; i < n; i++) {
            bool cuttable = texts[i].size <= PYE_MAX_SPLIT_BYTES && is_well_formed(texts[i]);
            out[first + i] = cuttable ? (pye_token_splits){0, 0} : (pye_token_splits){PYE_NO_TOKEN, PYE_NO_TOKEN};
            if (cuttable)
                add_cuts(table, texts[i], (uint32_t)(first + i), &batch, out);
        }
    }
    count_cuts(table, batch.cuts, batch.n, out);
    return PYE_OK;
}
