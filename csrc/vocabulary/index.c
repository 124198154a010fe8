/* Text to id: an open-addressing table of (hash, id), built in one pass over the tokens.
 *
 * The texts come from an untrusted file, so the hash is keyed with bytes that the file's author
 * cannot know: nobody can make all tokens collide. */
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/siphash.h"
#include "vocabulary/vocabulary.h"

#define BATCH 256

struct pye_token_index {
    uint64_t key[2];
    uint64_t mask;   /* number of slots less one; a power of two less one */
    uint64_t *slots; /* high half: of the hash; low half: id + 1, or 0 for a free slot */
};

void pye_choose_key(uint64_t key[2], const void *address) {
    int fd = open("/dev/urandom", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, key, 2 * sizeof *key);
    if (fd >= 0)
        (void)close(fd);
    if (n == (ssize_t)(2 * sizeof *key))
        return;
    struct timespec now = {0};
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    key[0] = (uint64_t)(uintptr_t)address;
    key[1] = (uint64_t)now.tv_nsec;
}

static pye_string text_at(const pye_vocabulary *vocabulary, uint64_t id) {
    pye_string text = {"", 0};
    (void)pye_array_strings(vocabulary->model, &vocabulary->tokens, id, 1, &text, NULL);
    return text;
}

/* The slot that holds `text`, or the free one where it belongs. */
static uint64_t find_slot(const pye_token_index *index, const pye_vocabulary *vocabulary, pye_string text,
                          uint64_t hash) {
    uint64_t slot = hash & index->mask;
    while (index->slots[slot] != 0) {
        uint64_t id = (index->slots[slot] & UINT32_MAX) - 1;
        if (index->slots[slot] >> 32 == hash >> 32 && pye_string_compare(text_at(vocabulary, id), text) == 0)
            break;
        slot = (slot + 1) & index->mask;
    }
    return slot;
}

static pye_status insert_all(pye_token_index *index, const pye_vocabulary *vocabulary, pye_error *error) {
    pye_watch watch = pye_watch_begin(&vocabulary->model->interrupt);
    pye_string texts[BATCH];
    uint64_t hashes[BATCH];
    uint64_t n_tokens = vocabulary->tokens.n_elements;
    for (uint64_t first = 0; first < n_tokens; first += BATCH) {
        uint64_t n = n_tokens - first < BATCH ? n_tokens - first : BATCH;
        if (pye_array_strings(vocabulary->model, &vocabulary->tokens, first, n, texts, NULL) != PYE_OK)
            return PYE_OK; /* only if the file was overwritten since it was opened: those tokens cannot be found */
        /* The slots lie all over memory: all of a batch are on their way before the first is needed. */
        for (uint64_t i = 0; i < n; i++) {
            hashes[i] = pye_siphash(index->key, texts[i].data, texts[i].size);
            __builtin_prefetch(&index->slots[hashes[i] & index->mask], 1, 3);
        }
        for (uint64_t i = 0; i < n; i++) {
            uint64_t slot = find_slot(index, vocabulary, texts[i], hashes[i]);
            if (index->slots[slot] == 0)
                index->slots[slot] = hashes[i] >> 32 << 32 | (first + i + 1);
        }
        if (pye_watch_stops(&watch))
            return pye_fail_interrupted(error);
    }
    return PYE_OK;
}

pye_status pye_token_index_build(const pye_vocabulary *vocabulary, pye_token_index **built, pye_error *error) {
    uint64_t n_slots = 8;
    while (n_slots / 4 * 3 < vocabulary->tokens.n_elements)
        n_slots *= 2;
    pye_token_index *index = pye_allocate(&vocabulary->model->allocator, sizeof *index);
    uint64_t *slots = pye_allocate_zeros(&vocabulary->model->allocator, (size_t)n_slots * sizeof *slots);
    if (index == NULL || slots == NULL) {
        pye_release(index);
        pye_release(slots);
        return pye_fail(error, PYE_ERROR_MEMORY, PYE_NO_OFFSET, "cannot allocate the index of %" PRIu64 " tokens",
                        vocabulary->tokens.n_elements);
    }
    pye_choose_key(index->key, index);
    index->mask = n_slots - 1;
    index->slots = slots;
    pye_status status = insert_all(index, vocabulary, error);
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

uint64_t pye_token_index_find(const pye_token_index *index, const pye_vocabulary *vocabulary, pye_string text) {
    uint64_t slot = find_slot(index, vocabulary, text, pye_siphash(index->key, text.data, text.size));
    return index->slots[slot] == 0 ? UINT64_MAX : (index->slots[slot] & UINT32_MAX) - 1;
}
