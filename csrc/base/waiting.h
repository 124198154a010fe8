/* Waiting for another thread, with a look around now and then. */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <time.h>

#define PYE_WAITING_NANOSECONDS 100000000

#if defined(__APPLE__)
#define PYE_WAITING_CLOCK CLOCK_REALTIME
#else
#define PYE_WAITING_CLOCK CLOCK_MONOTONIC
#endif

static inline bool pye_waiting_init(pthread_cond_t *condition) {
    pthread_condattr_t attributes;
    if (pthread_condattr_init(&attributes) != 0)
        return false;
#if !defined(__APPLE__)
    (void)pthread_condattr_setclock(&attributes, PYE_WAITING_CLOCK);
#endif
    bool is_made = pthread_cond_init(condition, &attributes) == 0;
    (void)pthread_condattr_destroy(&attributes);
    return is_made;
}

/* As pthread_cond_wait, but for no longer than PYE_WAITING_NANOSECONDS if `is_watched`. */
static inline void pye_waiting_wait(pthread_cond_t *condition, pthread_mutex_t *lock, bool is_watched) {
    if (!is_watched) {
        (void)pthread_cond_wait(condition, lock);
        return;
    }
    struct timespec until = {0};
    (void)clock_gettime(PYE_WAITING_CLOCK, &until);
    until.tv_nsec += PYE_WAITING_NANOSECONDS;
    if (until.tv_nsec >= 1000000000) {
        until.tv_nsec -= 1000000000;
        until.tv_sec++;
    }
    (void)pthread_cond_timedwait(condition, lock, &until);
}
