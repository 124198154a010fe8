#include "table/norms.h"

#include <inttypes.h>
#include <stdatomic.h>

#include "base/status.h"
#include "base/watch.h"
#include "table/scan_rows.h"

#define PORTION_ROWS 256
#define WEIGHTS_A_THREAD (UINT64_C(1) << 20)

typedef struct norms_job {
    const pye_table *table;
    float *norms;
    pye_watch watch;
    _Atomic uint64_t next;
    atomic_bool interrupted;
    bool has_forked;
} norms_job;

static void take_portions(void *context) {
    norms_job *job = context;
    uint64_t n_rows = job->table->info.n_rows;
    while (!atomic_load_explicit(&job->interrupted, memory_order_relaxed)) {
        uint64_t first = atomic_fetch_add_explicit(&job->next, PORTION_ROWS, memory_order_relaxed);
        if (first >= n_rows)
            return;
        pye_scan_norms(job->table, first, n_rows - first < PORTION_ROWS ? n_rows - first : PORTION_ROWS,
                       job->norms);
        if (!pye_watch_is_caller(&job->watch))
            continue;
        if (pye_watch_stops(&job->watch))
            atomic_store_explicit(&job->interrupted, true, memory_order_relaxed);
        job->has_forked = pye_watch_has_forked(&job->watch);
        if (job->has_forked)
            return;
    }
}

static pye_status fail_norms(const pye_table *table, pye_error *error) {
    return pye_fail(error, PYE_ERROR_MEMORY, PYE_NO_OFFSET, "cannot allocate the norms of %llu rows",
                    (unsigned long long)table->info.n_rows);
}

static pye_status compute(const pye_table *table, uint32_t n_threads, float **computed, pye_error *error) {
    uint64_t n_rows = table->info.n_rows;
    if (n_rows > SIZE_MAX / sizeof(float) - 1)
        return fail_norms(table, error);
    pye_model *model = table->model;
    float *norms = pye_allocate(&model->allocator,
                                ((size_t)n_rows + 1) * sizeof *norms); /* one more, as 0 bytes may be NULL */
    if (norms == NULL)
        return fail_norms(table, error);
    norms_job job = {.table = table, .norms = norms, .watch = pye_watch_begin(&model->interrupt)};
    atomic_init(&job.next, 0);
    atomic_init(&job.interrupted, false);
    uint64_t n_portions = (n_rows + PORTION_ROWS - 1) / PORTION_ROWS;
    size_t threads =
        pye_pool_threads(n_threads, n_rows * (table->info.n_columns / 64 + 1) / (WEIGHTS_A_THREAD / 64));
    pye_pool_run(&model->pool, &model->allocator, threads < n_portions ? threads : (size_t)n_portions,
                 take_portions, &job);
    while (job.has_forked) { /* the child does all of it */
        job.has_forked = false;
        job.watch = pye_watch_begin(&model->interrupt);
        atomic_store(&job.next, 0);
        take_portions(&job);
    }
    if (atomic_load_explicit(&job.interrupted, memory_order_relaxed)) {
        pye_release(norms);
        return pye_fail_interrupted(error);
    }
    *computed = norms;
    return PYE_OK;
}

/* The one field of an open table that is written; where two threads compute at once, one of two equal results is dropped. */
static pye_status norms_of(const pye_table *table, uint32_t n_threads, const float **found, pye_error *error) {
    _Atomic(float *) *place = (_Atomic(float *) *)(uintptr_t)&table->norms;
    float *norms = atomic_load(place);
    if (norms == NULL) {
        float *computed = NULL;
        pye_status status = compute(table, n_threads, &computed, error);
        if (status != PYE_OK)
            return status;
        if (atomic_compare_exchange_strong(place, &norms, computed))
            norms = computed;
        else
            pye_release(computed);
    }
    *found = norms;
    return PYE_OK;
}

pye_status pye_rows_are_real(const pye_table *table, pye_error *error) {
    if (table->info.n_columns > 0 || table->info.n_rows <= table->map->size)
        return PYE_OK;
    return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET,
                    "%" PRIu64 " rows of no columns are more than the file has bytes", table->info.n_rows);
}

pye_status pye_table_norms(const pye_table *table, uint32_t n_threads, const float **norms, pye_error *error) {
    pye_status status = pye_rows_are_real(table, error);
    if (status != PYE_OK)
        return status;
    const float *found = NULL;
    status = norms_of(table, n_threads, &found, error);
    if (status == PYE_OK)
        status = pye_map_intact(table->map, table->info.shard, error);
    if (status == PYE_OK)
        *norms = found;
    return status;
}
