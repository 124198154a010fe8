#include "base/budget.h"

#include <inttypes.h>

#include "base/memory.h"
#include "base/paging.h"
#include "base/status.h"
#include "base/system_error.h"
#include "base/threads.h"

/* On a fault the system maps up to this many pages around the one that is wanted, aligned to that number. */
#define PAGES_AROUND 16

/* Words that the hand looks at in one step: their pages' entries in the pagemap fill 4 KiB. */
#define STEP_WORDS 8
#define STEP_PAGES (STEP_WORDS * PYE_WORD_PAGES)
_Static_assert(STEP_PAGES <= PYE_RESIDENCY_PAGES, "a step is one question");

/* This fraction of a budget is left for pages that come unasked, and are not known before the hand finds them: neighbours
 * of a page that was taken out while it was in use, a header. */
#define RESERVE 16

struct pye_budget {
    const pye_allocator *allocator;
    _Atomic(uint64_t) *epoch;
    uint64_t limit_bytes;
    uint64_t limit; /* pages that are counted */
    unsigned shift;
    _Atomic(int64_t) held; /* pages: the bits of all maps, and what is reserved */
    _Atomic(uint64_t) n_evicted;
    _Atomic(pye_handle) residency; /* of this process */
    _Atomic(uint64_t) owner;
    pye_mutex lock; /* of the hand */
    pye_map **maps;
    size_t n_maps;
    size_t max_maps;
    size_t hand_map;
    uint64_t hand_word;
    uint64_t round; /* of the hand over all maps */
};

pye_status pye_budget_open(pye_budget **budget, const pye_allocator *allocator, uint64_t limit_bytes,
                           _Atomic(uint64_t) *epoch, pye_error *error) {
    if (limit_bytes < PYE_BUDGET_LEAST_BYTES)
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET,
                        "a memory budget of %" PRIu64 " bytes is too small: the least is %" PRIu64, limit_bytes,
                        PYE_BUDGET_LEAST_BYTES);
    pye_handle residency;
    char words[PYE_SYSTEM_TEXT_BYTES];
    int code = pye_residency_open(&residency);
    if (code != 0)
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET,
                        "a memory budget needs %s: %s; open the file without a budget", pye_residency_source,
                        pye_system_text(code, words));
    pye_budget *opened = pye_allocate_zeros(allocator, sizeof *opened);
    if (opened == NULL || !pye_mutex_init(&opened->lock)) {
        pye_release(opened);
        pye_residency_close(residency);
        return pye_fail_memory(error, sizeof *opened);
    }
    uint64_t page_bytes = pye_page_bytes();
    opened->allocator = allocator;
    opened->epoch = epoch;
    opened->limit_bytes = limit_bytes;
    opened->limit = (limit_bytes - limit_bytes / RESERVE) / page_bytes;
    while (UINT64_C(1) << opened->shift < page_bytes)
        opened->shift++;
    atomic_init(&opened->residency, residency);
    atomic_init(&opened->owner, pye_process_self());
    *budget = opened;
    return PYE_OK;
}

void pye_budget_close(pye_budget *budget) {
    if (budget == NULL)
        return;
    pye_residency_close(atomic_load(&budget->residency));
    if (atomic_load(&budget->owner) == pye_process_self())
        pye_mutex_destroy(&budget->lock);
    pye_release(budget->maps);
    pye_release(budget);
}

pye_status pye_budget_add(pye_budget *budget, pye_map *map, pye_error *error) {
    pye_status status = pye_grow(budget->allocator, (void **)&budget->maps, &budget->max_maps, budget->n_maps,
                                 sizeof(pye_map *), error);
    if (status != PYE_OK)
        return status;
    budget->maps[budget->n_maps++] = map;
    return PYE_OK;
}

/* ------------------------------------------------------------------------------------------ counting */

static int64_t n_bits(uint64_t word) { return (int64_t)__builtin_popcountll(word); }

#define OWNER_CHANGES UINT64_C(0)

/* The child of a fork has nothing mapped yet, a pagemap of its own, and a lock that a thread of the parent's may hold for
 * ever. The first of its threads to come here sees to that; the others wait. */
static void begin_in_child(pye_budget *budget) {
    uint64_t self = pye_process_self(), owner = atomic_load(&budget->owner);
    while (owner != self) {
        if (owner != OWNER_CHANGES && atomic_compare_exchange_strong(&budget->owner, &owner, OWNER_CHANGES)) {
            pye_handle residency;
            if (pye_residency_open(&residency) == 0)
                pye_residency_close(atomic_exchange(&budget->residency, residency));
            (void)pye_mutex_init(&budget->lock);
            for (size_t i = 0; i < budget->n_maps; i++)
                for (uint64_t word = 0; word < pye_pages_n_words(&budget->maps[i]->pages); word++)
                    atomic_store(&budget->maps[i]->pages.held[word], 0);
            atomic_store(&budget->held, 0);
            atomic_store(&budget->owner, self);
        }
        owner = atomic_load(&budget->owner);
    }
}

