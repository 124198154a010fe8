#include "base/counters.h"

#include <string.h>

pye_counter_shard *pye_counters_shard(pye_counters *counters) {
    /* The address of its stack identifies a thread without thread-local state. The factor is 2^64 divided by the golden ratio, whose multiples spread evenly (Knuth, TAOCP 6.4). */
    uint8_t here;
    uint64_t stack = (uint64_t)(uintptr_t)&here >> 16;
    return &counters->shards[(stack * 0x9E3779B97F4A7C15u) >> 60];
}

void pye_counters_sum(const pye_counters *counters, pye_counts *counts) {
    memset(counts, 0, sizeof *counts);
    for (size_t i = 0; i < PYE_COUNTER_SHARDS; i++) {
        const pye_counter_shard *shard = &counters->shards[i];
        counts->n_gathers += atomic_load_explicit(&shard->count.n_gathers, memory_order_relaxed);
        counts->n_rows += atomic_load_explicit(&shard->count.n_rows, memory_order_relaxed);
        counts->n_bytes_read += atomic_load_explicit(&shard->count.n_bytes_read, memory_order_relaxed);
        counts->n_bytes_written += atomic_load_explicit(&shard->count.n_bytes_written, memory_order_relaxed);
        counts->nanoseconds += atomic_load_explicit(&shard->count.nanoseconds, memory_order_relaxed);
    }
}
