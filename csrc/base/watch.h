/* Lets a long call be interrupted: asks the callback of pye_open_options, now and then, whether to end. */
#pragma once

#include "base/threads.h"
#include "pyembed.h"

/* What pye_open_options says of interruptions. */
typedef struct pye_interrupt {
    pye_interrupted ask; /* may be NULL */
    void *data;
} pye_interrupt;

typedef struct pye_watch {
    const pye_interrupt *interrupt;
    uintptr_t caller;
    uint64_t process;
    uint64_t next; /* when to ask; only the calling thread reads or writes it */
} pye_watch;

/* A watch over a call of this thread that begins now. */
pye_watch pye_watch_begin(const pye_interrupt *interrupt);

/* Whether this is the thread that called: callbacks may not expect any other. */
static inline bool pye_watch_is_caller(const pye_watch *watch) { return pye_thread_self() == watch->caller; }

/* True if the call shall end with PYE_ERROR_CANCELLED. Asks at most ten times a second and only on the thread that called;
 * reads a clock, so that once in a few microseconds is often enough. */
bool pye_watch_stops(pye_watch *watch);

/* True in the child of a fork by a callback: the workers, and the portions they had taken, are the parent's. */
bool pye_watch_has_forked(const pye_watch *watch);

pye_status pye_fail_interrupted(pye_error *error);
