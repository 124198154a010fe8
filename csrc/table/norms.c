#include "table/norms.h"

#include <inttypes.h>

#include "base/portions.h"
#include "base/status.h"
#include "table/pass.h"
#include "table/scan_rows.h"

#define PORTION_ROWS 256
#define WEIGHTS_A_THREAD (UINT64_C(1) << 20)

typedef struct norms_job {
    const pye_table *table;
    float *norms;
    pye_pass pass;
} norms_job;

static pye_status compute_portion(void *context, uint64_t first, uint64_t n, pye_error *error) {
    (void)error;
    norms_job *job = context;
    pye_pass_enter(&job->pass, first, n);
    pye_scan_norms(job->table, first, n, job->norms);
    pye_pass_leave(&job->pass, first, n);
    return PYE_OK;
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
    norms_job job = {.table = table, .norms = norms};
    pye_pass_begin(&job.pass, table, 0, n_rows);
    uint64_t worth = n_rows * (table->info.n_columns / 64 + 1) / (WEIGHTS_A_THREAD / 64);
    const pye_portions portions = {.pool = &model->pool,
                                   .allocator = &model->allocator,
                                   .interrupt = &model->interrupt,
                                   .n_threads = pye_pool_threads(n_threads, worth),
                                   .n_items = n_rows,
                                   .portion = PORTION_ROWS,
                                   .work = compute_portion,
                                   .context = &job};
    pye_status status = pye_portions_run(&portions, error);
    if (status != PYE_OK) {
        pye_release(norms);
        return status;
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
    if (table->info.n_columns > 0 || table->info.n_rows <= table->model->files[table->info.shard]->map.size)
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
        status = pye_table_intact(table, error);
    if (status == PYE_OK)
        *norms = found;
    return status;
}
