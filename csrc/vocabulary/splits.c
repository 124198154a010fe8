/* A batch of cuts at a time, so that the table's slots are fetched ahead. */
#include "vocabulary/splits.h"

#include "base/utf8.h"

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
        one.hash = pye_text_table_hash(table, one.text.data + one.n_left, one.text.size - one.n_left);
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
    size_t n; /* below PYE_TOKEN_BATCH between tokens */
    cut cuts[PYE_TOKEN_BATCH + PYE_MAX_SPLIT_BYTES];
} cut_batch;

/* Puts the cuts of a text that is not too long into the batch; false, and none of them, if it is malformed. The hash of
 * each left half goes on where that of the one before stopped. */
static bool add_cuts(const pye_text_table *table, pye_string text, uint32_t id, cut_batch *batch) {
    pye_universal_hash left = pye_universal_begin(&table->key);
    size_t n_cuts = batch->n;
    for (size_t at = 0; at < text.size;) {
        size_t n = pye_utf8_length((const uint8_t *)text.data + at, text.size - at);
        if (n == 0)
            return false;
        if (at > 0) {
            uint64_t hash = pye_universal_end(&table->key, &left);
            pye_text_table_prefetch(table, hash);
            batch->cuts[n_cuts++] = (cut){hash, text, at, id, false};
        }
        pye_universal_add(&table->key, &left, text.data + at, n);
        at += n;
    }
    batch->n = n_cuts;
    return true;
}

pye_status pye_splits_count(const pye_text_table *table, const pye_vocabulary *vocabulary, pye_token_splits *out,
                            pye_error *error) {
    cut_batch batch;
    batch.n = 0;
    pye_watch watch = pye_watch_begin(&vocabulary->model->interrupt);
    uint64_t n_tokens = vocabulary->tokens.n_elements;
    for (uint64_t first = 0; first < n_tokens; first += PYE_TOKEN_BATCH) {
        if (pye_watch_stops(&watch))
            return pye_fail_interrupted(error);
        uint64_t n = n_tokens - first < PYE_TOKEN_BATCH ? n_tokens - first : PYE_TOKEN_BATCH;
        pye_string texts[PYE_TOKEN_BATCH];
        pye_status status = pye_array_strings(vocabulary->model, &vocabulary->tokens, first, n, texts, error);
        if (status != PYE_OK)
            return status;
        for (uint64_t i = 0; i < n; i++) {
            uint32_t id = (uint32_t)(first + i);
            bool is_cut = texts[i].size <= PYE_MAX_SPLIT_BYTES && add_cuts(table, texts[i], id, &batch);
            out[id] = is_cut ? (pye_token_splits){0, 0} : (pye_token_splits){PYE_NO_TOKEN, PYE_NO_TOKEN};
            if (batch.n >= PYE_TOKEN_BATCH) {
                count_cuts(table, batch.cuts, batch.n, out);
                batch.n = 0;
            }
        }
    }
    count_cuts(table, batch.cuts, batch.n, out);
    return PYE_OK;
}
