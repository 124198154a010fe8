/* ids -> rows: checks the arguments, then shares the rows out among threads. */
#include <inttypes.h>

#include "base/cpu.h"
#include "base/options.h"
#include "base/portions.h"
#include "table/gather.h"
#include "table/presence.h"
#include "table/rows.h"

/* Waking a thread costs as much as moving a few hundred KiB; one is worth it for several times that. */
#define BYTES_A_THREAD (UINT64_C(4) << 20)

/* Rows are shared out in portions of about this many bytes, so that a thread that started late does less. */
#define PORTION_BYTES (UINT64_C(256) << 10)

/* Counts the ids that name rows. */
static pye_status check_ids(const pye_row_job *job, size_t n_ids, size_t *n_inside, pye_error *error) {
    *n_inside = n_ids;
    for (size_t i = 0; job->has_window && i < n_ids; i++)
        *n_inside -= pye_is_outside(job, pye_id_at(job->ids, job->id_type, i));
    size_t wrong = job->has_window ? n_ids : pye_find_outside(job->ids, job->id_type, n_ids, job->n_rows);
    if (wrong == n_ids)
        return PYE_OK;
    return pye_fail_id(pye_id_at(job->ids, job->id_type, wrong), job->id_type, wrong, job->n_rows, error);
}

/* Writing a row must not change the ids that follow. */
static bool overlaps_ids(const pye_row_job *job, size_t n_ids, const uint8_t *to, uint64_t row_bytes,
                         uint64_t stride) {
    uintptr_t ids = (uintptr_t)job->ids, out = (uintptr_t)to;
    return n_ids > 0 && row_bytes > 0 && ids < out + (n_ids - 1) * stride + row_bytes &&
           out < ids + n_ids * pye_id_bytes(job->id_type);
}

static pye_status check_output(const pye_row_job *job, size_t n_ids, pye_error *error) {
    if (job->out_stride < job->out_bytes)
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET,
                        "out_row_bytes is %" PRIu64 ": output rows are %" PRIu64 " bytes and must not overlap",
                        job->out_stride, job->out_bytes);
    if (job->scales_stride < job->scales_bytes)
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET,
                        "out_scales_row_bytes is %" PRIu64 ": the scales of a row are %" PRIu64
                        " bytes and must not overlap",
                        job->scales_stride, job->scales_bytes);
    if (overlaps_ids(job, n_ids, job->out, job->out_bytes, job->out_stride) ||
        overlaps_ids(job, n_ids, job->scales, job->scales_bytes, job->scales_stride))
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET, "the output and the ids overlap in memory");
    return PYE_OK;
}

static pye_status check_options(const pye_gather_options *options, uint64_t n_rows, pye_error *error) {
    pye_status status = pye_check_id_type((int32_t)options->id_type, error);
    if (status != PYE_OK)
        return status;
    if (options->dtype < PYE_DTYPE_F32 || options->dtype > PYE_DTYPE_RAW)
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET, "%d is not an output type", (int)options->dtype);
    if (options->out_scales != NULL && options->dtype != PYE_DTYPE_RAW)
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET, "out_scales is for PYE_DTYPE_RAW alone");
    if (options->has_window && (options->window_first > options->window_end || options->window_end > n_rows))
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET,
                        "the window is %" PRIu64 " to %" PRIu64 ": it must lie inside the table's %" PRIu64
                        " rows",
                        options->window_first, options->window_end, n_rows);
    return PYE_OK;
}

/* A checked request, but for its ids and where its output lies. */
static pye_row_job job_of(const pye_table *table, const pye_gather_options *options) {
    pye_row_job job = {.table = table,
                       .id_type = options->id_type,
                       .dtype = options->dtype,
                       .out_bytes = table->info.n_columns * pye_dtype_bytes(options->dtype),
                       .n_rows = table->info.n_rows};
    if (options->dtype == PYE_DTYPE_RAW)
        pye_table_raw_bytes(table, &job.out_bytes, &job.scales_bytes);
    if (options->out_scales == NULL) {
        job.out_bytes += job.scales_bytes;
        job.scales_bytes = 0;
    }
    job.out_stride = options->out_row_bytes == 0 ? job.out_bytes : options->out_row_bytes;
    job.scales = options->out_scales;
    job.scales_stride = options->out_scales_row_bytes == 0 ? job.scales_bytes : options->out_scales_row_bytes;
    if (options->has_window) {
        job.has_window = true;
        job.first = options->window_first;
        job.n_rows = options->window_end - options->window_first;
    }
    return job;
}

