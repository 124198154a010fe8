/* What the order laws of vocabularies need to know of texts: a private table of all tokens, made for one call.
 *
 * Unlike the index (index.c) it stores no text to compare with: a slot holds all the bits of a keyed 64-bit hash that
 * its place does not tell, so that two different texts are taken for one with a probability of about 2^-64 a look-up,
 * and nobody who does not know the key can choose texts for which it is larger. */
#ifndef PYE_VOCABULARY_LAWS_H
#define PYE_VOCABULARY_LAWS_H

#include <string.h>

#include "vocabulary/vocabulary.h"

#define PYE_LAWS_BATCH 256

typedef struct pye_text_table {
    uint64_t key[2];
    uint64_t mask;   /* number of slots less one; a power of two less one */
    uint64_t *slots; /* high bits: of the hash; low `id_bits`: id + 1, or 0 for a free slot */
    unsigned id_bits;
    size_t max_bytes; /* of the longest token */
} pye_text_table;

/* Enters all tokens of the vocabulary; with `facts`, fills those of each token on the way. */
pye_status pye_text_table_build(pye_text_table *table, const pye_vocabulary *vocabulary, pye_token_facts *facts,
                                pye_error *error);
void pye_text_table_free(pye_text_table *table);

static inline uint64_t pye_fold(uint64_t a, uint64_t b) {
    __extension__ typedef unsigned __int128 wide;
    wide product = (wide)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Folds 16 bytes at a time through a 64 x 64 -> 128 bit product, each factor mixed with a secret half of the key or with
 * the state, and ends with the length. */
static inline uint64_t pye_text_hash(const pye_text_table *table, const char *text, size_t n_bytes) {
    uint64_t state = table->key[0] ^ (uint64_t)n_bytes * 0x9E3779B97F4A7C15u;
    for (; n_bytes > 16; text += 16, n_bytes -= 16) {
        uint64_t words[2];
        memcpy(words, text, sizeof words);
        state = pye_fold(words[0] ^ table->key[1], words[1] ^ state);
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
    } else if (n_bytes > 0) { /* one, two or three bytes: first, middle and last are all of them */
        low = (uint64_t)(uint8_t)text[0] | (uint64_t)(uint8_t)text[n_bytes / 2] << 8 |
              (uint64_t)(uint8_t)text[n_bytes - 1] << 16;
    }
    return pye_fold(pye_fold(low ^ table->key[1], high ^ state) ^ table->key[0], 0xD6E8FEB86659FD93u);
}

static inline void pye_text_table_prefetch(const pye_text_table *table, uint64_t hash) {
    __builtin_prefetch(&table->slots[hash & table->mask], 0, 3);
}

/* The lowest id of the text with that hash, PYE_NO_TOKEN if there is none. */
static inline uint32_t pye_text_table_find(const pye_text_table *table, uint64_t hash) {
    uint64_t id_mask = ((uint64_t)1 << table->id_bits) - 1;
    for (uint64_t slot = hash & table->mask; table->slots[slot] != 0; slot = (slot + 1) & table->mask)
        if (((table->slots[slot] ^ hash) & ~id_mask) == 0)
            return (uint32_t)((table->slots[slot] & id_mask) - 1);
    return PYE_NO_TOKEN;
}

/* What one text tells by itself; `first_id` is left alone. */
void pye_text_facts(pye_string text, pye_token_facts *facts);

/* Fills the products and flags of all merges. */
pye_status pye_merges_resolve(const pye_text_table *table, const pye_vocabulary *vocabulary,
                              const pye_value *merges, const pye_vocabulary_facts *out, pye_error *error);

/* From the products, fills the merges that are the first to make theirs. */
pye_status pye_merges_first(const pye_vocabulary *vocabulary, const pye_vocabulary_facts *out, pye_error *error);

/* For each token how its text can be cut in two. */
pye_status pye_splits_count(const pye_text_table *table, const pye_vocabulary *vocabulary, pye_token_splits *out,
                            pye_error *error);

#endif
