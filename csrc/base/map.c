#if defined(__linux__)
#define _GNU_SOURCE /* O_DIRECT, MAP_NORESERVE */
#endif
#include "base/map.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/memory.h"
#include "base/status.h"

#ifndef MAP_NORESERVE
#define MAP_NORESERVE 0
#endif
#ifndef MAP_ANONYMOUS
#define MAP_ANONYMOUS MAP_ANON
#endif
#ifndef O_DIRECT
#define O_DIRECT 0 /* opens as usual, which is the documented fallback */
#endif

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

/* O_NONBLOCK keeps a named pipe from blocking the open; it means nothing for a regular file. */
static int open_for_reading(const char *path, int flags) {
    int fd;
    do
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | flags);
    while (fd < 0 && errno == EINTR);
    return fd;
}

static pye_identity identity_of(const struct stat *info) {
#if defined(__APPLE__)
    struct timespec changed = info->st_mtimespec;
#else
    struct timespec changed = info->st_mtim;
#endif
    return (pye_identity){
        .device = (uint64_t)info->st_dev,
        .inode = (uint64_t)info->st_ino,
        .size = (uint64_t)info->st_size,
        .seconds = (int64_t)changed.tv_sec,
        .nanoseconds = (int64_t)changed.tv_nsec,
    };
}

static pye_status open_file(pye_map *map, pye_error *error) {
    bool direct = map->mode == PYE_LOAD_DIRECT_IO;
    map->fd = open_for_reading(map->path, direct ? O_DIRECT : 0);
    if (map->fd < 0 && direct && errno == EINVAL)
        map->fd = open_for_reading(map->path, 0);
    if (map->fd < 0)
        return pye_fail_errno(error, errno, "cannot open the file");
    struct stat info;
    if (fstat(map->fd, &info) != 0)
        return pye_fail_errno(error, errno, "cannot examine the file");
    if (S_ISDIR(info.st_mode))
        return pye_fail_errno(error, EISDIR, "not a model file");
    if (!S_ISREG(info.st_mode))
        return pye_fail(error, PYE_ERROR_FORMAT, PYE_NO_OFFSET, "not a regular file");
    if (info.st_size == 0)
        return pye_fail(error, PYE_ERROR_FORMAT, 0, "the file is empty");
    if ((uint64_t)info.st_size > SIZE_MAX - BLOCK)
        return pye_fail(error, PYE_ERROR_MEMORY, PYE_NO_OFFSET, "the file is larger than the address space");
    map->size = (uint64_t)info.st_size;
    map->end = map->size;
    map->identity = identity_of(&info);
    return PYE_OK;
}

static pye_status open_region(pye_map *map, pye_error *error) {
    void *base;
    if (mode_reads(map->mode)) {
        base = mmap(NULL, region_bytes(map), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
                    -1, 0);
        map->visible = 0;
    } else {
        base = mmap(NULL, region_bytes(map), PROT_READ, MAP_SHARED, map->fd, 0);
        map->visible = map->size;
    }
    if (base == MAP_FAILED)
        return pye_fail_errno(error, errno, "cannot map %" PRIu64 " bytes", map->size);
    map->base = base;
    if (mode_reads(map->mode)) {
        pye_want_large_pages(base, region_bytes(map)); /* rows are read at random: fewer TLB misses */
        return PYE_OK;
    }
    map->page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    return PYE_OK;
}

pye_status pye_map_open(pye_map *map, const pye_allocator *allocator, const char *path, pye_load_mode mode,
                        pye_error *error) {
    memset(map, 0, sizeof *map);
    map->fd = -1;
    atomic_init(&map->damaged, false);
    map->mode = mode == PYE_LOAD_AUTO ? PYE_LOAD_MMAP : mode;
    map->allocator = allocator;
    size_t path_bytes = strlen(path) + 1;
    map->path = pye_allocate(allocator, path_bytes);
    if (map->path != NULL)
        memcpy(map->path, path, path_bytes);
    if (map->path == NULL || pthread_mutex_init(&map->lock, NULL) != 0) {
        pye_release(map->path);
        return pye_fail_memory(error, path_bytes);
    }
    pye_status status = open_file(map, error);
    if (status == PYE_OK)
        status = open_region(map, error);
    if (status != PYE_OK)
        pye_map_close(map);
    return status;
}

/* Large pages begin at multiples of this many bytes of a file, and of memory. */
#define LARGE_PAGE (UINT64_C(2) << 20)
#define ASIDE (UINT64_C(64) << 10)

