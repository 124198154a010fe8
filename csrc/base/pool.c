#include "base/pool.h"

#include <stdbool.h>

#include "base/machine.h"
#include "base/memory.h"
#include "base/threads.h"

struct pye_pool {
    uint64_t owner; /* threads do not survive a fork: a pool is of use only in the process that made it */
    pye_mutex lock;
    pye_condition wake; /* there is a job, or the end */
    pye_condition idle; /* no worker is at a job */
    pye_thread threads[PYE_POOL_MAX_THREADS];
    size_t n_threads;
    bool is_busy;
    bool is_closing;
    size_t n_wanted; /* workers that the job still takes */
    size_t n_running;
    void (*work)(void *context);
    void *context;
};

static void serve(void *argument) {
    pye_pool *pool = argument;
    pye_mutex_lock(&pool->lock);
    for (;;) {
        while (pool->n_wanted == 0 && !pool->is_closing)
            pye_condition_wait(&pool->wake, &pool->lock);
        if (pool->is_closing)
            break;
        pool->n_wanted--;
        pool->n_running++;
        pye_mutex_unlock(&pool->lock);
        pool->work(pool->context);
        pye_mutex_lock(&pool->lock);
        if (--pool->n_running == 0)
            pye_condition_signal(&pool->idle);
    }
    pye_mutex_unlock(&pool->lock);
}

static pye_pool *create(const pye_allocator *allocator) {
    pye_pool *pool = pye_allocate_zeros(allocator, sizeof *pool);
    if (pool == NULL)
        return NULL;
    pool->owner = pye_process_self();
    if (!pye_mutex_init(&pool->lock) || !pye_condition_init(&pool->wake) || !pye_condition_init(&pool->idle)) {
        pye_release(pool);
        return NULL;
    }
    return pool;
}

/* The pool of this process; NULL if memory is short. */
static pye_pool *pool_of(pye_pool_slot *slot, const pye_allocator *allocator) {
    pye_pool *pool = atomic_load(slot);
    if (pool != NULL && pool->owner == pye_process_self())
        return pool;
    pye_pool *made = create(allocator);
    if (made == NULL)
        return NULL;
    /* What a parent process left behind cannot be destroyed, its locks may be held by threads that are not there. */
    if (atomic_compare_exchange_strong(slot, &pool, made))
        return made;
    pye_release(made);
    return pool;
}

static void grow(pye_pool *pool, size_t n_workers) {
    while (pool->n_threads < n_workers && pool->n_threads < PYE_POOL_MAX_THREADS &&
           pye_thread_start(&pool->threads[pool->n_threads], serve, pool))
        pool->n_threads++;
}

/* True if the job was handed to workers; false if the caller works alone. */
static bool begin(pye_pool *pool, size_t n_workers, void (*work)(void *context), void *context) {
    pye_mutex_lock(&pool->lock);
    bool is_free = !pool->is_busy;
    if (is_free) {
        grow(pool, n_workers);
        pool->is_busy = true;
        pool->work = work;
        pool->context = context;
        pool->n_wanted = n_workers < pool->n_threads ? n_workers : pool->n_threads;
        pye_condition_broadcast(&pool->wake);
    }
    pye_mutex_unlock(&pool->lock);
    return is_free;
}

/* Where the work itself forked, the child has no workers to wait for, and the lock may never be released. */
static void finish(pye_pool *pool) {
    if (pool->owner != pye_process_self())
        return;
    pye_mutex_lock(&pool->lock);
    pool->n_wanted = 0; /* the work is done: workers that still sleep need not wake */
    while (pool->n_running > 0)
        pye_condition_wait(&pool->idle, &pool->lock);
    pool->is_busy = false;
    pye_mutex_unlock(&pool->lock);
}

void pye_pool_run(pye_pool_slot *slot, const pye_allocator *allocator, size_t n_threads,
                  void (*work)(void *context), void *context) {
    pye_pool *pool = n_threads > 1 ? pool_of(slot, allocator) : NULL;
    bool is_shared = pool != NULL && begin(pool, n_threads - 1, work, context);
    work(context);
    if (is_shared)
        finish(pool);
}

size_t pye_pool_threads(uint32_t asked, uint64_t worth) {
    if (asked > 0)
        return asked < PYE_POOL_MAX_THREADS ? asked : PYE_POOL_MAX_THREADS;
    if (worth < 2)
        return 1;
    size_t n_cpus = pye_cpu_count();
    return worth < n_cpus ? (size_t)worth : n_cpus;
}

void pye_pool_close(pye_pool_slot *slot) {
    pye_pool *pool = atomic_exchange(slot, NULL);
    if (pool == NULL)
        return;
    if (pool->owner == pye_process_self()) {
        pye_mutex_lock(&pool->lock);
        pool->is_closing = true;
        pye_condition_broadcast(&pool->wake);
        pye_mutex_unlock(&pool->lock);
        for (size_t i = 0; i < pool->n_threads; i++)
            pye_thread_join(&pool->threads[i]);
        pye_condition_destroy(&pool->wake);
        pye_condition_destroy(&pool->idle);
        pye_mutex_destroy(&pool->lock);
    }
    pye_release(pool);
}
