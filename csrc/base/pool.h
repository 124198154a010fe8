/* Worker threads that belong to one owner, such as a model: created by the first job that needs them, joined when the
 * owner is freed. The child of a fork has none of the parent's and gets its own. */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "pyembed.h"

typedef struct pye_pool pye_pool;

/* Where an owner keeps its pool; NULL until it is needed. */
typedef _Atomic(pye_pool *) pye_pool_slot;

#define PYE_POOL_MAX_THREADS 256

/* Runs work(context) on the calling thread and on up to n_threads - 1 workers at the same time, and returns when all of
 * them are done. The work shares itself out, so that any number of threads, one included, completes it: where workers
 * cannot be had, or serve another job, there are fewer. Where the work forks, on the calling thread, this returns in the
 * child as soon as that thread is done; what the workers had taken on is then missing there. */
void pye_pool_run(pye_pool_slot *slot, const pye_allocator *allocator, size_t n_threads,
                  void (*work)(void *context), void *context);

/* How many threads to use: as many as the caller asked for, or, for 0, as many as there are processors but no more than
 * the work is worth. */
size_t pye_pool_threads(uint32_t asked, uint64_t worth);

/* Joins the workers. Nobody may be in pye_pool_run with this slot. */
void pye_pool_close(pye_pool_slot *slot);
