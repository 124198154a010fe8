/* From the text of a token to its id, for the length of one examination.
 *
 * Unlike the index (index.h) the table keeps no text to compare with. A slot holds an id and, of its text's hash, all bits
 * but the lowest j, where 2^j is the first power of two above the number of tokens; a text is found where these agree. So a
 * lookup that compares c slots, at most three in the mean, takes another text for the one wanted with a probability of at
 * most c (m + 2^j)/2^61, for texts of up to 7 m bytes (base/universal_hash.h has the proof). An examination of 262,144
 * tokens and 515,000 merges makes at most 4 million lookups: one of them is wrong in less than one of 300,000 examinations,
 * whoever chose the texts. */
#pragma once

#include "base/universal_hash.h"
#include "vocabulary/vocabulary.h"

typedef struct pye_text_table {
    pye_universal_key key;
    uint64_t mask;   /* number of slots less one; a power of two less one */
    uint64_t *slots; /* high bits: of the hash; low `id_bits`: id + 1, or 0 for a free slot */
    unsigned id_bits;
} pye_text_table;

/* Enters all tokens of the vocabulary; with `facts`, fills those of each token on the way. */
pye_status pye_text_table_build(pye_text_table *table, const pye_vocabulary *vocabulary, pye_token_facts *facts,
                                pye_error *error);
void pye_text_table_free(pye_text_table *table);

static inline uint64_t pye_text_table_hash(const pye_text_table *table, const char *text, size_t n_bytes) {
    pye_universal_hash hash = pye_universal_begin(&table->key);
    pye_universal_add(&table->key, &hash, text, n_bytes);
    return pye_universal_end(&table->key, &hash);
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
