/* ids -> rows: checks the arguments, then shares the rows out among threads. */
#include <inttypes.h>
#include <stdatomic.h>

#include "base/cpu.h"
#include "base/options.h"
#include "base/watch.h"
#include "table/rows.h"

/* Waking a thread costs as much as moving a few hundred KiB; one is worth it for several times that. */
#define BYTES_A_THREAD (UINT64_C(4) << 20)

/* Rows are shared out in portions of about this many bytes, so that a thread that started late does less. */
#define PORTION_BYTES (UINT64_C(256) << 10)

static pye_status fail_id(uint64_t id, pye_id_type type, size_t position, uint64_t n_rows, pye_error *error) {
    if (type != PYE_ID_U64 && id > INT64_MAX)
        return pye_fail(error, PYE_ERROR_ID, position,
                        "the id at position %zu is %" PRId64
                        ": ids are at least 0 and below the number of rows, %" PRIu64,
                        position, (int64_t)id, n_rows);
    return pye_fail(error, PYE_ERROR_ID, position,
                    "the id at position %zu is %" PRIu64 ": ids are below the number of rows, %" PRIu64, position,
                    id, n_rows);
}

static pye_status check_ids(const pye_row_job *job, size_t n_ids, pye_error *error) {
    uint64_t n_rows = job->table->info.n_rows;
    for (size_t i = 0; i < n_ids; i++) {
        uint64_t id = pye_id_at(job->ids, job->id_type, i);
        if (id >= n_rows)
            return fail_id(id, job->id_type, i, n_rows, error);
    }
    return PYE_OK;
}

static size_t id_bytes(pye_id_type type) {
    switch (type) {
    case PYE_ID_I64:
    case PYE_ID_U64:
        return 8;
    case PYE_ID_I16:
    case PYE_ID_U16:
        return 2;
    case PYE_ID_I8:
    case PYE_ID_U8:
        return 1;
    default:
        return 4;
    }
}

/* Writing a row must not change the ids that follow. */
static bool overlaps_ids(const pye_row_job *job, size_t n_ids, uint64_t row_bytes) {
    uintptr_t ids = (uintptr_t)job->ids, out = (uintptr_t)job->out;
    return n_ids > 0 && row_bytes > 0 && ids < out + (n_ids - 1) * job->out_stride + row_bytes &&
           out < ids + n_ids * id_bytes(job->id_type);
}

static pye_status check_job(const pye_row_job *job, const pye_gather_options *options, size_t n_ids,
                            pye_error *error) {
    if (options->id_type < PYE_ID_I32 || options->id_type > PYE_ID_U8)
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET, "%d is not an id type", (int)options->id_type);
    if (options->dtype < PYE_DTYPE_F32 || options->dtype > PYE_DTYPE_BF16)
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET, "%d is not an output type", (int)options->dtype);
    uint64_t row_bytes = job->table->info.n_columns * pye_dtype_bytes(job->dtype);
    if (job->out_stride < row_bytes)
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET,
                        "out_row_bytes is %" PRIu64 ": output rows are %" PRIu64 " bytes and must not overlap",
                        job->out_stride, row_bytes);
    if (overlaps_ids(job, n_ids, row_bytes))
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET, "the output and the ids overlap in memory");
    return check_ids(job, n_ids, error);
}

/* ------------------------------------------------------------------------------------------ threads */

/* Bytes from which on a gather can be interrupted, and of its portions on a single thread. */
#define WATCHED_BYTES (UINT64_C(16) << 20)

typedef struct shared_job {
    pye_row_job job;
    pye_watch watch;
    size_t n_ids;
    size_t portion;
    atomic_size_t next;
    atomic_bool failed;
    atomic_bool interrupted;
    bool has_forked;
} shared_job;

static void take_portions(void *context) {
    shared_job *shared = context;
    while (!atomic_load_explicit(&shared->interrupted, memory_order_relaxed)) {
        size_t first = atomic_fetch_add_explicit(&shared->next, shared->portion, memory_order_relaxed);
        if (first >= shared->n_ids)
            return;
        size_t left = shared->n_ids - first;
        if (!pye_rows_gather(&shared->job, first, left < shared->portion ? left : shared->portion))
            atomic_store_explicit(&shared->failed, true, memory_order_relaxed);
        if (!pye_watch_is_caller(&shared->watch))
            continue;
        if (pye_watch_stops(&shared->watch))
            atomic_store_explicit(&shared->interrupted, true, memory_order_relaxed);
        shared->has_forked = pye_watch_has_forked(&shared->watch);
        if (shared->has_forked)
            return;
    }
}

typedef enum outcome { DONE, IDS_CHANGED, INTERRUPTED } outcome;

