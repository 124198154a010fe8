#include "base/portions.h"

typedef struct shared_work {
    const pye_portions *portions;
    _Atomic(uint64_t) next;
    atomic_bool failed;
    pye_watch watch;
    bool has_forked;
    pye_status status; /* of the first that failed, which wrote `error` */
    pye_error *error;
} shared_work;

static void take_portions(void *context) {
    shared_work *shared = context;
    const pye_portions *portions = shared->portions;
    while (!atomic_load_explicit(&shared->failed, memory_order_relaxed)) {
        uint64_t first = atomic_fetch_add_explicit(&shared->next, portions->portion, memory_order_relaxed);
        if (first >= portions->n_items)
            return;
        uint64_t left = portions->n_items - first;
        pye_error error;
        pye_status status =
            portions->work(portions->context, first, left < portions->portion ? left : portions->portion, &error);
        if (status != PYE_OK && !atomic_exchange(&shared->failed, true)) {
            shared->status = status;
            if (shared->error != NULL)
                *shared->error = error;
        }
        if (!pye_watch_is_caller(&shared->watch))
            continue;
        bool stops = pye_watch_stops(&shared->watch), has_forked = pye_watch_has_forked(&shared->watch);
        if (stops && (!atomic_exchange(&shared->failed, true) || has_forked))
            shared->status = pye_fail_interrupted(shared->error);
        shared->has_forked = has_forked && !stops;
        if (has_forked)
            return;
    }
}

pye_status pye_portions_run(const pye_portions *portions, pye_error *error) {
    if (portions->n_items == 0)
        return PYE_OK;
    shared_work shared = {.portions = portions, .status = PYE_OK, .error = error};
    atomic_init(&shared.next, 0);
    atomic_init(&shared.failed, false);
    uint64_t n_portions = (portions->n_items - 1) / portions->portion + 1;
    size_t n_threads = portions->n_threads < n_portions ? portions->n_threads : (size_t)n_portions;
    shared.watch = pye_watch_begin(portions->interrupt);
    pye_pool_run(portions->pool, portions->allocator, n_threads, take_portions, &shared);
    while (shared.has_forked) { /* a worker may have been about to report a failure, which is found again */
        shared.has_forked = false;
        shared.status = PYE_OK;
        atomic_store(&shared.failed, false);
        shared.watch = pye_watch_begin(portions->interrupt);
        atomic_store(&shared.next, 0);
        take_portions(&shared);
    }
    return shared.status;
}
