/* The best k of many scores: higher first, and of equal ones the lower id. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct pye_top_entry {
    uint64_t id;
    float score; /* never NaN */
} pye_top_entry;

/* A heap whose root is the worst of its entries; entries[0 .. k - 1] belong to the caller. */
typedef struct pye_top {
    pye_top_entry *entries;
    size_t n;
    size_t k;
} pye_top;

/* False for what would not be kept: a cheap question, which most rows fail. */
bool pye_top_wants(const pye_top *top, float score, uint64_t id);

/* Keeps an entry that pye_top_wants. */
void pye_top_add(pye_top *top, float score, uint64_t id);

/* Leaves the entries in order, the best one first; nothing may be added afterwards. */
void pye_top_sort(pye_top *top);