/* Bit i of bits[i / 64] of pages first .. first + n - 1, n at most STEP_PAGES: whether it is mapped. False where the system
 * does not say. */
static bool look(const pye_budget *budget, const pye_map *map, uint64_t first, uint64_t n, uint64_t *bits) {
    const uint8_t *base = map->base + (first << budget->shift);
    return pye_residency_look(atomic_load(&budget->residency), base, (size_t)n, bits);
}

/* Counts what is mapped of words first .. first + n - 1, n at most STEP_WORDS. Where the system does not say, what was
 * counted is what is known. */
static void recount(pye_budget *budget, const pye_map *map, uint64_t first, uint64_t n) {
    uint64_t bits[STEP_WORDS];
    uint64_t n_pages = map->pages.n_pages - first * PYE_WORD_PAGES;
    if (n_pages > n * PYE_WORD_PAGES)
        n_pages = n * PYE_WORD_PAGES;
    if (!look(budget, map, first * PYE_WORD_PAGES, n_pages, bits))
        return;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t before = atomic_exchange(&map->pages.held[first + i], bits[i]);
        (void)atomic_fetch_add(&budget->held, n_bits(bits[i]) - n_bits(before));
    }
}

/* ---------------------------------------------------------------------------------------- the clock */

/* Unmaps the pages of a word whose bits are set, a system call for each run of them. */
static void unmap_pages(const pye_budget *budget, const pye_map *map, uint64_t word, uint64_t victims) {
    for (unsigned i = 0; i < PYE_WORD_PAGES;) {
        if ((victims >> i & 1) == 0) {
            i++;
            continue;
        }
        unsigned end = i + 1;
        while (end < PYE_WORD_PAGES && (victims >> end & 1) != 0)
            end++;
        uint64_t page = word * PYE_WORD_PAGES + i;
        pye_view_drop(map->base + (page << budget->shift), (size_t)(end - i) << budget->shift);
        i = end;
    }
}

static void unmap(pye_budget *budget, const pye_map *map, uint64_t word, uint64_t victims) {
    if (victims == 0)
        return;
    unmap_pages(budget, map, word, victims);
    uint64_t before = atomic_fetch_and(&map->pages.held[word], ~victims);
    (void)atomic_fetch_sub(&budget->held, n_bits(before & victims));
    (void)atomic_fetch_add_explicit(&budget->n_evicted, (uint64_t)n_bits(victims), memory_order_relaxed);
}

/* Pages that nothing was known of, such as those of a header, are looked for in one round of this many. */
#define ROUNDS_BLIND 4

static bool is_worth_a_look(const pye_budget *budget, const pye_map *map, uint64_t first, uint64_t n) {
    uint64_t any = budget->round % ROUNDS_BLIND == 0;
    for (uint64_t word = first; word < first + n; word++)
        any |= atomic_load_explicit(&map->pages.held[word], memory_order_relaxed);
    return any != 0;
}

/* One step of the hand: what was seen since it last came by stays, until it comes by again. */
static void step(pye_budget *budget) {
    const pye_map *map = budget->maps[budget->hand_map];
    uint64_t n_words = pye_pages_n_words(&map->pages);
    uint64_t first = budget->hand_word;
    uint64_t n = n_words - first < STEP_WORDS ? n_words - first : STEP_WORDS;
    if (is_worth_a_look(budget, map, first, n)) {
        recount(budget, map, first, n);
        for (uint64_t word = first; word < first + n; word++) {
            uint64_t held = atomic_load(&map->pages.held[word]);
            unmap(budget, map, word, held & ~atomic_exchange(&map->pages.seen[word], 0));
        }
        (void)atomic_fetch_add(budget->epoch, 1);
    }
    budget->hand_word = first + n;
    if (budget->hand_word < n_words)
        return;
    budget->hand_word = 0;
    budget->hand_map = (budget->hand_map + 1) % budget->n_maps;
    budget->round += budget->hand_map == 0;
}

static uint64_t n_steps_round(const pye_budget *budget) {
    uint64_t n = 0;
    for (size_t i = 0; i < budget->n_maps; i++)
        n += pye_pages_n_words(&budget->maps[i]->pages) / STEP_WORDS + 1;
    return n;
}

