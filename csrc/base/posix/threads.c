#include "base/threads.h"

#include <pthread.h>
#include <signal.h>
#include <stdalign.h>
#include <time.h>
#include <unistd.h>

#define STACK_BYTES ((size_t)256 << 10)

_Static_assert(sizeof(pthread_mutex_t) <= sizeof(pye_mutex) && alignof(pthread_mutex_t) <= alignof(pye_mutex),
               "a lock fits");
_Static_assert(sizeof(pthread_cond_t) <= sizeof(pye_condition) &&
                   alignof(pthread_cond_t) <= alignof(pye_condition),
               "a condition fits");
_Static_assert(sizeof(pthread_t) == sizeof(uintptr_t), "a thread is a number or a pointer");

/* ---------------------------------------------------------------------------------- locks and conditions */

static pthread_mutex_t *mutex_of(pye_mutex *mutex) { return (pthread_mutex_t *)(void *)mutex->storage; }

static pthread_cond_t *condition_of(pye_condition *condition) {
    return (pthread_cond_t *)(void *)condition->storage;
}

bool pye_mutex_init(pye_mutex *mutex) { return pthread_mutex_init(mutex_of(mutex), NULL) == 0; }

void pye_mutex_destroy(pye_mutex *mutex) { (void)pthread_mutex_destroy(mutex_of(mutex)); }

void pye_mutex_lock(pye_mutex *mutex) { (void)pthread_mutex_lock(mutex_of(mutex)); }

void pye_mutex_unlock(pye_mutex *mutex) { (void)pthread_mutex_unlock(mutex_of(mutex)); }

#if defined(__APPLE__)
#define WAITING_CLOCK CLOCK_REALTIME /* has no other for conditions */
#else
#define WAITING_CLOCK CLOCK_MONOTONIC
#endif

bool pye_condition_init(pye_condition *condition) {
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes) != 0)
        return false;
#if !defined(__APPLE__)
    (void)pthread_condattr_setclock(&attributes, WAITING_CLOCK);
#endif
    bool is_made = pthread_cond_init(condition_of(condition), &attributes) == 0;
    (void)pthread_condattr_destroy(&attributes);
    return is_made;
}

void pye_condition_destroy(pye_condition *condition) { (void)pthread_cond_destroy(condition_of(condition)); }

void pye_condition_signal(pye_condition *condition) { (void)pthread_cond_signal(condition_of(condition)); }

void pye_condition_broadcast(pye_condition *condition) { (void)pthread_cond_broadcast(condition_of(condition)); }

void pye_condition_wait(pye_condition *condition, pye_mutex *mutex) {
    (void)pthread_cond_wait(condition_of(condition), mutex_of(mutex));
}

#define SECOND 1000000000

void pye_condition_wait_for(pye_condition *condition, pye_mutex *mutex, uint64_t nanoseconds) {
    struct timespec until = {0};
    (void)clock_gettime(WAITING_CLOCK, &until);
    until.tv_sec += (time_t)(nanoseconds / SECOND);
    until.tv_nsec += (long)(nanoseconds % SECOND);
    if (until.tv_nsec >= SECOND) {
        until.tv_nsec -= SECOND;
        until.tv_sec++;
    }
    (void)pthread_cond_timedwait(condition_of(condition), mutex_of(mutex), &until);
}

/* ---------------------------------------------------------------------------------------------- threads */

/* Threads inherit the mask. One that blocks a signal of its own instructions is not spared: the system kills the process,
 * without asking the handler that would have dealt with it. All other signals are left to the threads that the program knows
 * about. */
static void block_signals(sigset_t *previous) {
    static const int caused_by_instructions[] = {SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGTRAP};
    sigset_t all;
    (void)sigfillset(&all);
    for (size_t i = 0; i < sizeof caused_by_instructions / sizeof caused_by_instructions[0]; i++)
        (void)sigdelset(&all, caused_by_instructions[i]);
    (void)pthread_sigmask(SIG_SETMASK, &all, previous);
}

static void *run(void *argument) {
    const pye_thread *thread = argument;
    thread->work(thread->argument);
    return NULL;
}

bool pye_thread_start(pye_thread *thread, void (*work)(void *argument), void *argument) {
    pthread_attr_t attributes;
    pthread_t handle;
    sigset_t previous;
    if (pthread_attr_init(&attributes) != 0)
        return false;
    (void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
    thread->work = work;
    thread->argument = argument;
    block_signals(&previous);
    bool is_started = pthread_create(&handle, &attributes, run, thread) == 0;
    (void)pthread_sigmask(SIG_SETMASK, &previous, NULL);
    (void)pthread_attr_destroy(&attributes);
    if (is_started)
        thread->handle = (uintptr_t)handle;
    return is_started;
}

void pye_thread_join(const pye_thread *thread) { (void)pthread_join((pthread_t)thread->handle, NULL); }

uintptr_t pye_thread_self(void) { return (uintptr_t)pthread_self(); }

uint64_t pye_process_self(void) { return (uint64_t)getpid(); }

void pye_thread_pause(uint64_t nanoseconds) {
    const struct timespec pause = {.tv_sec = (time_t)(nanoseconds / SECOND),
                                   .tv_nsec = (long)(nanoseconds % SECOND)};
    (void)nanosleep(&pause, NULL);
}
