/* A long piece of work on many items, shared out among threads in portions, between which it can be interrupted. */
#pragma once

#include "base/pool.h"
#include "base/watch.h"

typedef struct pye_portions {
    pye_pool_slot *pool;
    const pye_allocator *allocator;
    const pye_interrupt *interrupt;
    size_t n_threads; /* at most; as pye_pool_threads has it */
    uint64_t n_items;
    uint64_t portion; /* items in a portion, at least 1; fewer in the last */
    /* Does items first .. first + n - 1. Any thread may be asked, in any order. */
    pye_status (*work)(void *context, uint64_t first, uint64_t n, pye_error *error);
    void *context;
} pye_portions;

/* Returns when all items are done, or ends early with the status and error of the first portion that failed, or with
 * PYE_ERROR_CANCELLED. In the child of a fork by the callback that may interrupt, the calling thread does all of the work
 * again: what the workers had done is the parent's. */
pye_status pye_portions_run(const pye_portions *portions, pye_error *error);