/* A little more than necessary, so that not every page that is mapped has to wait for another to go. After two rounds
 * nothing is left but what others have reserved. */
static void evict(pye_budget *budget) {
    int64_t enough = (int64_t)(budget->limit - budget->limit / 64);
    pye_mutex_lock(&budget->lock);
    for (uint64_t left = 2 * n_steps_round(budget); left > 0 && atomic_load(&budget->held) > enough; left--)
        step(budget);
    pye_mutex_unlock(&budget->lock);
}

uint64_t pye_budget_reserve(pye_budget *budget, const pye_map *map, uint64_t first, uint64_t n) {
    begin_in_child(budget);
    uint64_t n_around = 2 * (PAGES_AROUND - 1);
    int64_t added = (int64_t)n_around;
    /* Counted before they are mapped, so that no other thread takes them for neighbours of its own. */
    for (uint64_t word = first / PYE_WORD_PAGES; word <= (first + n - 1) / PYE_WORD_PAGES; word++) {
        uint64_t wanted = pye_pages_mask(word, first, first + n);
        added += n_bits(wanted & ~atomic_fetch_or(&map->pages.held[word], wanted));
    }
    if (atomic_fetch_add(&budget->held, added) + added > (int64_t)budget->limit)
        evict(budget);
    return n_around;
}

/* The bits of one word out of those that look() found from page `from` on. */
static uint64_t mapped_of(const uint64_t *bits, uint64_t from, uint64_t word) {
    uint64_t begin = word * PYE_WORD_PAGES;
    if (from >= begin)
        return bits[0] << (from - begin);
    uint64_t skip = begin - from;
    uint64_t low = bits[skip / PYE_WORD_PAGES] >> skip % PYE_WORD_PAGES;
    return skip % PYE_WORD_PAGES == 0
               ? low
               : low | bits[skip / PYE_WORD_PAGES + 1] << (PYE_WORD_PAGES - skip % PYE_WORD_PAGES);
}

/* The neighbours that came along of their own go again at once: in a table whose rows are wanted at random they would take
 * most of the budget. */
void pye_budget_settle(pye_budget *budget, const pye_map *map, uint64_t first, uint64_t n, uint64_t n_reserved) {
    uint64_t from = first - first % PAGES_AROUND, end = first + n - 1;
    end = end - end % PAGES_AROUND + PAGES_AROUND;
    if (end > map->pages.n_pages)
        end = map->pages.n_pages;
    uint64_t bits[STEP_WORDS];
    bool is_known = look(budget, map, from, end - from, bits);
    for (uint64_t word = from / PYE_WORD_PAGES; word <= (end - 1) / PYE_WORD_PAGES; word++) {
        uint64_t mapped = is_known ? mapped_of(bits, from, word) : pye_pages_mask(word, from, end);
        uint64_t wanted = pye_pages_mask(word, first, first + n) & mapped;
        uint64_t before =
            atomic_fetch_or(&map->pages.held[word], wanted); /* the hand may have come by meanwhile */
        (void)atomic_fetch_add(&budget->held, n_bits(wanted & ~before));
        unmap_pages(budget, map, word, pye_pages_mask(word, from, end) & mapped & ~(before | wanted));
    }
    (void)atomic_fetch_sub(&budget->held, (int64_t)n_reserved);
}

void pye_budget_leave(pye_budget *budget, const pye_map *map, uint64_t first, uint64_t n) {
    begin_in_child(budget);
    uint64_t last = (first + n - 1) / PYE_WORD_PAGES;
    for (uint64_t word = first / PYE_WORD_PAGES; word <= last; word += STEP_WORDS) {
        uint64_t n_words = last - word + 1 < STEP_WORDS ? last - word + 1 : STEP_WORDS;
        recount(budget, map, word, n_words);
        for (uint64_t i = word; i < word + n_words; i++) {
            uint64_t unseen = atomic_load(&map->pages.held[i]) & ~atomic_load(&map->pages.seen[i]);
            unmap(budget, map, i, unseen & pye_pages_mask(i, first, first + n));
        }
    }
}

uint64_t pye_budget_batch_pages(const pye_budget *budget) { return budget->limit / 4; }

void pye_budget_count(const pye_budget *budget, pye_budget_counts *counts) {
    int64_t held = atomic_load(&budget->held);
    *counts = (pye_budget_counts){
        .limit_bytes = budget->limit_bytes,
        .held_bytes = held > 0 ? (uint64_t)held << budget->shift : 0,
        .n_evicted = atomic_load_explicit(&budget->n_evicted, memory_order_relaxed),
    };
}