/* ------------------------------------------------------------------------------------------ threads */

/* Bytes from which on a gather can be interrupted, and of its portions on a single thread. */
#define WATCHED_BYTES (UINT64_C(16) << 20)

static pye_status gather_portion(void *context, uint64_t first, uint64_t n, pye_error *error) {
    if (pye_rows_gather(context, (size_t)first, (size_t)n))
        return PYE_OK;
    return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET, "another thread changed the ids during the gather");
}

static pye_status run(const pye_row_job *job, size_t n_ids, uint64_t bytes_an_id, uint32_t n_threads,
                      pye_error *error) {
    size_t threads = pye_pool_threads(n_threads, n_ids * bytes_an_id / BYTES_A_THREAD);
    if (n_ids == 1 || (threads == 1 && n_ids <= WATCHED_BYTES / bytes_an_id))
        return gather_portion((void *)(uintptr_t)job, 0, n_ids, error);
    uint64_t portion = (threads == 1 ? WATCHED_BYTES : PORTION_BYTES) / bytes_an_id + 1;
    uint64_t even = (n_ids - 1) / threads + 1;
    pye_model *model = job->table->model;
    const pye_portions portions = {.pool = &model->pool,
                                   .allocator = &model->allocator,
                                   .interrupt = job->interrupt,
                                   .n_threads = threads,
                                   .n_items = n_ids,
                                   .portion = portion < even ? portion : even,
                                   .work = gather_portion,
                                   .context = (void *)(uintptr_t)job};
    return pye_portions_run(&portions, error);
}

static void count(const pye_row_job *job, pye_counter_shard *shard, size_t n_ids, size_t n_inside) {
    pye_count(&shard->count.n_gathers, 1);
    pye_count(&shard->count.n_rows, n_ids);
    pye_count(&shard->count.n_bytes_read, n_inside * job->table->info.row_bytes);
    pye_count(&shard->count.n_bytes_written, n_ids * (job->out_bytes + job->scales_bytes));
}

/* As `run`, of rows that are in memory by then, as far as is known. `was_there` says whether all were before. */
static pye_status run_present(const pye_row_job *job, size_t n_ids, uint64_t n_before, uint64_t bytes_an_id,
                              uint32_t n_threads, bool *was_there, pye_error *error) {
    const pye_ids ids = {job->ids, job->id_type, n_ids, job->first, job->n_rows};
    pye_status status = pye_presence_ensure(job->table, &ids, n_before, job->interrupt, was_there, error);
    return status == PYE_OK ? run(job, n_ids, bytes_an_id, n_threads, error) : status;
}

/* The same of any number of rows: as many at a time as can be in memory. */
static pye_status run_batches(const pye_row_job *job, size_t n_ids, uint64_t n_before, uint64_t bytes_an_id,
                              uint32_t n_threads, bool *was_there, pye_error *error) {
    size_t most = pye_presence_batch_rows(job->table);
    if (n_ids <= most)
        return run_present(job, n_ids, n_before, bytes_an_id, n_threads, was_there, error);
    pye_status status = PYE_OK;
    for (size_t first = 0; first < n_ids && status == PYE_OK; first += most) {
        pye_row_job batch = *job;
        bool is_there;
        batch.ids = (const uint8_t *)job->ids + first * pye_id_bytes(job->id_type);
        batch.out = job->out + first * job->out_stride;
        if (job->scales != NULL)
            batch.scales = job->scales + first * job->scales_stride;
        status = run_present(&batch, n_ids - first < most ? n_ids - first : most, n_before + first, bytes_an_id,
                             n_threads, &is_there, error);
        *was_there &= is_there;
    }
    return status;
}

