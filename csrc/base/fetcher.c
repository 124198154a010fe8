#if defined(__linux__)
#define _GNU_SOURCE /* preadv2, MADV_POPULATE_READ */
#endif
#include "base/fetcher.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/counters.h"
#include "base/memory.h"
#include "base/status.h"

#if defined(__linux__) && !defined(MADV_POPULATE_READ)
#define MADV_POPULATE_READ 22 /* Linux 5.14 */
#endif

/* Hints that a thread has in flight. Together about as many as a disk serves at a time; a thread without help keeps more. */
#define WINDOW 32
#define WINDOW_ALONE 64
#define MAX_HELPERS 3

/* Adjacent pages are asked for together, up to this many. */
#define MAX_RUN 32

/* Before a list is read, this many of its pages are asked for. If all are there, so is the rest, most likely. */
#define N_PROBED 16

/* How often a read that the system did not want to wait for is begun again, a millisecond apart. */
#define MAX_AGAIN 1000

/* A key: number of the file, page, and pages in the run less one, from the highest bit down. Sorted, they are in the order
 * of the files. */
#define RUN_BITS 8
#define PAGE_BITS 36
#define MAX_FILES (UINT64_C(1) << (64 - PAGE_BITS - RUN_BITS))

static uint64_t key_of(uint64_t file, uint64_t page, uint64_t n) {
    return file << (PAGE_BITS + RUN_BITS) | page << RUN_BITS | (n - 1);
}

static size_t file_of(uint64_t key) { return (size_t)(key >> (PAGE_BITS + RUN_BITS)); }

static uint64_t page_of(uint64_t key) { return key >> RUN_BITS & ((UINT64_C(1) << PAGE_BITS) - 1); }

static uint64_t n_of(uint64_t key) { return (key & ((UINT64_C(1) << RUN_BITS) - 1)) + 1; }

/* --------------------------------------------------------------------------------------------- files */

pye_status pye_fetcher_limit(pye_fetcher *fetcher, uint64_t limit_bytes, pye_error *error) {
    return pye_budget_open(&fetcher->budget, fetcher->allocator, limit_bytes, &fetcher->epoch, error);
}

pye_status pye_fetcher_add(pye_fetcher *fetcher, pye_map *map, pye_error *error) {
    pye_status status = pye_grow(fetcher->allocator, (void **)&fetcher->maps, &fetcher->max_maps, fetcher->n_maps,
                                 sizeof(pye_map *), error);
    if (status != PYE_OK)
        return status;
    map->number = (uint32_t)fetcher->n_maps;
    fetcher->maps[fetcher->n_maps++] = map;
    if (map->mode != PYE_LOAD_MMAP || fetcher->n_maps > MAX_FILES)
        return PYE_OK;
    status = pye_pages_open(&map->pages, map->allocator, map->size, fetcher->budget != NULL, error);
    if (status != PYE_OK)
        return status;
#if defined(POSIX_FADV_RANDOM)
    /* Of what is read with pread, too, the system shall read nothing ahead. */
    (void)posix_fadvise(map->fd, 0, 0, POSIX_FADV_RANDOM);
#endif
    return fetcher->budget == NULL ? PYE_OK : pye_budget_add(fetcher->budget, map, error);
}

void pye_fetcher_close(pye_fetcher *fetcher) {
    pye_tasks_close(&fetcher->tasks);
    pye_budget_close(fetcher->budget);
    pye_release(fetcher->maps);
}

/* --------------------------------------------------------------------------------------------- lists */

