/* Pages that are wanted of mapped files: listed in any order, then sorted and merged into runs. */
#pragma once

#include <stdbool.h>

#include "base/map.h"

/* A run: number of the file, first page, and its pages less one, from the highest bit down. Sorted, they are in the order of
 * the files. */
#define PYE_RUN_BITS 8
#define PYE_RUN_PAGE_BITS 36
#define PYE_RUN_MAX_FILES (UINT64_C(1) << (64 - PYE_RUN_PAGE_BITS - PYE_RUN_BITS))

static inline size_t pye_run_file(uint64_t run) { return (size_t)(run >> (PYE_RUN_PAGE_BITS + PYE_RUN_BITS)); }

static inline uint64_t pye_run_page(uint64_t run) {
    return run >> PYE_RUN_BITS & ((UINT64_C(1) << PYE_RUN_PAGE_BITS) - 1);
}

static inline uint64_t pye_run_pages(uint64_t run) { return (run & ((UINT64_C(1) << PYE_RUN_BITS) - 1)) + 1; }

/* All zero but the allocator to begin with. */
typedef struct pye_page_list {
    const pye_allocator *allocator;
    uint64_t *runs;
    size_t n;
    size_t max;
    bool distrusts; /* takes pages in even if they were seen */
} pye_page_list;

/* Adds the pages of bytes first .. first + n_bytes - 1 of a file, n_bytes at least 1, that were not seen in memory. */
pye_status pye_page_list_want(pye_page_list *list, const pye_map *map, uint64_t first, uint64_t n_bytes,
                              pye_error *error);

/* Sorts the list; each page is in it once then, adjacent ones together in a run. False if memory is short. */
bool pye_page_list_merge(pye_page_list *list);

void pye_page_list_free(pye_page_list *list);