static outcome run(const pye_row_job *job, size_t n_ids, uint64_t bytes_an_id, uint32_t n_threads) {
    size_t threads = pye_pool_threads(n_threads, n_ids * bytes_an_id / BYTES_A_THREAD);
    if (n_ids == 1 || (threads == 1 && n_ids <= WATCHED_BYTES / bytes_an_id))
        return pye_rows_gather(job, 0, n_ids) ? DONE : IDS_CHANGED;
    uint64_t portion = (threads == 1 ? WATCHED_BYTES : PORTION_BYTES) / bytes_an_id + 1;
    uint64_t even = (n_ids - 1) / threads + 1;
    pye_model *model = job->table->model;
    shared_job shared = {.job = *job,
                         .watch = pye_watch_begin(&model->interrupt),
                         .n_ids = n_ids,
                         .portion = (size_t)(portion < even ? portion : even)};
    atomic_init(&shared.next, 0);
    atomic_init(&shared.failed, false);
    atomic_init(&shared.interrupted, false);
    size_t n_portions = (n_ids - 1) / shared.portion + 1;
    pye_pool_run(&model->pool, &model->allocator, threads < n_portions ? threads : n_portions, take_portions,
                 &shared);
    while (shared.has_forked) { /* the child has no workers, nor what they did: it does all of the work */
        shared.has_forked = false;
        shared.watch = pye_watch_begin(&model->interrupt);
        atomic_store(&shared.next, 0);
        take_portions(&shared);
    }
    if (atomic_load_explicit(&shared.interrupted, memory_order_relaxed))
        return INTERRUPTED;
    return atomic_load_explicit(&shared.failed, memory_order_relaxed) ? IDS_CHANGED : DONE;
}

/* Reading a clock costs about as much as a short row: of small gathers a sample is timed, which counts for all. */
#define TIMED_ROWS 16
#define SAMPLE 16

/* What a reading of the clock around this gather stands for, 0 if it is not timed. */
static uint64_t time_weight(pye_counter_shard *shard, size_t n_ids) {
    if (n_ids >= TIMED_ROWS)
        return 1;
    uint64_t n_before = atomic_load_explicit(&shard->count.n_gathers, memory_order_relaxed);
    return n_before % SAMPLE == 0 ? SAMPLE : 0;
}

static void count(const pye_table *table, pye_counter_shard *shard, size_t n_ids, uint64_t out_bytes) {
    pye_count(&shard->count.n_gathers, 1);
    pye_count(&shard->count.n_rows, n_ids);
    pye_count(&shard->count.n_bytes_read, n_ids * table->info.row_bytes);
    pye_count(&shard->count.n_bytes_written, n_ids * out_bytes);
}

/* Does the work of a checked job and counts it. */
static outcome run_counted(const pye_row_job *job, size_t n_ids, uint64_t out_bytes, uint32_t n_threads) {
    pye_counter_shard *shard = pye_counters_shard(&job->table->model->counters);
    uint64_t weight = time_weight(shard, n_ids);
    uint64_t begin = weight > 0 ? pye_clock_nanoseconds() : 0;
    outcome done = run(job, n_ids, out_bytes + job->table->info.row_bytes, n_threads);
    if (weight > 0)
        pye_count(&shard->count.nanoseconds, (pye_clock_nanoseconds() - begin) * weight);
    if (done == DONE)
        count(job->table, shard, n_ids, out_bytes);
    return done;
}

/* Above so many rows the system is asked for the file's size without looking whether that can be saved. */
#define PROBED_ROWS 64

/* After the rows were read. A file's size is asked for only if a page that was read may have lost its end. */
static pye_status check_intact(const pye_row_job *job, size_t n_ids, pye_error *error) {
    const pye_table *table = job->table;
    bool may_be_cut = n_ids > PROBED_ROWS;
    for (size_t i = 0; i < n_ids && !may_be_cut; i++) {
        uint64_t row = pye_id_at(job->ids, job->id_type, i);
        may_be_cut = row >= table->info.n_rows || /* another thread changed it meanwhile */
                     pye_map_may_be_cut(table->map, table->rows + (row + 1) * table->info.row_bytes - 1);
    }
    return may_be_cut ? pye_map_intact(table->map, table->info.shard, error)
                      : pye_map_undamaged(table->map, table->info.shard, error);
}

pye_status pye_table_gather(const pye_table *table, const void *ids, size_t n_ids, void *out,
                            const pye_gather_options *options, pye_error *error) {
    pye_gather_options known;
    pye_status status = pye_copy_options(&known, sizeof known, options, "pye_gather_options", error);
    if (status != PYE_OK)
        return status;
    uint64_t out_bytes = table->info.n_columns * pye_dtype_bytes(known.dtype);
    pye_row_job job = {
        .table = table,
        .ids = ids,
        .id_type = known.id_type,
        .dtype = known.dtype,
        .out = out,
        .out_stride = known.out_row_bytes == 0 ? out_bytes : known.out_row_bytes,
    };
    status = check_job(&job, &known, n_ids, error);
    if (status != PYE_OK)
        return status;
    if (n_ids == 0 || out_bytes == 0) {
        count(table, pye_counters_shard(&table->model->counters), n_ids, out_bytes);
        return PYE_OK;
    }
    /* A large output would only push out what the caches, which others share, do hold. */
    size_t cache_bytes = pye_cpu_cache_bytes();
    job.stream = n_ids > cache_bytes / 8 / out_bytes;
    job.prefetch = n_ids > 1 && table->info.n_bytes > cache_bytes / 4;
    outcome done = run_counted(&job, n_ids, out_bytes, known.n_threads);
    if (done == INTERRUPTED)
        return pye_fail_interrupted(error);
    if (done == IDS_CHANGED)
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET,
                        "another thread changed the ids during the gather");
    return check_intact(&job, n_ids, error);
}
