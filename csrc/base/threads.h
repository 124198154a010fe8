/* Threads, locks and conditions, as every system has them. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Room for what a system keeps; how much it needs is checked where that is known. */
typedef struct pye_mutex {
    uint64_t storage[8];
} pye_mutex;

typedef struct pye_condition {
    uint64_t storage[8];
} pye_condition;

/* Stays where it is from pye_thread_start to pye_thread_join. */
typedef struct pye_thread {
    uintptr_t handle;
    void (*work)(void *argument);
    void *argument;
} pye_thread;

bool pye_mutex_init(pye_mutex *mutex);
void pye_mutex_destroy(pye_mutex *mutex);
void pye_mutex_lock(pye_mutex *mutex);
void pye_mutex_unlock(pye_mutex *mutex);

bool pye_condition_init(pye_condition *condition);
void pye_condition_destroy(pye_condition *condition);
void pye_condition_signal(pye_condition *condition);
void pye_condition_broadcast(pye_condition *condition);

/* May return without a signal. */
void pye_condition_wait(pye_condition *condition, pye_mutex *mutex);

/* The same, but for about that long at most. */
void pye_condition_wait_for(pye_condition *condition, pye_mutex *mutex, uint64_t nanoseconds);

/* Runs work(argument) on a new thread, which takes none of the signals that are sent to the program. False if there are too
 * many. */
bool pye_thread_start(pye_thread *thread, void (*work)(void *argument), void *argument);
void pye_thread_join(const pye_thread *thread);

/* Identifies the calling thread among those that run. */
uintptr_t pye_thread_self(void);

/* Identifies this process: the child of a fork has another number. */
uint64_t pye_process_self(void);

/* Sleeps for about that long. */
void pye_thread_pause(uint64_t nanoseconds);
