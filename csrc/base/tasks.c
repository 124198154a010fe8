#include "base/tasks.h"

#include "base/memory.h"
#include "base/threads.h"

struct pye_tasks {
    uint64_t owner; /* threads do not survive a fork */
    pye_mutex lock;
    pye_condition wake;    /* there is a task, or the end */
    pye_condition changed; /* a thread has left a task, or the queue has room again */
    pye_thread threads[PYE_TASKS_MAX_THREADS];
    size_t n_threads;
    size_t n_idle;
    bool is_closing;
    pye_task *first;
    pye_task **end; /* where the next one goes */
    size_t n_queued;
};

static void unlink_task(pye_tasks *tasks, pye_task *task) {
    for (pye_task **at = &tasks->first; *at != NULL; at = &(*at)->next) {
        if (*at != task)
            continue;
        *at = task->next;
        if (tasks->end == &task->next)
            tasks->end = at;
        tasks->n_queued--;
        pye_condition_broadcast(&tasks->changed);
        return;
    }
}

/* With the lock held, which is let go meanwhile. */
static void do_first(pye_tasks *tasks) {
    pye_task *task = tasks->first;
    if (--task->n_wanted == 0)
        unlink_task(tasks, task);
    task->n_running++;
    pye_mutex_unlock(&tasks->lock);
    task->run(task);
    pye_mutex_lock(&tasks->lock);
    bool is_last = --task->n_running == 0 && task->n_wanted == 0;
    pye_condition_broadcast(&tasks->changed);
    if (!is_last || task->retire == NULL)
        return; /* a task without `retire` may be gone as soon as the lock is */
    pye_mutex_unlock(&tasks->lock);
    task->retire(task);
    pye_mutex_lock(&tasks->lock);
}

static void serve(void *argument) {
    pye_tasks *tasks = argument;
    pye_mutex_lock(&tasks->lock);
    for (;;) {
        tasks->n_idle++;
        while (tasks->first == NULL && !tasks->is_closing)
            pye_condition_wait(&tasks->wake, &tasks->lock);
        tasks->n_idle--;
        if (tasks->first == NULL)
            break;
        do_first(tasks);
    }
    pye_mutex_unlock(&tasks->lock);
}

static pye_tasks *create(const pye_allocator *allocator) {
    pye_tasks *tasks = pye_allocate_zeros(allocator, sizeof *tasks);
    if (tasks == NULL)
        return NULL;
    tasks->owner = pye_process_self();
    tasks->end = &tasks->first;
    if (!pye_mutex_init(&tasks->lock) || !pye_condition_init(&tasks->wake) ||
        !pye_condition_init(&tasks->changed)) {
        pye_release(tasks);
        return NULL;
    }
    return tasks;
}

/* The queue of this process; NULL if memory is short. What a parent left behind cannot be destroyed, its locks may be held
 * by threads that are not there. */
static pye_tasks *tasks_of(pye_tasks_slot *slot, const pye_allocator *allocator) {
    pye_tasks *tasks = atomic_load(slot);
    if (tasks != NULL && tasks->owner == pye_process_self())
        return tasks;
    pye_tasks *made = create(allocator);
    if (made == NULL)
        return NULL;
    if (atomic_compare_exchange_strong(slot, &tasks, made))
        return made;
    pye_release(made);
    return tasks;
}

static void grow(pye_tasks *tasks, size_t n_threads) {
    while (tasks->n_threads < n_threads && tasks->n_threads < PYE_TASKS_MAX_THREADS &&
           pye_thread_start(&tasks->threads[tasks->n_threads], serve, tasks))
        tasks->n_threads++;
}

static void enqueue(pye_tasks *tasks, pye_task *task, bool is_first) {
    task->next = is_first ? tasks->first : NULL;
    if (is_first) {
        tasks->first = task;
        if (task->next == NULL)
            tasks->end = &task->next;
    } else {
        *tasks->end = task;
        tasks->end = &task->next;
    }
    tasks->n_queued++;
}

bool pye_tasks_post(pye_tasks_slot *slot, const pye_allocator *allocator, pye_task *task, size_t n_threads,
                    pye_place place) {
    pye_tasks *tasks = tasks_of(slot, allocator);
    if (tasks == NULL)
        return false;
    pye_mutex_lock(&tasks->lock);
    if (tasks->n_idle < n_threads)
        grow(tasks, tasks->n_threads + n_threads - tasks->n_idle);
    bool is_taken = tasks->n_threads > 0;
    while (is_taken && place != PYE_PLACE_FIRST && tasks->n_queued >= PYE_TASKS_MAX_QUEUED) {
        is_taken = place == PYE_PLACE_LAST;
        if (is_taken)
            pye_condition_wait(&tasks->changed, &tasks->lock);
    }
    if (is_taken) {
        task->n_wanted = n_threads < tasks->n_threads ? n_threads : tasks->n_threads;
        task->n_running = 0;
        enqueue(tasks, task, place == PYE_PLACE_FIRST);
        for (size_t i = 0; i < task->n_wanted; i++)
            pye_condition_signal(&tasks->wake);
    }
    pye_mutex_unlock(&tasks->lock);
    return is_taken;
}

void pye_tasks_withdraw(pye_tasks_slot *slot, pye_task *task) {
    pye_tasks *tasks = atomic_load(slot);
    if (tasks == NULL || tasks->owner != pye_process_self())
        return;
    pye_mutex_lock(&tasks->lock);
    if (task->n_wanted > 0) {
        task->n_wanted = 0;
        unlink_task(tasks, task);
    }
    while (task->n_running > 0)
        pye_condition_wait(&tasks->changed, &tasks->lock);
    pye_mutex_unlock(&tasks->lock);
}

void pye_tasks_close(pye_tasks_slot *slot) {
    pye_tasks *tasks = atomic_exchange(slot, NULL);
    if (tasks == NULL)
        return;
    if (tasks->owner == pye_process_self()) {
        pye_mutex_lock(&tasks->lock);
        tasks->is_closing = true;
        pye_condition_broadcast(&tasks->wake);
        pye_mutex_unlock(&tasks->lock);
        for (size_t i = 0; i < tasks->n_threads; i++)
            pye_thread_join(&tasks->threads[i]);
        pye_condition_destroy(&tasks->wake);
        pye_condition_destroy(&tasks->changed);
        pye_mutex_destroy(&tasks->lock);
    }
    pye_release(tasks);
}
