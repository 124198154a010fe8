#include "table/top.h"

static bool is_better(pye_top_entry a, pye_top_entry b) {
    return a.score > b.score || (a.score == b.score && a.id < b.id);
}

bool pye_top_wants(const pye_top *top, float score, uint64_t id) {
    return top->n < top->k || (top->k > 0 && is_better((pye_top_entry){id, score}, top->entries[0]));
}

/* Puts `entry` where it belongs below a place that is free, `at`: the worse child moves up. */
static void sink(pye_top_entry *entries, size_t n, size_t at, pye_top_entry entry) {
    for (size_t child = 2 * at + 1; child < n; child = 2 * at + 1) {
        if (child + 1 < n && is_better(entries[child], entries[child + 1]))
            child++;
        if (!is_better(entry, entries[child]))
            break;
        entries[at] = entries[child];
        at = child;
    }
    entries[at] = entry;
}

static void rise(pye_top_entry *entries, size_t at, pye_top_entry entry) {
    while (at > 0 && is_better(entries[(at - 1) / 2], entry)) {
        entries[at] = entries[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    entries[at] = entry;
}

void pye_top_add(pye_top *top, float score, uint64_t id) {
    pye_top_entry entry = {id, score};
    if (top->n < top->k)
        rise(top->entries, top->n++, entry);
    else
        sink(top->entries, top->n, 0, entry);
}

void pye_top_sort(pye_top *top) {
    for (size_t n = top->n; n > 1; n--) {
        pye_top_entry worst = top->entries[0];
        sink(top->entries, n - 1, 0, top->entries[n - 1]);
        top->entries[n - 1] = worst;
    }
}
