#include "base/map.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/memory.h"
#include "base/paging.h"
#include "base/status.h"
#include "base/system_error.h"

/* Direct reads need offset, length and address on a multiple of the device's logical block; 4096 suits them all.
 * The region has room for the last block. */
#define BLOCK 4096u
#define CHUNK (UINT64_C(8) << 20)
#define HEADER_STEP (UINT64_C(1) << 20)

static bool mode_reads(pye_load_mode mode) { return mode != PYE_LOAD_MMAP && mode != PYE_LOAD_MMAP_MLOCK; }

static bool mode_locks(pye_load_mode mode) { return mode == PYE_LOAD_MLOCK || mode == PYE_LOAD_MMAP_MLOCK; }

static uint64_t round_down(uint64_t value, uint64_t unit) { return value - value % unit; }

static size_t region_bytes(const pye_map *map) {
    return mode_reads(map->mode) ? (size_t)map->size + BLOCK : (size_t)map->size;
}

static pye_status open_file(pye_map *map, pye_error *error) {
    pye_identity *identity = &map->identity;
    int code = pye_file_open(&map->file, identity, map->path, map->mode == PYE_LOAD_DIRECT_IO);
    if (code != 0)
        return pye_fail_system(error, code,
                               pye_system_errno(code) == EISDIR ? "not a model file" : "cannot open the file");
    if (identity->kind != PYE_FILE_REGULAR)
        return pye_fail(error, PYE_ERROR_FORMAT, PYE_NO_OFFSET, "not a regular file");
    if (identity->size == 0)
        return pye_fail(error, PYE_ERROR_FORMAT, 0, "the file is empty");
    if (identity->size > SIZE_MAX - BLOCK)
        return pye_fail(error, PYE_ERROR_MEMORY, PYE_NO_OFFSET, "the file is larger than the address space");
    map->size = identity->size;
    map->end = map->size;
    return PYE_OK;
}

static pye_status open_memory(pye_map *map, pye_error *error) {
    uint8_t *base;
    int code = pye_memory_reserve(&base, region_bytes(map));
    if (code != 0)
        return pye_fail_system(error, code, "cannot map %" PRIu64 " bytes", map->size);
    pye_want_large_pages(base, region_bytes(map)); /* rows are read at random: fewer TLB misses */
    map->base = base;
    map->visible = 0;
    return PYE_OK;
}

static pye_status open_view(pye_map *map, pye_error *error) {
    int code = pye_view_open(&map->base, map->file, region_bytes(map));
    if (code != 0)
        return pye_fail_system(error, code, "cannot map %" PRIu64 " bytes", map->size);
    map->visible = map->size;
    map->page_bytes = pye_page_bytes();
    return PYE_OK;
}

pye_status pye_map_open(pye_map *map, const pye_allocator *allocator, const char *path, pye_load_mode mode,
                        pye_error *error) {
    memset(map, 0, sizeof *map);
    map->file = PYE_NO_HANDLE;
    atomic_init(&map->damaged, false);
    map->mode = mode == PYE_LOAD_AUTO ? PYE_LOAD_MMAP : mode;
    map->allocator = allocator;
    size_t path_bytes = strlen(path) + 1;
    map->path = pye_allocate(allocator, path_bytes);
    if (map->path != NULL)
        memcpy(map->path, path, path_bytes);
    if (map->path == NULL || !pye_mutex_init(&map->lock)) {
        pye_release(map->path);
        return pye_fail_memory(error, path_bytes);
    }
    pye_status status = open_file(map, error);
    if (status == PYE_OK)
        status = mode_reads(map->mode) ? open_memory(map, error) : open_view(map, error);
    if (status != PYE_OK)
        pye_map_close(map);
    return status;
}

pye_status pye_map_avoid_large_pages(pye_map *map, pye_error *error) {
    if (mode_reads(map->mode))
        return PYE_OK;
    int code = pye_view_avoid_large_pages(&map->base, map->file, region_bytes(map));
    return code == 0 ? PYE_OK : pye_fail_system(error, code, "cannot map %" PRIu64 " bytes", map->size);
}

pye_status pye_map_protect(pye_map *map, pye_error *error) {
    if (mode_reads(map->mode))
        return PYE_OK;
    map->guard = pye_guard_enter(map->base, region_bytes(map), &map->damaged);
    return map->guard != NULL ? PYE_OK : pye_fail_memory(error, sizeof map->guard);
}

