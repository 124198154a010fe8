#include "base/fetcher.h"

#include <errno.h>
#include <inttypes.h>

#include "base/counters.h"
#include "base/memory.h"
#include "base/status.h"
#include "base/system_error.h"

/* Hints that a thread has in flight. Together about as many as a disk serves at a time; a thread without help keeps more. */
#define WINDOW 32
#define WINDOW_ALONE 64
#define MAX_HELPERS 3

/* Before a list is read, this many of its pages are asked for. If all are there, so is the rest, most likely. */
#define N_PROBED 16

/* How often a read that the system did not want to wait for is begun again, and when. */
#define MAX_AGAIN 1000
#define AGAIN_NANOSECONDS 1000000

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
    if (map->mode != PYE_LOAD_MMAP || fetcher->n_maps > PYE_RUN_MAX_FILES)
        return PYE_OK;
    status = pye_pages_open(&map->pages, map->allocator, map->size, fetcher->budget != NULL, error);
    if (status != PYE_OK)
        return status;
    pye_file_expect_random(map->file); /* of what is read otherwise, too, nothing shall be read ahead */
    return fetcher->budget == NULL ? PYE_OK : pye_budget_add(fetcher->budget, map, error);
}

void pye_fetcher_close(pye_fetcher *fetcher) {
    pye_tasks_close(&fetcher->tasks);
    pye_budget_close(fetcher->budget);
    pye_release(fetcher->maps);
}

/* ------------------------------------------------------------------------------------- one run of pages */

static void hint(const pye_map *map, uint64_t page, uint64_t n) {
    pye_page_hint(map->file, map->base, page << map->pages.shift, (size_t)n << map->pages.shift);
}

static pye_status fail_page(const pye_map *map, uint64_t offset, int code, pye_error *error) {
    if (code == 0) {
        pye_status status = pye_map_intact(map, map->number, error);
        if (status != PYE_OK)
            return status;
        (void)pye_fail(error, PYE_ERROR_IO, offset, "the file ends at byte %" PRIu64, offset);
    } else {
        (void)pye_fail_system(error, code, "cannot read at byte %" PRIu64, offset);
        if (error != NULL)
            error->offset = offset;
    }
    if (error != NULL)
        error->shard = map->number;
    return PYE_ERROR_IO;
}

/* Waits for a page: the byte is read for the sake of the page that it comes with, and of the error. */
static pye_status await_page(const pye_map *map, uint64_t page, pye_error *error) {
    uint64_t offset = page << map->pages.shift;
    for (unsigned n_again = 0;;) {
        uint8_t byte;
        size_t n = 0;
        int code = pye_file_read(map->file, offset, &byte, 1, &n);
        if (n == 1)
            return PYE_OK;
        if (code == 0 || pye_system_errno(code) != EAGAIN || ++n_again > MAX_AGAIN)
            return fail_page(map, offset, code, error);
        pye_thread_pause(AGAIN_NANOSECONDS);
    }
}

/* Enters pages that are in the page cache into this process's page table. */
static void enter(const pye_map *map, uint64_t page, uint64_t n) {
    const uint8_t *base = map->base + (page << map->pages.shift);
    if (pye_view_populate(base, (size_t)n << map->pages.shift))
        return;
    for (uint64_t i = 0; i < n; i++)
        (void)*(const volatile uint8_t *)(base + (i << map->pages.shift));
}

static pye_status finish_run(pye_fetcher *fetcher, uint64_t run, pye_error *error) {
    const pye_map *map = fetcher->maps[pye_run_file(run)];
    uint64_t page = pye_run_page(run), n = pye_run_pages(run);
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
    return pye_run_file(a) == pye_run_file(b) &&
           (pye_run_page(a) + pye_run_pages(a) - 1) / GROUP_PAGES == pye_run_page(b) / GROUP_PAGES;
}

/* One more than the last run of the group that run `first` begins; `first` itself where another run began the group. */
static size_t group_end(const pye_page_list *list, size_t first) {
    if (first > 0 && is_same_group(list->runs[first - 1], list->runs[first]))
        return first;
    size_t end = first + 1;
    while (end < list->n && is_same_group(list->runs[end - 1], list->runs[end]))
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
            uint64_t run = job->list.runs[i];
            hint(job->fetcher->maps[pye_run_file(run)], pye_run_page(run), pye_run_pages(run));
        }
        if (end > first)
            return first;
    }
}

static pye_status finish_group(read_job *job, size_t first, pye_error *error) {
    size_t end = group_end(&job->list, first);
    pye_status status = PYE_OK;
    for (size_t i = first; i < end && status == PYE_OK; i++)
        status = finish_run(job->fetcher, job->list.runs[i], error);
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
        n_pages += pye_run_pages(list->runs[i]);
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
    return pye_page_ask(map->file, map->base, offset);
}

/* Whether a few of the list's pages, spread over it, are in the page cache. */
static bool is_in_memory(const pye_fetcher *fetcher, const pye_page_list *list) {
    size_t n = list->n < N_PROBED ? list->n : N_PROBED;
    for (size_t i = 0; i < n; i++) {
        uint64_t run = list->runs[list->n * i / n];
        const pye_map *map = fetcher->maps[pye_run_file(run)];
        if (pye_fetcher_ask(map, pye_run_page(run) << map->pages.shift) != PYE_PRESENT)
            return false;
    }
    return true;
}

static void trust(const pye_fetcher *fetcher, const pye_page_list *list) {
    for (size_t i = 0; i < list->n; i++)
        pye_pages_see(&fetcher->maps[pye_run_file(list->runs[i])]->pages, pye_run_page(list->runs[i]), 1);
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
    } else if (pye_page_list_merge(list)) {
        read_job job;
        begin_job(&job, fetcher, list);
        status = run_job(&job, interrupt, error);
    } else {
        status = pye_fail_memory(error, list->n * sizeof *list->runs);
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
    if (job == NULL || !pye_page_list_merge(list)) {
        pye_release(job);
        pye_page_list_free(list);
        pye_count(&fetcher->counts.n_hints_lost, 1);
        return;
    }
    begin_job(job, fetcher, list);
    job->task.retire = retire;
    *list = (pye_page_list){.allocator = fetcher->allocator};
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
            return pye_paging_mechanism();
    return "in memory";
}