static pye_status add_page(pye_page_list *list, const pye_map *map, uint64_t page, pye_error *error) {
    if (!list->distrusts && pye_page_is_seen(&map->pages, page))
        return PYE_OK;
    if (map->pages.held != NULL && pye_page_is_held(&map->pages, page)) {
        pye_pages_see(&map->pages, page, 1); /* the hand came by: it stays for another round */
        if (!list->distrusts)
            return PYE_OK;
    }
    pye_status status =
        pye_grow(list->fetcher->allocator, (void **)&list->keys, &list->max, list->n, sizeof *list->keys, error);
    if (status == PYE_OK)
        list->keys[list->n++] = key_of(map->number, page, 1);
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

void pye_page_list_free(pye_page_list *list) {
    pye_release(list->keys);
    list->keys = NULL;
    list->n = list->max = 0;
}

#define DIGIT_BITS 11
#define N_DIGITS ((size_t)1 << DIGIT_BITS)

#define FEW_KEYS 64

static void sort_few(uint64_t *keys, size_t n) {
    for (size_t i = 1; i < n; i++) {
        uint64_t key = keys[i];
        size_t at = i;
        for (; at > 0 && keys[at - 1] > key; at--)
            keys[at] = keys[at - 1];
        keys[at] = key;
    }
}

/* By the digits that differ, from the lowest one up. False if memory is short. */
static bool sort_keys(pye_page_list *list) {
    if (list->n <= FEW_KEYS) {
        sort_few(list->keys, list->n);
        return true;
    }
    uint64_t *from = list->keys, *to = pye_allocate(list->fetcher->allocator, list->n * sizeof *to);
    if (to == NULL)
        return false;
    uint64_t differ = 0;
    for (size_t i = 1; i < list->n; i++)
        differ |= from[i] ^ from[0];
    for (unsigned shift = RUN_BITS; shift < 64; shift += DIGIT_BITS) {
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
    list->keys = from;
    list->max = list->n;
    pye_release(to);
    return true;
}

/* Sorted keys to runs: each page once, adjacent ones together. */
static void merge_keys(pye_page_list *list) {
    size_t n = 0;
    for (size_t i = 0; i < list->n; i++) {
        uint64_t *last = n > 0 ? &list->keys[n - 1] : NULL;
        bool is_near = last != NULL && file_of(*last) == file_of(list->keys[i]);
        uint64_t beyond = is_near ? page_of(list->keys[i]) - page_of(*last) : 0;
        if (is_near && beyond < n_of(*last))
            continue;
        if (is_near && beyond == n_of(*last) && beyond < MAX_RUN)
            ++*last;
        else
            list->keys[n++] = list->keys[i];
    }
    list->n = n;
}

/* ------------------------------------------------------------------------------------- one run of pages */

static void hint(const pye_map *map, uint64_t page, uint64_t n) {
    uint64_t offset = page << map->pages.shift, n_bytes = n << map->pages.shift;
#if defined(POSIX_FADV_WILLNEED)
    (void)posix_fadvise(map->fd, (off_t)offset, (off_t)n_bytes, POSIX_FADV_WILLNEED);
#else
    (void)posix_madvise((void *)(uintptr_t)(map->base + offset), (size_t)n_bytes, POSIX_MADV_WILLNEED);
#endif
}

static pye_status fail_page(const pye_map *map, uint64_t offset, ssize_t n, int number, pye_error *error) {
    if (n == 0) {
        pye_status status = pye_map_intact(map, map->number, error);
        if (status != PYE_OK)
            return status;
        (void)pye_fail(error, PYE_ERROR_IO, offset, "the file ends at byte %" PRIu64, offset);
    } else {
        (void)pye_fail_errno(error, number, "cannot read at byte %" PRIu64, offset);
        if (error != NULL)
            error->offset = offset;
    }
    if (error != NULL)
        error->shard = map->number;
    return PYE_ERROR_IO;
}

/* Waits for a page: the byte is read for the sake of the page that it comes with, and of the error. */
static pye_status await_page(const pye_map *map, uint64_t page, pye_error *error) {
    off_t offset = (off_t)(page << map->pages.shift);
    for (unsigned n_again = 0;;) {
        uint8_t byte;
        ssize_t n = pread(map->fd, &byte, 1, offset);
        if (n == 1)
            return PYE_OK;
        if (n < 0 && errno == EINTR)
            continue;
        if (n >= 0 || errno != EAGAIN || ++n_again > MAX_AGAIN)
            return fail_page(map, (uint64_t)offset, n, errno, error);
        const struct timespec pause = {.tv_nsec = 1000000};
        (void)nanosleep(&pause, NULL);
    }
}

static atomic_bool cannot_populate;

/* Enters pages that are in the page cache into this process's page table. */
static void enter(const pye_map *map, uint64_t page, uint64_t n) {
    const uint8_t *base = map->base + (page << map->pages.shift);
#if defined(MADV_POPULATE_READ)
    if (!atomic_load_explicit(&cannot_populate, memory_order_relaxed)) {
        if (madvise((void *)(uintptr_t)base, (size_t)n << map->pages.shift, MADV_POPULATE_READ) == 0)
            return;
        if (errno == EINVAL)
            atomic_store_explicit(&cannot_populate, true, memory_order_relaxed);
    }
#else
    atomic_store_explicit(&cannot_populate, true, memory_order_relaxed);
#endif
    for (uint64_t i = 0; i < n; i++)
        (void)*(const volatile uint8_t *)(base + (i << map->pages.shift));
}

static pye_status finish_run(pye_fetcher *fetcher, uint64_t key, pye_error *error) {
    const pye_map *map = fetcher->maps[file_of(key)];
    uint64_t page = page_of(key), n = n_of(key);
    for (uint64_t i = 0; i < n; i++) {
        pye_status status = await_page(map, page + i, error);
        if (status != PYE_OK)
            return status;
    }
    pye_pages_see(&map->pages, page,
                  n); /* before it is entered, or a budget's hand could take it out again at once */
    uint64_t n_reserved = fetcher->budget != NULL ? pye_budget_reserve(fetcher->budget, map, page, n) : 0;
    enter(map, page, n);
    if (fetcher->budget != NULL)
        pye_budget_settle(fetcher->budget, map, page, n, n_reserved);
    return PYE_OK;
}

/* -------------------------------------------------------------------------------- many runs, many threads */

typedef struct read_job {
    pye_task task;
    pye_fetcher *fetcher;
    pye_page_list list;
    _Atomic(size_t) next;
    atomic_bool failed;
    size_t window;
    pye_status status; /* of the first that failed, which wrote `error` */
    pye_error error;
} read_job;

static void fail_job(read_job *job, pye_status status, const pye_error *error) {
    if (atomic_exchange(&job->failed, true))
        return;
    job->status = status;
    job->error = *error;
}

/* Runs that lie in one aligned group of this many pages are one thread's: what the system maps along with one of them is
 * another. */
#define GROUP_PAGES 16

static bool is_same_group(uint64_t a, uint64_t b) {
    return file_of(a) == file_of(b) && (page_of(a) + n_of(a) - 1) / GROUP_PAGES == page_of(b) / GROUP_PAGES;
}

/* One more than the last run of the group that run `first` begins; `first` itself where another run began the group. */
static size_t group_end(const pye_page_list *list, size_t first) {
    if (first > 0 && is_same_group(list->keys[first - 1], list->keys[first]))
        return first;
    size_t end = first + 1;
    while (end < list->n && is_same_group(list->keys[end - 1], list->keys[end]))
        end++;
    return end;
}

/* Hints the next group that nobody has taken: its first run, or the list's length where there is none left. */
static size_t take_group(read_job *job) {
    for (;;) {
        size_t first = atomic_fetch_add_explicit(&job->next, 1, memory_order_relaxed);
        if (first >= job->list.n)
            return job->list.n;
        size_t end = group_end(&job->list, first);
        for (size_t i = first; i < end; i++) {
            uint64_t key = job->list.keys[i];
            hint(job->fetcher->maps[file_of(key)], page_of(key), n_of(key));
        }
        if (end > first)
            return first;
    }
}

static pye_status finish_group(read_job *job, size_t first, pye_error *error) {
    size_t end = group_end(&job->list, first);
    pye_status status = PYE_OK;
    for (size_t i = first; i < end && status == PYE_OK; i++)
        status = finish_run(job->fetcher, job->list.keys[i], error);
    return status;
}

/* Takes groups of runs until there are none left: hints some ahead, then waits for the oldest. The watch is the caller's, or
 * NULL. */
static void take_runs(read_job *job, pye_watch *watch) {
    size_t asked[WINDOW_ALONE];
    size_t n_asked = 0, n_done = 0;
    bool is_last = false;
    pye_error error;
    while (!atomic_load_explicit(&job->failed, memory_order_relaxed)) {
        while (!is_last && n_asked - n_done < job->window) {
            size_t first = take_group(job);
            is_last = first == job->list.n;
            if (!is_last)
                asked[n_asked++ % WINDOW_ALONE] = first;
        }
        if (n_done == n_asked)
            return;
        pye_status status = finish_group(job, asked[n_done++ % WINDOW_ALONE], &error);
        if (status != PYE_OK)
            fail_job(job, status, &error);
        if (watch != NULL && pye_watch_stops(watch))
            fail_job(job, pye_fail_interrupted(&error), &error);
        if (watch != NULL && pye_watch_has_forked(watch))
            return;
    }
}

static void help(pye_task *task) { take_runs((read_job *)(void *)task, NULL); }

static void retire(pye_task *task) {
    read_job *job = (read_job *)(void *)task;
    if (atomic_load(&job->failed))
        pye_count(&job->fetcher->counts.n_hints_lost, 1);
    pye_page_list_free(&job->list);
    pye_release(job);
}

static size_t n_helpers(const pye_page_list *list) {
    size_t n = list->n / WINDOW;
    return n < MAX_HELPERS ? n : MAX_HELPERS;
}

static void begin_job(read_job *job, pye_fetcher *fetcher, pye_page_list *list) {
    *job = (read_job){.fetcher = fetcher, .list = *list, .status = PYE_OK, .window = WINDOW};
    atomic_init(&job->next, 0);
    atomic_init(&job->failed, false);
    job->task.run = help;
    uint64_t n_pages = 0;
    for (size_t i = 0; i < list->n; i++)
        n_pages += n_of(list->keys[i]);
    pye_count(&fetcher->counts.n_reads, list->n);
    pye_count(&fetcher->counts.n_pages, n_pages);
}

static pye_status run_job(read_job *job, const pye_interrupt *interrupt, pye_error *error) {
    pye_fetcher *fetcher = job->fetcher;
    size_t n = n_helpers(&job->list);
    pye_watch watch = pye_watch_begin(interrupt);
    bool is_shared = n > 0 && pye_tasks_post(&fetcher->tasks, fetcher->allocator, &job->task, n, PYE_PLACE_FIRST);
    if (!is_shared)
        job->window = WINDOW_ALONE;
    take_runs(job, &watch);
    while (pye_watch_has_forked(&watch)) { /* what the helpers had taken is the parent's */
        is_shared = false;
        watch = pye_watch_begin(interrupt);
        job->window = WINDOW_ALONE;
        atomic_store(&job->next, 0);
        take_runs(job, &watch);
    }
    if (is_shared)
        pye_tasks_withdraw(&fetcher->tasks, &job->task);
    if (job->status != PYE_OK && error != NULL)
        *error = job->error;
    return job->status;
}

/* ---------------------------------------------------------------------------------------- from outside */

pye_presence pye_fetcher_ask(const pye_map *map, uint64_t offset) {
#if defined(__linux__) && defined(RWF_NOWAIT)
    uint8_t byte;
    struct iovec into = {&byte, 1};
    if (preadv2(map->fd, &into, 1, (off_t)offset, RWF_NOWAIT) == 1)
        return PYE_PRESENT;
    return errno == EAGAIN ? PYE_ABSENT : PYE_PRESENCE_UNKNOWN;
#else
    (void)map;
    (void)offset;
    return PYE_PRESENCE_UNKNOWN;
#endif
}

/* Whether a few of the list's pages, spread over it, are in the page cache. */
static bool is_in_memory(const pye_fetcher *fetcher, const pye_page_list *list) {
    size_t n = list->n < N_PROBED ? list->n : N_PROBED;
    for (size_t i = 0; i < n; i++) {
        uint64_t key = list->keys[list->n * i / n];
        const pye_map *map = fetcher->maps[file_of(key)];
        if (pye_fetcher_ask(map, page_of(key) << map->pages.shift) != PYE_PRESENT)
            return false;
    }
    return true;
}

static void trust(const pye_fetcher *fetcher, const pye_page_list *list) {
    for (size_t i = 0; i < list->n; i++)
        pye_pages_see(&fetcher->maps[file_of(list->keys[i])]->pages, page_of(list->keys[i]), 1);
}

pye_status pye_fetcher_read(pye_fetcher *fetcher, pye_page_list *list, const pye_interrupt *interrupt,
                            pye_error *error) {
    if (list->n == 0)
        return PYE_OK;
    uint64_t begin = pye_clock_nanoseconds();
    pye_status status = PYE_OK;
    if (fetcher->budget == NULL && is_in_memory(fetcher, list)) {
        trust(fetcher, list);
        pye_count(&fetcher->counts.n_found, list->n);
    } else if (sort_keys(list)) {
        merge_keys(list);
        read_job job;
        begin_job(&job, fetcher, list);
        status = run_job(&job, interrupt, error);
    } else {
        status = pye_fail_memory(error, list->n * sizeof *list->keys);
    }
    list->n = 0;
    pye_count(&fetcher->counts.nanoseconds, pye_clock_nanoseconds() - begin);
    return status;
}

void pye_fetcher_begin(pye_fetcher *fetcher, pye_page_list *list) {
    if (list->n == 0) {
        pye_page_list_free(list);
        return;
    }
    /* Of more than a budget holds the first would be gone before the last is there. */
    if (fetcher->budget != NULL && list->n > 2 * pye_budget_batch_pages(fetcher->budget))
        list->n = (size_t)(2 * pye_budget_batch_pages(fetcher->budget));
    read_job *job = pye_allocate(fetcher->allocator, sizeof *job);
    if (job == NULL || !sort_keys(list)) {
        pye_release(job);
        pye_page_list_free(list);
        pye_count(&fetcher->counts.n_hints_lost, 1);
        return;
    }
    merge_keys(list);
    begin_job(job, fetcher, list);
    job->task.retire = retire;
    *list = (pye_page_list){.fetcher = fetcher};
    pye_count(&fetcher->counts.n_hints, 1);
    if (!pye_tasks_post(&fetcher->tasks, fetcher->allocator, &job->task, n_helpers(&job->list) + 1,
                        PYE_PLACE_LAST_IF_ROOM)) {
        atomic_store(&job->failed, true);
        retire(&job->task);
    }
}

void pye_fetcher_forget(pye_fetcher *fetcher, const pye_map *map) {
    pye_pages_forget(&map->pages);
    (void)atomic_fetch_add(&fetcher->epoch,
                           1); /* after that: whoever found all bits set before knows better then */
    pye_count(&fetcher->counts.n_forgotten, 1);
}

const char *pye_fetcher_mechanism(const pye_fetcher *fetcher) {
    for (size_t i = 0; i < fetcher->n_maps; i++)
        if (fetcher->maps[i]->pages.seen != NULL)
            return atomic_load(&cannot_populate) ? "mapped; hint, pread, touch" : "mapped; hint, pread, populate";
    return "in memory";
}
