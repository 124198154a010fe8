/* Text to id: an open-addressing table of (hash, id), built in one pass over the tokens.
 *
 * The texts come from an untrusted file, so the hash is keyed with bytes that the file's author
 * cannot know: nobody can make all tokens collide. */
#include "vocabulary/index.h"

#include <inttypes.h>

#include "base/random_key.h"
#include "base/siphash.h"
#include "base/status.h"
#include "base/text.h"
#include "format/model.h"

#define BATCH 256

struct pye_token_index {
    const pye_model *model;
    const pye_value *tokens;
    uint64_t key[2];
    uint64_t mask;   /* number of slots less one; a power of two less one */
    uint64_t *slots; /* high half: of the hash; low half: id + 1, or 0 for a free slot */
};

static pye_string text_at(const pye_token_index *index, uint64_t id) {
    pye_string text = {"", 0};
    (void)pye_array_strings(index->model, index->tokens, id, 1, &text, NULL);
    return text;
}

/* The slot that holds `text`, or the free one where it belongs. */
static uint64_t find_slot(const pye_token_index *index, pye_string text, uint64_t hash) {
    uint64_t slot = hash & index->mask;
    while (index->slots[slot] != 0) {
        uint64_t id = (index->slots[slot] & UINT32_MAX) - 1;
        if (index->slots[slot] >> 32 == hash >> 32 && pye_string_compare(text_at(index, id), text) == 0)
            break;
        slot = (slot + 1) & index->mask;
    }
    return slot;
}

static pye_status insert_all(pye_token_index *index, pye_error *error) {
    pye_watch watch = pye_watch_begin(&index->model->interrupt);
    pye_string texts[BATCH];
    uint64_t hashes[BATCH];
    uint64_t n_tokens = index->tokens->n_elements;
    for (uint64_t first = 0; first < n_tokens; first += BATCH) {
        uint64_t n = n_tokens - first < BATCH ? n_tokens - first : BATCH;
        if (pye_array_strings(index->model, index->tokens, first, n, texts, NULL) != PYE_OK)
            return PYE_OK; /* only if the file was overwritten since it was opened: those tokens cannot be found */
        /* Slots are scattered over memory: those of a batch are fetched before the first is needed. */
        for (uint64_t i = 0; i < n; i++) {
            hashes[i] = pye_siphash(index->key, texts[i].data, texts[i].size);
            __builtin_prefetch(&index->slots[hashes[i] & index->mask], 1, 3);
        }
        for (uint64_t i = 0; i < n; i++) {
            uint64_t slot = find_slot(index, texts[i], hashes[i]);
            if (index->slots[slot] == 0)
                index->slots[slot] = hashes[i] >> 32 << 32 | (first + i + 1);
        }
        if (pye_watch_stops(&watch))
            return pye_fail_interrupted(error);
    }
    return PYE_OK;
}

pye_status pye_token_index_build(const pye_model *model, const pye_value *tokens, pye_token_index **built,
                                 pye_error *error) {
    uint64_t n_slots = 8;
    while (n_slots / 4 * 3 < tokens->n_elements)
        n_slots *= 2;
    pye_token_index *index = pye_allocate(&model->allocator, sizeof *index);
    uint64_t *slots = pye_allocate_zeros(&model->allocator, (size_t)n_slots * sizeof *slots);
    if (index == NULL || slots == NULL) {
        pye_release(index);
        pye_release(slots);
        return pye_fail(error, PYE_ERROR_MEMORY, PYE_NO_OFFSET, "cannot allocate the index of %" PRIu64 " tokens",
                        tokens->n_elements);
    }
    index->model = model;
    index->tokens = tokens;
    pye_random_key(index->key, sizeof index->key);
    index->mask = n_slots - 1;
    index->slots = slots;
    pye_status status = insert_all(index, error);
    if (status != PYE_OK) {
        pye_token_index_free(index);
        return status;
    }
    *built = index;
    return PYE_OK;
}

void pye_token_index_free(pye_token_index *index) {
    if (index == NULL)
        return;
    pye_release(index->slots);
    pye_release(index);
}

uint64_t pye_token_index_find(const pye_token_index *index, pye_string text) {
    uint64_t slot = find_slot(index, text, pye_siphash(index->key, text.data, text.size));
    return index->slots[slot] == 0 ? UINT64_MAX : (index->slots[slot] & UINT32_MAX) - 1;
}
