/* The norms of a table's rows: computed once, by whoever first needs them. */
#include <inttypes.h>
#include <stdatomic.h>

#include "base/status.h"
#include "table/scan.h"

#define PORTION_ROWS 256
#define WEIGHTS_A_THREAD (UINT64_C(1) << 20)

typedef struct norms_job {
    const pye_table *table;
    float *norms;
    _Atomic uint64_t next;
} norms_job;

static void take_portions(void *context) {
    norms_job *job = context;
    uint64_t n_rows = job->table->info.n_rows;
    for (;;) {
        uint64_t first = atomic_fetch_add_explicit(&job->next, PORTION_ROWS, memory_order_relaxed);
        if (first >= n_rows)
            return;
        pye_scan_norms(job->table, first, n_rows - first < PORTION_ROWS ? n_rows - first : PORTION_ROWS,
                       job->norms);
    }
}

static float *compute(const pye_table *table, uint32_t n_threads) {
    uint64_t n_rows = table->info.n_rows;
    if (n_rows > SIZE_MAX / sizeof(float) - 1)
        return NULL;
    float *norms =
        pye_allocate(&table->model->allocator,
                     ((size_t)n_rows + 1) * sizeof *norms); /* one more, so that no rows are no failure */
    if (norms == NULL)
        return NULL;
    norms_job job = {.table = table, .norms = norms};
    atomic_init(&job.next, 0);
    uint64_t n_portions = (n_rows + PORTION_ROWS - 1) / PORTION_ROWS;
    size_t threads =
        pye_pool_threads(n_threads, n_rows * (table->info.n_columns / 64 + 1) / (WEIGHTS_A_THREAD / 64));
    pye_pool_run(&table->model->pool, &table->model->allocator,
                 threads < n_portions ? threads : (size_t)n_portions, take_portions, &job);
    return norms;
}

const float *pye_table_norms_of(const pye_table *table, uint32_t n_threads) {
    /* The one field of an open table that is written; where two threads compute at once, one of two equal results is
     * dropped. */
    _Atomic(float *) *place = (_Atomic(float *) *)(uintptr_t)&table->norms;
    float *norms = atomic_load(place);
    if (norms != NULL)
        return norms;
    float *computed = compute(table, n_threads);
    if (computed == NULL || atomic_compare_exchange_strong(place, &norms, computed))
        return computed;
    pye_release(computed);
    return norms;
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
    const float *found = pye_table_norms_of(table, n_threads);
    if (found == NULL)
        return pye_fail(error, PYE_ERROR_MEMORY, PYE_NO_OFFSET, "cannot allocate the norms of %llu rows",
                        (unsigned long long)table->info.n_rows);
    status = pye_map_intact(table->map, table->info.shard, error);
    if (status == PYE_OK)
        *norms = found;
    return status;
}
