#include "base/pages.h"

#include "base/mapping.h"
#include "base/memory.h"
#include "base/status.h"

pye_status pye_pages_open(pye_pages *pages, const pye_allocator *allocator, uint64_t n_bytes, bool with_budget,
                          pye_error *error) {
    uint64_t page_bytes = pye_page_bytes();
    *pages = (pye_pages){.n_pages = (n_bytes - 1) / page_bytes + 1};
    while (UINT64_C(1) << pages->shift < page_bytes)
        pages->shift++;
    size_t wanted = (size_t)pye_pages_n_words(pages) * sizeof *pages->seen;
    pages->seen = pye_allocate_zeros(allocator, wanted);
    pages->held = with_budget ? pye_allocate_zeros(allocator, wanted) : NULL;
    if (pages->seen != NULL && (pages->held != NULL || !with_budget))
        return PYE_OK;
    pye_pages_close(pages);
    return pye_fail_memory(error, wanted);
}

void pye_pages_close(pye_pages *pages) {
    pye_release(pages->seen);
    pye_release(pages->held);
    pages->seen = pages->held = NULL;
}

uint64_t pye_pages_mask(uint64_t word, uint64_t first, uint64_t end) {
    uint64_t begin = word * PYE_WORD_PAGES;
    if (first >= begin + PYE_WORD_PAGES || end <= begin)
        return 0;
    uint64_t from = first > begin ? first - begin : 0;
    uint64_t upto = end - begin < PYE_WORD_PAGES ? end - begin : PYE_WORD_PAGES;
    return (UINT64_MAX << from) & (UINT64_MAX >> (PYE_WORD_PAGES - upto));
}

void pye_pages_see(const pye_pages *pages, uint64_t page, uint64_t n) {
    uint64_t end = page + n;
    for (uint64_t word = page / PYE_WORD_PAGES; word <= (end - 1) / PYE_WORD_PAGES; word++)
        (void)atomic_fetch_or_explicit(&pages->seen[word], pye_pages_mask(word, page, end), memory_order_relaxed);
}

void pye_pages_forget(const pye_pages *pages) {
    for (uint64_t word = 0; word < pye_pages_n_words(pages); word++)
        atomic_store_explicit(&pages->seen[word], 0, memory_order_relaxed);
}

bool pye_pages_are_all_seen(const pye_pages *pages, uint64_t first, uint64_t n_bytes) {
    uint64_t begin = first >> pages->shift, end = ((first + n_bytes - 1) >> pages->shift) + 1;
    for (uint64_t word = begin / PYE_WORD_PAGES; word <= (end - 1) / PYE_WORD_PAGES; word++) {
        uint64_t wanted = pye_pages_mask(word, begin, end);
        if ((atomic_load_explicit(&pages->seen[word], memory_order_relaxed) & wanted) != wanted)
            return false;
    }
    return true;
}
