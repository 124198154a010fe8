/* Which pages of a mapped file are believed to be in memory: a bit a page, so that a gather of rows that are there asks
 * nobody. A belief may be wrong, since the system takes pages back without a word: whoever acts on one notices that it
 * takes long, and forgets. Nothing but time depends on these bits; the bytes always come through the mapping. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pyembed.h"

#define PYE_WORD_PAGES 64 /* pages that share a word of bits */

typedef _Atomic(uint64_t) pye_page_word;

typedef struct pye_pages {
    pye_page_word *seen; /* found in memory lately; NULL: of this file nobody needs to ask */
    pye_page_word *held; /* counted in a budget as mapped by this process; NULL without one */
    uint64_t n_pages;
    unsigned shift; /* a page is 1 << shift bytes */
} pye_pages;

/* Begins to keep bits for a mapping of n_bytes, none set. */
pye_status pye_pages_open(pye_pages *pages, const pye_allocator *allocator, uint64_t n_bytes, bool with_budget,
                          pye_error *error);
void pye_pages_close(pye_pages *pages);

static inline uint64_t pye_pages_n_words(const pye_pages *pages) {
    return (pages->n_pages + PYE_WORD_PAGES - 1) / PYE_WORD_PAGES;
}

/* Whether a page was seen in memory and not forgotten since. */
static inline bool pye_page_is_seen(const pye_pages *pages, uint64_t page) {
    uint64_t word = atomic_load_explicit(&pages->seen[page / PYE_WORD_PAGES], memory_order_relaxed);
    return (word >> page % PYE_WORD_PAGES & 1) != 0;
}

/* The same of every page of bytes first .. first + n_bytes - 1 of the file; n_bytes is at least 1. */
static inline bool pye_pages_are_seen(const pye_pages *pages, uint64_t first, uint64_t n_bytes) {
    uint64_t page = first >> pages->shift, last = (first + n_bytes - 1) >> pages->shift;
    bool all = pye_page_is_seen(pages, page);
    while (page < last)
        all &= pye_page_is_seen(pages, ++page);
    return all;
}

/* The same, a word at a time: for many pages. */
bool pye_pages_are_all_seen(const pye_pages *pages, uint64_t first, uint64_t n_bytes);

static inline bool pye_page_is_held(const pye_pages *pages, uint64_t page) {
    uint64_t word = atomic_load_explicit(&pages->held[page / PYE_WORD_PAGES], memory_order_relaxed);
    return (word >> page % PYE_WORD_PAGES & 1) != 0;
}

void pye_pages_see(const pye_pages *pages, uint64_t page, uint64_t n);

/* Forgets everything that was seen. */
void pye_pages_forget(const pye_pages *pages);

/* The bits of those of pages first .. end - 1 that lie in word number `word`; none, perhaps. */
uint64_t pye_pages_mask(uint64_t word, uint64_t first, uint64_t end);
