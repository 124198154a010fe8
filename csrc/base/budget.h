/* Keeps the pages that this process has mapped of some files within a number of bytes.
 *
 * A clock: pages that were used since its hand last came by stay, all others are unmapped. Their bytes remain in the
 * system's page cache for as long as it likes, so that a page that is wanted again too soon costs a fault, not a read.
 * What is mapped the system alone knows, which maps neighbours of a page along with it: the truth is read from
 * /proc/self/pagemap wherever a page was mapped and wherever the hand comes by. */
#pragma once

#include "base/map.h"

typedef struct pye_budget pye_budget;

/* The least there is: what the threads that read have mapped at one time, and as much again for the rows they fetch. */
#define PYE_BUDGET_LEAST_BYTES (UINT64_C(16) << 20)

typedef struct pye_budget_counts {
    uint64_t limit_bytes;
    uint64_t held_bytes; /* of the mappings, as far as is known */
    uint64_t n_evicted;  /* pages that were unmapped */
} pye_budget_counts;

/* PYE_ERROR_ARGUMENT for a limit below PYE_BUDGET_LEAST_BYTES, or where the system cannot say what is mapped. The hand adds
 * to `epoch`, which lives as long, after it took seen bits. */
pye_status pye_budget_open(pye_budget **budget, const pye_allocator *allocator, uint64_t limit_bytes,
                           _Atomic(uint64_t) *epoch, pye_error *error);
void pye_budget_close(pye_budget *budget); /* NULL is allowed */

/* Counts the pages of this mapping, which has to avoid large pages, too. Not while other threads use the budget. The map has
 * to live as long. */
pye_status pye_budget_add(pye_budget *budget, pye_map *map, pye_error *error);

/* Before pages first .. first + n - 1 are mapped: counts them, and makes room for them and for the neighbours that may come
 * along. Returns how many those are, for pye_budget_settle. */
uint64_t pye_budget_reserve(pye_budget *budget, const pye_map *map, uint64_t first, uint64_t n);

/* After that: unmaps the neighbours. */
void pye_budget_settle(pye_budget *budget, const pye_map *map, uint64_t first, uint64_t n, uint64_t n_reserved);

/* Unmaps pages first .. first + n - 1 but for those that were seen since the hand came by. */
void pye_budget_leave(pye_budget *budget, const pye_map *map, uint64_t first, uint64_t n);

/* How many pages may be wanted at a time, so that none is unmapped before it was read. */
uint64_t pye_budget_batch_pages(const pye_budget *budget);

void pye_budget_count(const pye_budget *budget, pye_budget_counts *counts);
