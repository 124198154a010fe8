/* One file in memory, in one of the load modes, at an address that never changes.
 *
 * The region is as large as the file. A mapped file is there at once; a file that is read fills the region as
 * far as the header's parser asks (pye_map_reveal) and then range by range (pye_map_load). */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "base/files.h"
#include "base/guard.h"
#include "base/pages.h"
#include "base/threads.h"
#include "base/watch.h"
#include "pyembed.h"

typedef struct pye_range {
    uint64_t offset;
    uint64_t n_bytes;
} pye_range;

typedef struct pye_map {
    const pye_allocator *allocator;
    char *path;
    const uint8_t *base;
    uint64_t size;    /* of the file when it was opened */
    uint64_t visible; /* bytes from the start that may be read: all of a mapped file */
    uint64_t first;   /* where the model lies in the file: all of it, unless pye_map_narrow says otherwise */
    uint64_t end;
    pye_load_mode mode; /* the one in use, never AUTO */
    pye_handle file;    /* for reading it, or for asking a mapped file's size */
    pye_mutex lock;     /* guards `loaded` and the reading itself */
    pye_range *loaded;
    size_t n_loaded;
    pye_identity identity; /* of the file when it was opened */
    pye_guard *guard;      /* NULL for an unguarded mapping */
    uint64_t page_bytes;   /* of a mapped file; 0 for one that is read */
    pye_pages pages;       /* of a mapped file, once a pye_fetcher has it */
    uint32_t number;       /* of the file for that fetcher, and for errors */
    atomic_bool damaged;   /* a page of the guarded mapping could not be read, or the file got shorter */
} pye_map;

/* Opens a regular file. On failure there is nothing to close. The allocator has to live as long as the map. */
pye_status pye_map_open(pye_map *map, const pye_allocator *allocator, const char *path, pye_load_mode mode,
                        pye_error *error);
void pye_map_close(pye_map *map);

/* Maps the file anew, at once after it was opened, where the system cannot use large pages for it: a page that is touched
 * brings its 15 neighbours along then, but not 511. Advice against large pages does not help where a file's page cache
 * already consists of them. Does nothing for a file that is read. */
pye_status pye_map_avoid_large_pages(pye_map *map, pye_error *error);

/* Guards a mapped file against the loss of its pages; does nothing for one that is read. */
pye_status pye_map_protect(pye_map *map, pye_error *error);

/* PYE_ERROR_IO if a page of a guarded mapping could not be read, or a mapped file got shorter: bytes read before this call
 * may then be zeros. Asks the system for the file's size. `shard` is for the error. */
pye_status pye_map_intact(const pye_map *map, uint32_t shard, pye_error *error);

/* The same without a system call: it misses bytes that the file lost inside a page that it still has a part of. */
pye_status pye_map_undamaged(const pye_map *map, uint32_t shard, pye_error *error);

/* Whether bytes that were read, up to `last`, may be zeros in place of those that the file lost inside a page. Such a page
 * ends with zeros; the pages before it are whole, and those after it raise SIGBUS. */
static inline bool pye_map_may_be_cut(const pye_map *map, const uint8_t *last) {
    if (map->page_bytes == 0)
        return false;
    uint64_t offset = (uint64_t)(last - map->base);
    uint64_t end = offset - offset % map->page_bytes + map->page_bytes;
    return *(const volatile uint8_t *)(map->base + (end < map->size ? end : map->size) - 1) == 0;
}

/* What happened to the file at the path since it was opened. PYE_ERROR_IO if it cannot be examined. */
pye_status pye_map_compare(const pye_map *map, pye_change *change, pye_error *error);

/* Restricts the model to a part of the file, which parsers then take for all of it. Call it before they begin. */
void pye_map_narrow(pye_map *map, pye_range part);

/* Makes bytes first .. upto - 1 readable; upto is at most the size. Only while the model is being opened. */
pye_status pye_map_reveal(pye_map *map, uint64_t upto, pye_error *error);

/* The header ends at `header_bytes`: locks it in modes that lock, and advises the system that accesses to the rest are
 * random, so that a page fault does not read ahead. */
pye_status pye_map_settle(pye_map *map, uint64_t header_bytes, pye_error *error);

/* Makes a range inside the file ready for use, once: reads it, locks it, or does nothing, depending on the mode. Any thread
 * may call this. */
pye_status pye_map_load(pye_map *map, uint64_t offset, uint64_t n_bytes, pye_progress progress, void *data,
                        const pye_interrupt *interrupt, pye_error *error);

/* Advises the system that a range inside the file will be read from start to end. */
void pye_map_expect(const pye_map *map, uint64_t offset, uint64_t n_bytes);
