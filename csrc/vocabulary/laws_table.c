/* The hash folds 16 bytes at a time through a 64 x 64 -> 128 bit product, each factor mixed with a secret half of the
 * key or with the state, and ends with the length; the table is at most two thirds full. */
#include "vocabulary/laws.h"

#include <string.h>

#include "base/memory.h"
#include "base/status.h"

static uint64_t fold(uint64_t a, uint64_t b) {
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

uint64_t pye_text_hash(const pye_text_table *table, const char *text, size_t n_bytes) {
    uint64_t state = table->key[0] ^ (uint64_t)n_bytes * 0x9E3779B97F4A7C15u;
    for (; n_bytes > 16; text += 16, n_bytes -= 16) {
        uint64_t words[2];
        memcpy(words, text, sizeof words);
        state = fold(words[0] ^ table->key[1], words[1] ^ state);
    }
    uint64_t low = 0;
    uint64_t high = 0;
    if (n_bytes >= 8) { /* the two words overlap where fewer than 16 bytes are left */
        memcpy(&low, text, 8);
        memcpy(&high, text + n_bytes - 8, 8);
    } else if (n_bytes >= 4) {
        uint32_t half;
        memcpy(&half, text, 4);
        low = half;
        memcpy(&half, text + n_bytes - 4, 4);
        high = half;
    } else {
        for (size_t i = 0; i < n_bytes; i++)
            low = low << 8 | (uint8_t)text[i];
    }
    return fold(fold(low ^ table->key[1], high ^ state) ^ table->key[0], 0xD6E8FEB86659FD93u);
}

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

static void insert_batch(pye_text_table *table, const pye_string *texts, uint64_t first, uint64_t n,
                         pye_token_facts *facts) {
    uint64_t hashes[PYE_LAWS_BATCH];
    /* The slots lie all over memory: all of a batch are on their way before the first is needed. */
    for (uint64_t i = 0; i < n; i++) {
        if (texts[i].size > table->max_bytes)
            table->max_bytes = texts[i].size;
        hashes[i] = pye_text_hash(table, texts[i].data, texts[i].size);
        __builtin_prefetch(&table->slots[hashes[i] & table->mask], 1, 3);
    }
    for (uint64_t i = 0; facts != NULL && i < n; i++)
        pye_text_facts(texts[i], &facts[first + i]);
    for (uint64_t i = 0; i < n; i++)
        insert(table, hashes[i], first + i, facts == NULL ? NULL : &facts[first + i].first_id);
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
    table->slots = pye_allocate_zeros(&vocabulary->model->allocator, (size_t)n_slots * sizeof *table->slots);
    if (table->slots == NULL)
        return pye_fail_memory(error, n_slots * sizeof *table->slots);
    pye_choose_key(table->key, table->slots);
    for (uint64_t first = 0; first < n_tokens; first += PYE_LAWS_BATCH) {
        uint64_t n = n_tokens - first < PYE_LAWS_BATCH ? n_tokens - first : PYE_LAWS_BATCH;
        pye_string texts[PYE_LAWS_BATCH];
        pye_status status = pye_array_strings(vocabulary->model, &vocabulary->tokens, first, n, texts, error);
        if (status != PYE_OK)
            return status;
        insert_batch(table, texts, first, n, facts);
    }
    return PYE_OK;
}

void pye_text_table_free(pye_text_table *table) { pye_release(table->slots); }