pye_status pye_map_undamaged(const pye_map *map, uint32_t shard, pye_error *error) {
    /* The flag is looked at after the bytes were read, by the compiler and by the processor. */
    atomic_signal_fence(memory_order_seq_cst);
    atomic_thread_fence(memory_order_acquire);
    if (!atomic_load_explicit(&map->damaged, memory_order_relaxed))
        return PYE_OK;
    (void)pye_fail(error, PYE_ERROR_IO, PYE_NO_OFFSET,
                   "a part of the mapped file is gone: it had %" PRIu64
                   " bytes when it was opened and was truncated since, or its disk fails; open the model anew",
                   map->size);
    if (error != NULL)
        error->shard = shard;
    return PYE_ERROR_IO;
}

pye_status pye_map_intact(const pye_map *map, uint32_t shard, pye_error *error) {
    pye_identity now;
    /* Zeros stand in for what a file lost inside a page that it still has a part of: only its size tells. */
    if (map->page_bytes != 0 && pye_file_identify(map->file, &now) == 0 && now.size < map->size)
        atomic_store((atomic_bool *)(uintptr_t)&map->damaged, true);
    return pye_map_undamaged(map, shard, error);
}

pye_status pye_map_compare(const pye_map *map, pye_change *change, pye_error *error) {
    pye_identity now;
    *change = PYE_CHANGE_NONE;
    if (atomic_load(&map->damaged)) {
        *change = PYE_CHANGE_TRUNCATED;
        return PYE_OK;
    }
    int code = pye_path_identify(map->path, &now);
    if (code != 0) {
        if (pye_system_errno(code) != ENOENT && pye_system_errno(code) != ENOTDIR)
            return pye_fail_system(error, code, "cannot examine the file");
        *change = PYE_CHANGE_REMOVED;
        return PYE_OK;
    }
    const pye_identity *then = &map->identity;
    if (now.device != then->device || now.inode != then->inode)
        *change = PYE_CHANGE_REPLACED;
    else if (now.size < then->size)
        *change = PYE_CHANGE_TRUNCATED;
    else if (now.size != then->size || now.seconds != then->seconds || now.nanoseconds != then->nanoseconds)
        *change = PYE_CHANGE_OVERWRITTEN;
    return PYE_OK;
}

void pye_map_close(pye_map *map) {
    pye_guard_leave(map->guard);
    if (map->base != NULL && mode_reads(map->mode))
        pye_memory_free(map->base, region_bytes(map));
    else if (map->base != NULL)
        pye_view_close(map->base, region_bytes(map));
    if (map->file != PYE_NO_HANDLE)
        pye_file_close(map->file);
    pye_mutex_destroy(&map->lock);
    pye_pages_close(&map->pages);
    pye_release(map->loaded);
    pye_release(map->path);
}

/* The file system refuses direct reads: goes on with ordinary ones, and says so through the mode. */
static bool leave_direct_io(pye_map *map) {
    pye_handle file;
    pye_identity unused;
    if (pye_file_open(&file, &unused, map->path, false) != 0)
        return false;
    pye_file_close(map->file);
    map->file = file;
    map->mode = PYE_LOAD_NONE;
    return true;
}

/* Reads bytes first .. end - 1 of the file to their place in the region. */
static pye_status read_range(pye_map *map, uint64_t first, uint64_t end, pye_error *error) {
    uint8_t *base = (uint8_t *)(uintptr_t)map->base;
    if (first < end) {
        uint64_t from = round_down(first, BLOCK), upto = round_down(end + BLOCK - 1, BLOCK);
        int code = pye_memory_commit(base + from, (size_t)(upto - from));
        if (code != 0)
            return pye_fail_system(error, code, "cannot have %" PRIu64 " bytes of memory", upto - from);
    }
    while (first < end) {
        bool direct = map->mode == PYE_LOAD_DIRECT_IO;
        uint64_t from = direct ? round_down(first, BLOCK) : first;
        uint64_t upto = direct ? round_down(end + BLOCK - 1, BLOCK) : end;
        size_t n;
        int code = pye_file_read(map->file, from, base + from, (size_t)(upto - from), &n);
        if (code != 0 && direct && pye_system_errno(code) == EINVAL && leave_direct_io(map))
            continue;
        if (code != 0)
            return pye_fail_system(error, code, "cannot read at byte %" PRIu64, from);
        if (n <= first - from)
            return pye_fail(error, PYE_ERROR_IO, first,
                            "the file ends at byte %" PRIu64 "; it had %" PRIu64 " bytes when it was opened",
                            from + n, map->size);
        first = from + n;
    }
    return PYE_OK;
}

static pye_status lock_range(const pye_map *map, uint64_t first, uint64_t end, pye_error *error) {
    uint64_t from = round_down(first, pye_page_bytes());
    int code = end > from ? pye_memory_lock(map->base + from, (size_t)(end - from)) : 0;
    char words[PYE_SYSTEM_TEXT_BYTES];
    if (code != 0)
        return pye_fail(error, PYE_ERROR_MEMORY, PYE_NO_OFFSET, "cannot lock %" PRIu64 " bytes: %s; %s",
                        end - from, pye_system_text(code, words), pye_memory_lock_advice);
    return PYE_OK;
}

