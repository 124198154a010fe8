/* What a model has done, counted without locks: a few relaxed additions a call, on a line that threads seldom share. */
#pragma once

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/machine.h"

#define PYE_COUNTER_SHARDS 16
#define PYE_COUNTER_LINE_BYTES 128 /* two cache lines: processors fetch them in pairs */

typedef struct pye_counts {
    uint64_t n_gathers;
    uint64_t n_rows;
    uint64_t n_bytes_read;
    uint64_t n_bytes_written;
    uint64_t nanoseconds;
} pye_counts;

typedef union pye_counter_shard {
    struct {
        _Atomic uint64_t n_gathers;
        _Atomic uint64_t n_rows;
        _Atomic uint64_t n_bytes_read;
        _Atomic uint64_t n_bytes_written;
        _Atomic uint64_t nanoseconds;
    } count;
    uint8_t line[PYE_COUNTER_LINE_BYTES];
} pye_counter_shard;

/* All zero to begin with. */
typedef struct pye_counters {
    pye_counter_shard shards[PYE_COUNTER_SHARDS];
} pye_counters;

/* The shard of the calling thread, most likely one that no other thread uses at the moment. */
pye_counter_shard *pye_counters_shard(pye_counters *counters);

/* The sums over all shards: each of them is exact once no gather is running, none is ever ahead. */
void pye_counters_sum(const pye_counters *counters, pye_counts *counts);

static inline void pye_count(_Atomic uint64_t *counter, uint64_t n) {
    (void)atomic_fetch_add_explicit(counter, n, memory_order_relaxed);
}

/* Reading a clock costs about as much as a short row: of small calls a sample is timed, which counts for all. */
#define PYE_TIMED_ROWS 16
#define PYE_TIMED_SAMPLE 16

/* A call that is timed, perhaps. */
typedef struct pye_timing {
    uint64_t weight; /* of its nanoseconds; 0: it is not timed */
    uint64_t begin;
} pye_timing;

static inline pye_timing pye_timing_begin(pye_counter_shard *shard, size_t n_rows) {
    uint64_t n_before = atomic_load_explicit(&shard->count.n_gathers, memory_order_relaxed);
    pye_timing timing = {.weight = n_rows >= PYE_TIMED_ROWS           ? 1
                                   : n_before % PYE_TIMED_SAMPLE == 0 ? PYE_TIMED_SAMPLE
                                                                      : 0};
    timing.begin = timing.weight > 0 ? pye_clock_nanoseconds() : 0;
    return timing;
}

/* Counts the time since then and returns it; 0 if it was not timed. */
static inline uint64_t pye_timing_end(const pye_timing *timing, pye_counter_shard *shard) {
    if (timing->weight == 0)
        return 0;
    uint64_t nanoseconds = pye_clock_nanoseconds() - timing->begin;
    pye_count(&shard->count.nanoseconds, nanoseconds * timing->weight);
    return nanoseconds;
}