pye_status pye_map_avoid_large_pages(pye_map *map, pye_error *error) {
    if (mode_reads(map->mode))
        return PYE_OK;
    size_t n_bytes = region_bytes(map), wanted = n_bytes + 2 * (size_t)LARGE_PAGE;
    uint8_t *space = wanted < n_bytes
                         ? MAP_FAILED
                         : mmap(NULL, wanted, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (space == MAP_FAILED)
        return pye_fail_errno(error, errno, "cannot map %" PRIu64 " bytes", map->size);
    uint8_t *base = space + (LARGE_PAGE - (uintptr_t)space % LARGE_PAGE) + ASIDE;
    if (mmap(base, n_bytes, PROT_READ, MAP_SHARED | MAP_FIXED, map->fd, 0) == MAP_FAILED) {
        int number = errno;
        (void)munmap(space, wanted);
        return pye_fail_errno(error, number, "cannot map %" PRIu64 " bytes", map->size);
    }
    uint8_t *end = base + round_down(n_bytes + (size_t)map->page_bytes - 1, map->page_bytes);
    (void)munmap(space, (size_t)(base - space));
    (void)munmap(end, (size_t)(space + wanted - end));
    (void)munmap((void *)(uintptr_t)map->base, n_bytes);
    map->base = base;
    return PYE_OK;
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
    struct stat info;
    /* Zeros stand in for what a file lost inside a page that it still has a part of: only its size tells. */
    if (map->page_bytes != 0 && fstat(map->fd, &info) == 0 && (uint64_t)info.st_size < map->size)
        atomic_store((atomic_bool *)(uintptr_t)&map->damaged, true);
    return pye_map_undamaged(map, shard, error);
}

pye_status pye_map_compare(const pye_map *map, pye_change *change, pye_error *error) {
    struct stat info;
    *change = PYE_CHANGE_NONE;
    if (atomic_load(&map->damaged)) {
        *change = PYE_CHANGE_TRUNCATED;
        return PYE_OK;
    }
    if (stat(map->path, &info) != 0) {
        if (errno != ENOENT && errno != ENOTDIR)
            return pye_fail_errno(error, errno, "cannot examine the file");
        *change = PYE_CHANGE_REMOVED;
        return PYE_OK;
    }
    const pye_identity *then = &map->identity;
    pye_identity now = identity_of(&info);
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
    if (map->base != NULL)
        (void)munmap((void *)(uintptr_t)map->base, region_bytes(map));
    if (map->fd >= 0)
        (void)close(map->fd);
    (void)pthread_mutex_destroy(&map->lock);
    pye_pages_close(&map->pages);
    pye_release(map->loaded);
    pye_release(map->path);
}

/* The file system refuses direct reads: goes on with ordinary ones, and says so through the mode. */
static bool leave_direct_io(pye_map *map) {
    int fd = open_for_reading(map->path, 0);
    if (fd < 0)
        return false;
    (void)close(map->fd);
    map->fd = fd;
    map->mode = PYE_LOAD_NONE;
    return true;
}

/* Reads bytes first .. end - 1 of the file to their place in the region. */
static pye_status read_range(pye_map *map, uint64_t first, uint64_t end, pye_error *error) {
    uint8_t *base = (uint8_t *)(uintptr_t)map->base;
    while (first < end) {
        bool direct = map->mode == PYE_LOAD_DIRECT_IO;
        uint64_t from = direct ? round_down(first, BLOCK) : first;
        uint64_t upto = direct ? round_down(end + BLOCK - 1, BLOCK) : end;
        ssize_t n = pread(map->fd, base + from, (size_t)(upto - from), (off_t)from);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && direct && errno == EINVAL && leave_direct_io(map))
            continue;
        if (n < 0)
            return pye_fail_errno(error, errno, "cannot read at byte %" PRIu64, from);
        if ((uint64_t)n <= first - from)
            return pye_fail(error, PYE_ERROR_IO, first,
                            "the file ends at byte %" PRIu64 "; it had %" PRIu64 " bytes when it was opened",
                            from + (uint64_t)n, map->size);
        first = from + (uint64_t)n;
    }
    return PYE_OK;
}

static pye_status lock_range(const pye_map *map, uint64_t first, uint64_t end, pye_error *error) {
    uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t from = round_down(first, page);
    if (end > from && mlock(map->base + from, (size_t)(end - from)) != 0)
        return pye_fail(error, PYE_ERROR_MEMORY, PYE_NO_OFFSET,
                        "cannot lock %" PRIu64 " bytes: %s; raise RLIMIT_MEMLOCK (ulimit -l) or do not ask for "
                        "locked memory",
                        end - from, strerror(errno));
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
        void *base = (void *)(uintptr_t)map->base;
        (void)posix_madvise(base, (size_t)map->size, POSIX_MADV_RANDOM);
#if defined(MADV_DONTNEED)
        /* Parsing touched the whole header; its pages stay in the page cache and come back when a token is asked. */
        if (map->mode == PYE_LOAD_MMAP)
            (void)madvise(base, (size_t)header_bytes, MADV_DONTNEED);
#endif
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
    (void)pthread_mutex_lock(&map->lock);
    pye_status status = load_locked(map, offset, n_bytes, progress, data, interrupt, error);
    (void)pthread_mutex_unlock(&map->lock);
    return status;
}

void pye_map_expect(const pye_map *map, uint64_t offset, uint64_t n_bytes) {
    if (mode_reads(map->mode) || n_bytes == 0)
        return;
    uint64_t into_page = offset % (uint64_t)sysconf(_SC_PAGESIZE);
    void *begin = (void *)(uintptr_t)(map->base + (offset - into_page));
    (void)posix_madvise(begin, (size_t)(n_bytes + into_page), POSIX_MADV_WILLNEED);
}
