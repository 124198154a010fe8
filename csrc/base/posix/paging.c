#if defined(__linux__)
#define _GNU_SOURCE /* preadv2, MADV_POPULATE_READ */
#endif
#include "base/paging.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <unistd.h>

#if defined(__linux__) && !defined(MADV_POPULATE_READ)
#define MADV_POPULATE_READ 22 /* Linux 5.14 */
#endif

static void *address(const uint8_t *base) { return (void *)(uintptr_t)base; }

/* -------------------------------------------------------------------------------------------- questions */

pye_presence pye_page_ask(pye_handle file, const uint8_t *base, uint64_t offset) {
    (void)base;
#if defined(__linux__) && defined(RWF_NOWAIT)
    uint8_t byte;
    struct iovec into = {&byte, 1};
    if (preadv2((int)file, &into, 1, (off_t)offset, RWF_NOWAIT) == 1)
        return PYE_PRESENT;
    return errno == EAGAIN ? PYE_ABSENT : PYE_PRESENCE_UNKNOWN;
#else
    (void)file, (void)offset;
    return PYE_PRESENCE_UNKNOWN;
#endif
}

uint64_t pye_n_major_faults(void) {
    struct rusage usage;
    memset(&usage, 0, sizeof usage);
    (void)getrusage(RUSAGE_SELF, &usage); /* fails only for arguments other than these */
    return (uint64_t)usage.ru_majflt;
}

/* ----------------------------------------------------------------------------------------------- advice */

void pye_view_expect_random(const uint8_t *base, size_t n_bytes) {
    (void)posix_madvise(address(base), n_bytes, POSIX_MADV_RANDOM);
}

void pye_file_expect_random(pye_handle file) {
#if defined(POSIX_FADV_RANDOM)
    (void)posix_fadvise((int)file, 0, 0, POSIX_FADV_RANDOM);
#else
    (void)file;
#endif
}

void pye_view_expect(const uint8_t *base, size_t n_bytes) {
    (void)posix_madvise(address(base), n_bytes, POSIX_MADV_WILLNEED);
}

void pye_page_hint(pye_handle file, const uint8_t *base, uint64_t offset, size_t n_bytes) {
#if defined(POSIX_FADV_WILLNEED)
    (void)base;
    (void)posix_fadvise((int)file, (off_t)offset, (off_t)n_bytes, POSIX_FADV_WILLNEED);
#else
    (void)file;
    (void)posix_madvise(address(base + offset), n_bytes, POSIX_MADV_WILLNEED);
#endif
}

void pye_view_drop(const uint8_t *base, size_t n_bytes) {
#if defined(MADV_DONTNEED)
    (void)madvise(address(base), n_bytes, MADV_DONTNEED);
#else
    (void)base, (void)n_bytes;
#endif
}

void pye_file_drop(pye_handle file, uint64_t offset, size_t n_bytes) {
#if defined(POSIX_FADV_DONTNEED)
    (void)posix_fadvise((int)file, (off_t)offset, (off_t)n_bytes, POSIX_FADV_DONTNEED);
#else
    (void)file, (void)offset, (void)n_bytes;
#endif
}

static atomic_bool cannot_populate;

bool pye_view_populate(const uint8_t *base, size_t n_bytes) {
#if defined(MADV_POPULATE_READ)
    if (!atomic_load_explicit(&cannot_populate, memory_order_relaxed)) {
        if (madvise(address(base), n_bytes, MADV_POPULATE_READ) == 0)
            return true;
        if (errno == EINVAL)
            atomic_store_explicit(&cannot_populate, true, memory_order_relaxed);
    }
#else
    (void)base, (void)n_bytes;
    atomic_store_explicit(&cannot_populate, true, memory_order_relaxed);
#endif
    return false;
}

const char *pye_paging_mechanism(void) {
    return atomic_load(&cannot_populate) ? "mapped; hint, pread, touch" : "mapped; hint, pread, populate";
}

/* -------------------------------------------------------------------------------------- the page table */

const char pye_residency_source[] = "/proc/self/pagemap, which cannot be opened here";

int pye_residency_open(pye_handle *source) {
    *source = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
    return *source < 0 ? errno : 0;
}

void pye_residency_close(pye_handle source) { (void)close((int)source); }

bool pye_residency_look(pye_handle source, const uint8_t *base, size_t n, uint64_t *bits) {
    uint64_t entries[PYE_RESIDENCY_PAGES];
    size_t wanted = n * sizeof entries[0];
    uint64_t at = (uint64_t)(uintptr_t)base / pye_page_bytes();
    if (pread((int)source, entries, wanted, (off_t)(at * sizeof entries[0])) != (ssize_t)wanted)
        return false;
    memset(bits, 0, (n + 63) / 64 * sizeof bits[0]);
    for (size_t i = 0; i < n; i++)
        bits[i / 64] |= (entries[i] >> 63) << i % 64;
    return true;
}
