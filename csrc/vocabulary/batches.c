#include "vocabulary/batches.h"

typedef struct batches {
    pye_batch_work work;
    void *context;
    uint64_t n_items;
    _Atomic(uint64_t) next;
    atomic_bool failed;
    pye_watch watch;
    bool has_forked;
    pye_status status; /* of the first that failed, which wrote `error` */
    pye_error *error;
} batches;

static void take_batches(void *context) {
    batches *job = context;
    while (!atomic_load(&job->failed)) {
        uint64_t first = atomic_fetch_add(&job->next, PYE_BATCH);
        if (first >= job->n_items)
            return;
        uint64_t left = job->n_items - first;
        pye_error error;
        pye_status status = job->work(job->context, first, left < PYE_BATCH ? left : PYE_BATCH, &error);
        if (status != PYE_OK && !atomic_exchange(&job->failed, true)) {
            job->status = status;
            if (job->error != NULL)
                *job->error = error;
        }
        if (!pye_watch_is_caller(&job->watch))
            continue;
        if (pye_watch_stops(&job->watch) && !atomic_exchange(&job->failed, true))
            job->status = pye_fail_interrupted(job->error);
        job->has_forked = pye_watch_has_forked(&job->watch);
        if (job->has_forked)
            return;
    }
}

pye_status pye_batches_run(pye_model *model, size_t n_threads, uint64_t n_items, pye_batch_work work,
                           void *context, pye_error *error) {
    batches job = {.work = work, .context = context, .n_items = n_items, .status = PYE_OK, .error = error};
    atomic_init(&job.next, 0);
    atomic_init(&job.failed, false);
    job.watch = pye_watch_begin(&model->interrupt);
    pye_pool_run(&model->pool, &model->allocator, n_threads, take_batches, &job);
    while (job.has_forked) { /* the child does all of it */
        job.has_forked = false;
        job.watch = pye_watch_begin(&model->interrupt);
        atomic_store(&job.next, 0);
        take_batches(&job);
    }
    return job.status;
}
