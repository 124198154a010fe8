/* Brings pages of mapped files into memory: many reads in flight, each page once, in the order of the files.
 *
 * The bytes always come through the mapping. A page is read by asking the system for it without waiting (a hint), then, a
 * few dozen hints later, by a pread of one byte that waits and says what went wrong, and last by entering it into this
 * process's page table. Four threads with some dozens of hints each keep a disk as busy as hundreds of threads that wait;
 * the one that wants the pages is always one of them, so that it needs no other. */
#pragma once

#include "base/budget.h"
#include "base/page_list.h"
#include "base/paging.h"
#include "base/tasks.h"

typedef struct pye_fetcher_counts {
    _Atomic(uint64_t) n_reads;       /* runs of pages that were asked for */
    _Atomic(uint64_t) n_pages;       /* pages in them */
    _Atomic(uint64_t) n_rows_missed; /* rows with a page not known to be in memory */
    _Atomic(uint64_t) n_found;       /* pages that were in memory, though not known to be */
    _Atomic(uint64_t) nanoseconds;   /* that callers waited for pages */
    _Atomic(uint64_t) n_forgotten;   /* how often it was noticed that the system had taken pages back */
    _Atomic(uint64_t) n_hints;       /* lists that were fetched ahead */
    _Atomic(uint64_t) n_hints_lost;  /* and those that were not: too many, no thread, or an error */
} pye_fetcher_counts;

/* All zero but the allocator to begin with. */
typedef struct pye_fetcher {
    const pye_allocator *allocator;
    pye_tasks_slot tasks;
    pye_budget *budget; /* NULL: none */
    pye_map **maps;
    size_t n_maps;
    size_t max_maps;
    _Atomic(uint64_t) epoch; /* another number whenever something that was seen is forgotten, of any file */
    _Atomic(uint64_t) n_major_faults; /* of the process, when it was last asked */
    pye_fetcher_counts counts;
} pye_fetcher;

/* Gives the fetcher a budget, before any map is added. */
pye_status pye_fetcher_limit(pye_fetcher *fetcher, uint64_t limit_bytes, pye_error *error);

/* Begins to keep bits for a mapped file; does nothing for one that is read. Files are numbered in the order they are added.
 * The map has to live until pye_fetcher_close. */
pye_status pye_fetcher_add(pye_fetcher *fetcher, pye_map *map, pye_error *error);

/* Waits for what is on its way. Nobody may use the fetcher any more. */
void pye_fetcher_close(pye_fetcher *fetcher);

/* Reads the pages of a list, which is empty afterwards, and returns when they are in memory. PYE_ERROR_IO, with offset and
 * shard, for the first that cannot be read; PYE_ERROR_CANCELLED. */
pye_status pye_fetcher_read(pye_fetcher *fetcher, pye_page_list *list, const pye_interrupt *interrupt,
                            pye_error *error);

/* Takes the list over and returns at once; its pages come in the background. What goes wrong shows when they are read. */
void pye_fetcher_begin(pye_fetcher *fetcher, pye_page_list *list);

/* Whether a byte can be read without waiting for a disk. A system call. */
pye_presence pye_fetcher_ask(const pye_map *map, uint64_t offset);

/* Forgets what was seen of a file: the system has taken pages back. */
void pye_fetcher_forget(pye_fetcher *fetcher, const pye_map *map);

/* How pages are read here, in a few words. Static memory. */
const char *pye_fetcher_mechanism(const pye_fetcher *fetcher);
