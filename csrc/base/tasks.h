/* Work that goes on while its owner does something else: a queue, and threads of its own that serve it. They are made when
 * first wanted and joined when their owner is freed; the child of a fork has none of the parent's and gets its own.
 * base/pool shares out work that is waited for; this is for work that is begun here and collected there. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "pyembed.h"

typedef struct pye_tasks pye_tasks;

/* Where an owner keeps its queue; NULL until it is needed. */
typedef _Atomic(pye_tasks *) pye_tasks_slot;

#define PYE_TASKS_MAX_THREADS 8
#define PYE_TASKS_MAX_QUEUED 1024

/* What a thread does. The memory is the caller's, from posting a task until it was withdrawn or has retired. */
typedef struct pye_task {
    void (*run)(struct pye_task *task); /* called by several threads at once if more than one is wanted */
    void (*retire)(
        struct pye_task *task); /* called last, by one thread; may free the task. NULL: it is withdrawn */
    struct pye_task *next;
    size_t n_wanted;  /* threads that the task still takes */
    size_t n_running; /* threads that are at it */
} pye_task;

typedef enum pye_place {
    PYE_PLACE_FIRST, /* somebody waits for it */
    PYE_PLACE_LAST,
    PYE_PLACE_LAST_IF_ROOM /* a hint: given up where PYE_TASKS_MAX_QUEUED tasks wait already */
} pye_place;

/* Hands a task to up to n_threads threads. PYE_PLACE_LAST waits for room in the queue. False where there is no thread and
 * none can be made, or where a hint was given up: nothing will happen then. */
bool pye_tasks_post(pye_tasks_slot *slot, const pye_allocator *allocator, pye_task *task, size_t n_threads,
                    pye_place place);

/* Returns when no thread is at the task and none will be. */
void pye_tasks_withdraw(pye_tasks_slot *slot, pye_task *task);

/* Does what is queued, then joins the threads. Nobody may post to this slot any more. */
void pye_tasks_close(pye_tasks_slot *slot);