void pye_map_narrow(pye_map *map, pye_range part) {
    map->first = part.offset;
    map->end = part.offset + part.n_bytes;
    if (map->visible < map->first)
        map->visible = map->first; /* nobody reads what lies before */
}

pye_status pye_map_reveal(pye_map *map, uint64_t upto, pye_error *error) {
    if (upto <= map->visible)
        return PYE_OK;
    uint64_t step = map->size - map->visible < HEADER_STEP ? map->size : map->visible + HEADER_STEP;
    uint64_t end = upto > step ? upto : step;
    pye_status status = read_range(map, map->visible, end, error);
    if (status == PYE_OK)
        map->visible = end;
    return status;
}

pye_status pye_map_settle(pye_map *map, uint64_t header_bytes, pye_error *error) {
    if (mode_locks(map->mode)) {
        pye_status status = lock_range(map, map->first, header_bytes, error);
        if (status != PYE_OK)
            return status;
    }
    if (!mode_reads(map->mode)) {
        pye_view_expect_random(map->base, (size_t)map->size);
        /* Parsing touched the whole header; its pages stay in the page cache and come back when a token is asked. */
        if (map->mode == PYE_LOAD_MMAP)
            pye_view_drop(map->base, (size_t)header_bytes);
    }
    return PYE_OK;
}

static pye_status read_with_progress(pye_map *map, uint64_t offset, uint64_t n_bytes, pye_progress progress,
                                     void *data, const pye_interrupt *interrupt, pye_error *error) {
    pye_watch watch = pye_watch_begin(interrupt);
    uint64_t done = 0;
    while (done < n_bytes) {
        uint64_t step = n_bytes - done < CHUNK ? n_bytes - done : CHUNK;
        pye_status status = read_range(map, offset + done, offset + done + step, error);
        if (status != PYE_OK)
            return status;
        done += step;
        if (pye_watch_stops(&watch))
            return pye_fail_interrupted(error);
        if (progress != NULL && !progress(done, n_bytes, data))
            return pye_fail(error, PYE_ERROR_CANCELLED, PYE_NO_OFFSET,
                            "cancelled after %" PRIu64 " of %" PRIu64 " bytes", done, n_bytes);
    }
    return PYE_OK;
}

static bool is_loaded(const pye_map *map, uint64_t offset, uint64_t n_bytes) {
    for (size_t i = 0; i < map->n_loaded; i++) {
        const pye_range *range = &map->loaded[i];
        if (offset >= range->offset && offset - range->offset <= range->n_bytes &&
            n_bytes <= range->n_bytes - (offset - range->offset))
            return true;
    }
    return false;
}

static pye_status load_locked(pye_map *map, uint64_t offset, uint64_t n_bytes, pye_progress progress, void *data,
                              const pye_interrupt *interrupt, pye_error *error) {
    if (is_loaded(map, offset, n_bytes))
        return PYE_OK;
    size_t wanted = (map->n_loaded + 1) * sizeof *map->loaded;
    pye_range *grown = pye_resize(map->allocator, map->loaded, wanted);
    if (grown == NULL)
        return pye_fail_memory(error, wanted);
    map->loaded = grown;
    pye_status status = PYE_OK;
    if (mode_reads(map->mode))
        status = read_with_progress(map, offset, n_bytes, progress, data, interrupt, error);
    if (status == PYE_OK && mode_locks(map->mode))
        status = lock_range(map, offset, offset + n_bytes, error);
    if (status == PYE_OK)
        map->loaded[map->n_loaded++] = (pye_range){offset, n_bytes};
    return status;
}

pye_status pye_map_load(pye_map *map, uint64_t offset, uint64_t n_bytes, pye_progress progress, void *data,
                        const pye_interrupt *interrupt, pye_error *error) {
    if (map->mode == PYE_LOAD_MMAP || n_bytes == 0)
        return PYE_OK;
    pye_mutex_lock(&map->lock);
    pye_status status = load_locked(map, offset, n_bytes, progress, data, interrupt, error);
    pye_mutex_unlock(&map->lock);
    return status;
}

void pye_map_expect(const pye_map *map, uint64_t offset, uint64_t n_bytes) {
    if (mode_reads(map->mode) || n_bytes == 0)
        return;
    uint64_t into_page = offset % pye_page_bytes();
    pye_view_expect(map->base + (offset - into_page), (size_t)(n_bytes + into_page));
}
