#include "base/page_list.h"

#include "base/memory.h"

/* Adjacent pages are asked for together, up to this many. */
#define MAX_RUN 32

static uint64_t run_of(uint64_t file, uint64_t page, uint64_t n) {
    return file << (PYE_RUN_PAGE_BITS + PYE_RUN_BITS) | page << PYE_RUN_BITS | (n - 1);
}

static pye_status add_page(pye_page_list *list, const pye_map *map, uint64_t page, pye_error *error) {
    if (!list->distrusts && pye_page_is_seen(&map->pages, page))
        return PYE_OK;
    if (map->pages.held != NULL && pye_page_is_held(&map->pages, page)) {
        pye_pages_see(&map->pages, page, 1); /* the hand came by: it stays for another round */
        if (!list->distrusts)
            return PYE_OK;
    }
    pye_status status =
        pye_grow(list->allocator, (void **)&list->runs, &list->max, list->n, sizeof *list->runs, error);
    if (status == PYE_OK)
        list->runs[list->n++] = run_of(map->number, page, 1);
    return status;
}

pye_status pye_page_list_want(pye_page_list *list, const pye_map *map, uint64_t first, uint64_t n_bytes,
                              pye_error *error) {
    uint64_t last = (first + n_bytes - 1) >> map->pages.shift;
    pye_status status = PYE_OK;
    for (uint64_t page = first >> map->pages.shift; page <= last && status == PYE_OK; page++)
        status = add_page(list, map, page, error);
    return status;
}

#define DIGIT_BITS 11
#define N_DIGITS ((size_t)1 << DIGIT_BITS)

#define FEW_RUNS 64

static void sort_few(uint64_t *runs, size_t n) {
    for (size_t i = 1; i < n; i++) {
        uint64_t run = runs[i];
        size_t at = i;
        for (; at > 0 && runs[at - 1] > run; at--)
            runs[at] = runs[at - 1];
        runs[at] = run;
    }
}

/* By the digits that differ, from the lowest one up. False if memory is short. */
static bool sort(pye_page_list *list) {
    if (list->n <= FEW_RUNS) {
        sort_few(list->runs, list->n);
        return true;
    }
    uint64_t *from = list->runs, *to = pye_allocate(list->allocator, list->n * sizeof *to);
    if (to == NULL)
        return false;
    uint64_t differ = 0;
    for (size_t i = 1; i < list->n; i++)
        differ |= from[i] ^ from[0];
    for (unsigned shift = PYE_RUN_BITS; shift < 64; shift += DIGIT_BITS) {
        if ((differ >> shift & (N_DIGITS - 1)) == 0)
            continue;
        size_t begin[N_DIGITS + 1] = {0};
        for (size_t i = 0; i < list->n; i++)
            begin[(from[i] >> shift & (N_DIGITS - 1)) + 1]++;
        for (size_t i = 0; i < N_DIGITS; i++)
            begin[i + 1] += begin[i];
        for (size_t i = 0; i < list->n; i++)
            to[begin[from[i] >> shift & (N_DIGITS - 1)]++] = from[i];
        uint64_t *swap = from;
        from = to;
        to = swap;
    }
    list->runs = from;
    list->max = list->n;
    pye_release(to);
    return true;
}

/* Of a sorted list: each page once, adjacent ones together. */
static void merge(pye_page_list *list) {
    size_t n = 0;
    for (size_t i = 0; i < list->n; i++) {
        uint64_t *last = n > 0 ? &list->runs[n - 1] : NULL;
        bool is_near = last != NULL && pye_run_file(*last) == pye_run_file(list->runs[i]);
        uint64_t beyond = is_near ? pye_run_page(list->runs[i]) - pye_run_page(*last) : 0;
        if (is_near && beyond < pye_run_pages(*last))
            continue;
        if (is_near && beyond == pye_run_pages(*last) && beyond < MAX_RUN)
            ++*last;
        else
            list->runs[n++] = list->runs[i];
    }
    list->n = n;
}

bool pye_page_list_merge(pye_page_list *list) {
    if (!sort(list))
        return false;
    merge(list);
    return true;
}

void pye_page_list_free(pye_page_list *list) {
    pye_release(list->runs);
    list->runs = NULL;
    list->n = list->max = 0;
}
