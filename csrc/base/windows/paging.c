#include "base/paging.h"

#include "base/windows/system.h"

#include <psapi.h>

/* Whether a page is in this process's working set: one that is not may still be in memory, and is then had without a disk. So
 * "absent" is said too often, which costs a hint and a read of a byte. */
pye_presence pye_page_ask(pye_handle file, const uint8_t *base, uint64_t offset) {
    (void)file;
    PSAPI_WORKING_SET_EX_INFORMATION page = {.VirtualAddress = (void *)(uintptr_t)(base + offset)};
    if (!K32QueryWorkingSetEx(GetCurrentProcess(), &page, sizeof page))
        return PYE_PRESENCE_UNKNOWN;
    return page.VirtualAttributes.Valid ? PYE_PRESENT : PYE_ABSENT;
}

/* Those that needed a disk are not counted apart. */
uint64_t pye_n_major_faults(void) { return 0; }

void pye_view_expect_random(const uint8_t *base, size_t n_bytes) {
    (void)base, (void)n_bytes; /* a fault brings a few neighbours along, whatever is said */
}

void pye_file_expect_random(pye_handle file) { (void)file; /* it would have to be said when it is opened */ }

void pye_view_expect(const uint8_t *base, size_t n_bytes) {
    WIN32_MEMORY_RANGE_ENTRY range = {(void *)(uintptr_t)base, n_bytes};
    (void)PrefetchVirtualMemory(GetCurrentProcess(), 1, &range, 0);
}

void pye_page_hint(pye_handle file, const uint8_t *base, uint64_t offset, size_t n_bytes) {
    (void)file;
    pye_view_expect(base + offset, n_bytes);
}

bool pye_view_populate(const uint8_t *base, size_t n_bytes) {
    (void)base, (void)n_bytes;
    return false;
}

void pye_view_drop(const uint8_t *base, size_t n_bytes) {
    (void)base, (void)n_bytes; /* the system trims working sets by itself */
}

void pye_file_drop(pye_handle file, uint64_t offset, size_t n_bytes) { (void)file, (void)offset, (void)n_bytes; }

const char *pye_paging_mechanism(void) { return "mapped; prefetch, read, touch; no budgets"; }

const char pye_residency_source[] =
    "a system that lets a program unmap single pages of a file, which Windows does not";

int pye_residency_open(pye_handle *source) {
    (void)source;
    return ERROR_NOT_SUPPORTED;
}

void pye_residency_close(pye_handle source) { (void)source; }

bool pye_residency_look(pye_handle source, const uint8_t *base, size_t n, uint64_t *bits) {
    (void)source, (void)base, (void)n, (void)bits;
    return false;
}
