/* ids and offsets -> pooled rows: checks the arguments, then shares the bags out among threads. */
#include <inttypes.h>

#include "base/cpu.h"
#include "base/options.h"
#include "base/portions.h"
#include "table/bags.h"
#include "table/presence.h"

/* Waking a thread is worth several times as many bytes as it costs; portions are small, since bags may differ in length. */
#define BYTES_A_THREAD (UINT64_C(4) << 20)
#define PORTION_BYTES (UINT64_C(256) << 10)

/* A bag of more than this is pooled by itself, in parts between which the call can be interrupted. */
#define LONG_BAG_BYTES (UINT64_C(64) << 20)

static pye_status check_offsets(const pye_bag_job *job, size_t n_bags, pye_error *error) {
    const int64_t *offsets = job->offsets;
    if (offsets[0] != 0)
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET,
                        "the offset at position 0 is %" PRId64 "; it must be 0", offsets[0]);
    for (size_t i = 1; i <= n_bags; i++) {
        if (offsets[i] < offsets[i - 1])
            return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET,
                            "the offset at position %zu is %" PRId64 ", below the one before it, %" PRId64, i,
                            offsets[i], offsets[i - 1]);
        if ((uint64_t)offsets[i] > job->n_ids)
            return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET,
                            "the offset at position %zu is %" PRId64 ", but there are %zu ids", i, offsets[i],
                            job->n_ids);
    }
    if ((uint64_t)offsets[n_bags] != job->n_ids)
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET,
                        "the offset at position %zu, the last, is %" PRId64 "; it must be the number of ids, %zu",
                        n_bags, offsets[n_bags], job->n_ids);
    return PYE_OK;
}

static pye_status check_ids(const pye_bag_job *job, pye_error *error) {
    uint64_t n_rows = job->table->info.n_rows;
    size_t found = pye_find_outside(job->ids, job->id_type, job->n_ids, n_rows);
    if (found == job->n_ids)
        return PYE_OK;
    return pye_fail_id(pye_id_at(job->ids, job->id_type, found), job->id_type, found, n_rows, error);
}

/* Writing a result must not change what the next one is made of. */
static bool overlaps(const pye_bag_job *job, uint64_t out_bytes, const void *input, uint64_t n_bytes) {
    uintptr_t out = (uintptr_t)job->out, in = (uintptr_t)input;
    return n_bytes > 0 && out_bytes > 0 && in < out + out_bytes && out < in + n_bytes;
}

static pye_status check_job(const pye_bag_job *job, size_t n_bags, pye_error *error) {
    pye_status status = pye_check_id_type((int32_t)job->id_type, error);
    if (status != PYE_OK)
        return status;
    if (job->mode < PYE_POOL_MEAN || job->mode > PYE_POOL_MAX)
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET, "%d is not a mode of pooling", (int)job->mode);
    if (job->mode == PYE_POOL_MAX && job->weights != NULL)
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET, "a maximum takes no weights");
    uint64_t out_bytes = n_bags * job->table->info.n_columns * sizeof *job->out;
    if (overlaps(job, out_bytes, job->ids, job->n_ids * pye_id_bytes(job->id_type)) ||
        overlaps(job, out_bytes, job->offsets, (n_bags + 1) * sizeof *job->offsets) ||
        (job->weights != NULL && overlaps(job, out_bytes, job->weights, job->n_ids * sizeof *job->weights)))
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET,
                        "the output overlaps the ids, offsets or weights in memory");
    status = check_offsets(job, n_bags, error);
    return status == PYE_OK ? check_ids(job, error) : status;
}

/* ------------------------------------------------------------------------------------------ threads */

typedef struct bag_run {
    const pye_bag_job *job;
    size_t first; /* bag */
} bag_run;

static pye_status fail_changed(pye_error *error) {
    return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET,
                    "another thread changed the ids or offsets during the call");
}

/* Brings rows ids[first] .. ids[first + n - 1] into memory, as many at a time as there is room for. Any thread may ask, and
 * callbacks expect one of them only. */
static pye_status bring(const pye_bag_job *job, size_t first, size_t n, pye_error *error) {
    static const pye_interrupt nobody = {NULL, NULL};
    pye_status status = PYE_OK;
    if (job->is_present)
        return PYE_OK;
    size_t most = pye_presence_batch_rows(job->table);
    for (size_t i = 0; i < n && status == PYE_OK; i += most) {
        const pye_ids ids = {.ids = (const uint8_t *)job->ids + (first + i) * pye_id_bytes(job->id_type),
                             .type = job->id_type,
                             .n = n - i < most ? n - i : most,
                             .n_rows = job->table->info.n_rows};
        status = pye_presence_ensure(job->table, &ids, first + i, &nobody, NULL, error);
    }
    return status;
}

static pye_status pool_portion(void *context, uint64_t first, uint64_t n, pye_error *error) {
    const bag_run *run = context;
    int64_t begin = run->job->offsets[run->first + first], end = run->job->offsets[run->first + first + n];
    if (begin < 0 || end < begin || (uint64_t)end > run->job->n_ids)
        return fail_changed(error);
    pye_status status = bring(run->job, (size_t)begin, (size_t)(end - begin), error);
    if (status != PYE_OK)
        return status;
    return pye_bags_pool(run->job, run->first + (size_t)first, (size_t)n) ? PYE_OK : fail_changed(error);
}