/* A gather that takes longer than this for each row, and for each byte, may have waited for a disk. */
#define SLOW_NANOSECONDS_A_ROW 5000
#define SLOW_NANOSECONDS_A_BYTE 4

/* Does the work of a checked job and counts it. */
static pye_status run_counted(pye_row_job *job, size_t n_ids, size_t n_inside, uint32_t n_threads,
                              pye_error *error) {
    pye_counter_shard *shard = pye_counters_shard(&job->table->model->counters);
    uint64_t bytes_an_id = job->out_bytes + job->scales_bytes + job->table->info.row_bytes;
    const pye_timing timing = pye_timing_begin(shard, n_ids);
    bool was_there = true;
    uint64_t n_before = atomic_load_explicit(&shard->count.n_rows, memory_order_relaxed);
    pye_status status = pye_presence_is_settled(job->table, n_before, n_ids)
                            ? run(job, n_ids, bytes_an_id, n_threads, error)
                            : run_batches(job, n_ids, n_before, bytes_an_id, n_threads, &was_there, error);
    uint64_t nanoseconds = pye_timing_end(&timing, shard);
    if (job->table->asks && was_there &&
        nanoseconds > n_ids * (SLOW_NANOSECONDS_A_ROW + bytes_an_id * SLOW_NANOSECONDS_A_BYTE))
        pye_presence_doubt(job->table);
    if (status == PYE_OK)
        count(job, shard, n_ids, n_inside);
    return status;
}

/* Above this many rows the file's size is asked for without looking whether the call can be saved. */
#define PROBED_ROWS 64

/* Whether the file's size has to be asked for: a page that was read may have lost its end. */
static bool may_be_cut(const pye_row_job *job, size_t i) {
    uint64_t id = pye_id_at(job->ids, job->id_type, i);
    if (pye_is_outside(job, id))
        return !job->has_window; /* another thread changed it meanwhile */
    return pye_table_row_may_be_cut(job->table, id);
}

/* After the rows were read. */
static pye_status check_intact(const pye_row_job *job, size_t n_ids, pye_error *error) {
    bool is_cut = n_ids > PROBED_ROWS;
    for (size_t i = 0; i < n_ids && !is_cut; i++)
        is_cut = may_be_cut(job, i);
    return is_cut ? pye_table_intact(job->table, error) : pye_table_undamaged(job->table, error);
}

pye_status pye_table_gather(const pye_table *table, const void *ids, size_t n_ids, void *out,
                            const pye_gather_options *options, pye_error *error) {
    return pye_gather_run(table, ids, n_ids, out, options, &table->model->interrupt, error);
}

pye_status pye_gather_run(const pye_table *table, const void *ids, size_t n_ids, void *out,
                          const pye_gather_options *options, const pye_interrupt *interrupt, pye_error *error) {
    pye_gather_options known;
    pye_status status = pye_copy_options(&known, sizeof known, options, "pye_gather_options", error);
    if (status == PYE_OK)
        status = check_options(&known, table->info.n_rows, error);
    if (status != PYE_OK)
        return status;
    pye_row_job job = job_of(table, &known);
    job.interrupt = interrupt;
    job.ids = ids;
    job.out = out;
    size_t n_inside;
    status = check_output(&job, n_ids, error);
    if (status == PYE_OK)
        status = check_ids(&job, n_ids, &n_inside, error);
    if (status != PYE_OK)
        return status;
    uint64_t out_bytes = job.out_bytes + job.scales_bytes;
    if (n_ids == 0 || out_bytes == 0) {
        count(&job, pye_counters_shard(&table->model->counters), n_ids, n_inside);
        return PYE_OK;
    }
    /* A large output would only push out what the caches, which others share, do hold. */
    size_t cache_bytes = pye_cpu_cache_bytes();
    job.stream = n_ids > cache_bytes / 8 / out_bytes;
    job.prefetch = n_ids > 1 && table->info.n_bytes > cache_bytes / 4;
    status = run_counted(&job, n_ids, n_inside, known.n_threads, error);
    if (status != PYE_OK)
        return status;
    return check_intact(&job, n_ids, error);
}
