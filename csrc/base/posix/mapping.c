#if defined(__linux__)
#define _GNU_SOURCE /* MAP_NORESERVE, MADV_HUGEPAGE */
#endif
#include "base/mapping.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif
#ifndef MAP_ANONYMOUS
#define MAP_ANONYMOUS MAP_ANON
#endif

size_t pye_page_bytes(void) { return (size_t)sysconf(_SC_PAGESIZE); }

int pye_view_open(const uint8_t **base, pye_handle file, size_t n_bytes) {
    void *mapped = mmap(NULL, n_bytes, PROT_READ, MAP_SHARED, (int)file, 0);
    if (mapped == MAP_FAILED)
        return errno;
    *base = mapped;
    return 0;
}

void pye_view_close(const uint8_t *base, size_t n_bytes) { (void)munmap((void *)(uintptr_t)base, n_bytes); }

/* Large pages begin at multiples of this many bytes of a file, and of memory. */
#define LARGE_PAGE ((size_t)2 << 20)
#define ASIDE ((size_t)64 << 10)

/* Advice against large pages does not help where a file's page cache already consists of them; an odd address does. */
int pye_view_avoid_large_pages(const uint8_t **base, pye_handle file, size_t n_bytes) {
    size_t wanted = n_bytes + 2 * LARGE_PAGE, page = pye_page_bytes();
    uint8_t *space = wanted < n_bytes
                         ? MAP_FAILED
                         : mmap(NULL, wanted, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (space == MAP_FAILED)
        return wanted < n_bytes ? ENOMEM : errno;
    uint8_t *at = space + (LARGE_PAGE - (uintptr_t)space % LARGE_PAGE) + ASIDE;
    if (mmap(at, n_bytes, PROT_READ, MAP_SHARED | MAP_FIXED, (int)file, 0) == MAP_FAILED) {
        int code = errno;
        (void)munmap(space, wanted);
        return code;
    }
    uint8_t *end = at + (n_bytes + page - 1) / page * page;
    (void)munmap(space, (size_t)(at - space));
    (void)munmap(end, (size_t)(space + wanted - end));
    pye_view_close(*base, n_bytes);
    *base = at;
    return 0;
}

int pye_memory_reserve(uint8_t **base, size_t n_bytes) {
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    void *mapped = mmap(NULL, n_bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (mapped == MAP_FAILED)
        return errno;
    *base = mapped;
    return 0;
}

int pye_memory_commit(uint8_t *base, size_t n_bytes) {
    (void)base, (void)n_bytes; /* the system commits what is written to */
    return 0;
}

void pye_memory_free(const uint8_t *base, size_t n_bytes) { (void)munmap((void *)(uintptr_t)base, n_bytes); }

int pye_memory_lock(const uint8_t *base, size_t n_bytes) { return mlock(base, n_bytes) == 0 ? 0 : errno; }

const char pye_memory_lock_advice[] = "raise RLIMIT_MEMLOCK (ulimit -l) or do not ask for locked memory";

void pye_want_large_pages(void *memory, size_t n_bytes) {
#if defined(MADV_HUGEPAGE)
    size_t page = pye_page_bytes();
    size_t before = (page - (uintptr_t)memory % page) % page;
    if (n_bytes > before)
        (void)madvise((char *)memory + before, (n_bytes - before) / page * page, MADV_HUGEPAGE);
#else
    (void)memory, (void)n_bytes;
#endif
}