static pye_status pool_long_portion(void *context, uint64_t first, uint64_t n, pye_error *error) {
    const bag_run *run = context;
    int64_t begin = run->job->offsets[run->first];
    if (begin < 0 || (uint64_t)begin > run->job->n_ids || first + n > run->job->n_ids - (uint64_t)begin)
        return fail_changed(error);
    pye_status status = bring(run->job, (size_t)begin + (size_t)first, (size_t)n, error);
    if (status != PYE_OK)
        return status;
    return pye_bag_part(run->job, run->first, (size_t)first, (size_t)n) ? PYE_OK : fail_changed(error);
}

static uint64_t bytes_an_id(const pye_table *table) {
    return table->info.row_bytes + table->info.n_columns * sizeof(float);
}

/* Bags first .. first + n - 1, none of them long. */
static pye_status run_bags(const pye_bag_job *job, size_t first, size_t n, uint32_t n_threads, pye_error *error) {
    pye_model *model = job->table->model;
    uint64_t n_ids = (uint64_t)(job->offsets[first + n] - job->offsets[first]);
    uint64_t bytes = (n_ids + n) * bytes_an_id(job->table);
    bag_run run = {job, first};
    size_t threads = pye_pool_threads(n_threads, bytes / BYTES_A_THREAD);
    uint64_t even = (n - 1) / threads + 1;
    uint64_t portion = (threads == 1 ? LONG_BAG_BYTES : PORTION_BYTES) / (bytes / n + 1) + 1;
    const pye_portions portions = {.pool = &model->pool,
                                   .allocator = &model->allocator,
                                   .interrupt = &model->interrupt,
                                   .n_threads = threads,
                                   .n_items = n,
                                   .portion = portion < even ? portion : even,
                                   .work = pool_portion,
                                   .context = &run};
    return pye_portions_run(&portions, error);
}

/* One thread: sums have an order. */
static pye_status run_long(const pye_bag_job *job, size_t bag, uint64_t n_ids, pye_error *error) {
    pye_model *model = job->table->model;
    bag_run run = {job, bag};
    const pye_portions portions = {.pool = &model->pool,
                                   .allocator = &model->allocator,
                                   .interrupt = &model->interrupt,
                                   .n_threads = 1,
                                   .n_items = n_ids,
                                   .portion = LONG_BAG_BYTES / bytes_an_id(job->table) + 1,
                                   .work = pool_long_portion,
                                   .context = &run};
    return pye_portions_run(&portions, error);
}

static pye_status run_all(const pye_bag_job *job, size_t n_bags, uint32_t n_threads, pye_error *error) {
    uint64_t longest = LONG_BAG_BYTES / bytes_an_id(job->table) + 1;
    pye_status status = PYE_OK;
    for (size_t first = 0, bag = 0; bag <= n_bags && status == PYE_OK; bag++) {
        bool is_end = bag == n_bags;
        uint64_t n_ids = is_end ? 0 : (uint64_t)(job->offsets[bag + 1] - job->offsets[bag]);
        if (!is_end && n_ids <= longest)
            continue;
        if (first < bag)
            status = run_bags(job, first, bag - first, n_threads, error);
        if (!is_end && status == PYE_OK)
            status = run_long(job, bag, n_ids, error);
        first = bag + 1;
    }
    return status;
}

/* As `run_all`, of rows that are in memory by then: all together, as far as there is room; what is left, portion by portion. */
static pye_status run_present(pye_bag_job *job, size_t n_bags, uint32_t n_threads, pye_error *error) {
    size_t most = job->is_present ? job->n_ids : pye_presence_batch_rows(job->table);
    pye_status status = bring(job, 0, job->n_ids < most ? job->n_ids : most, error);
    job->is_present |= job->n_ids <= most;
    return status == PYE_OK ? run_all(job, n_bags, n_threads, error) : status;
}

pye_status pye_table_pool(const pye_table *table, const void *ids, size_t n_ids, const int64_t *offsets,
                          size_t n_bags, const float *weights, float *out, const pye_pool_options *options,
                          pye_error *error) {
    pye_pool_options known;
    pye_status status = pye_copy_options(&known, sizeof known, options, "pye_pool_options", error);
    if (status != PYE_OK)
        return status;
    pye_bag_job job = {.table = table,
                       .ids = ids,
                       .n_ids = n_ids,
                       .id_type = known.id_type,
                       .offsets = offsets,
                       .weights = weights,
                       .mode = known.mode,
                       .normalize = known.normalize != 0,
                       .prefetch = table->info.n_bytes > pye_cpu_cache_bytes() / 4,
                       .out = out};
    status = check_job(&job, n_bags, error);
    if (status != PYE_OK)
        return status;
    pye_counter_shard *shard = pye_counters_shard(&table->model->counters);
    const pye_timing timing = pye_timing_begin(shard, n_ids);
    uint64_t n_before = atomic_load_explicit(&shard->count.n_rows, memory_order_relaxed);
    job.is_present = pye_presence_is_settled(table, n_before, n_ids);
    if (table->info.n_columns > 0 && n_bags > 0)
        status = run_present(&job, n_bags, known.n_threads, error);
    (void)pye_timing_end(&timing, shard);
    if (status != PYE_OK)
        return status;
    pye_count(&shard->count.n_gathers, 1);
    pye_count(&shard->count.n_rows, n_ids);
    pye_count(&shard->count.n_bytes_read, n_ids * table->info.row_bytes);
    pye_count(&shard->count.n_bytes_written, n_bags * table->info.n_columns * sizeof *out);
    return pye_table_intact(table, error);
}
