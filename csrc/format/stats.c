/* The counters of a model as a caller sees them. */
#include <string.h>

#include "base/paging.h"
#include "base/status.h"
#include "format/model.h"

static uint64_t count_of(const _Atomic(uint64_t) *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void add_reader(pye_stats *stats, const pye_fetcher *fetcher) {
    const pye_fetcher_counts *counts = &fetcher->counts;
    pye_budget_counts budget = {0};
    if (fetcher->budget != NULL)
        pye_budget_count(fetcher->budget, &budget);
    stats->n_rows_missed = count_of(&counts->n_rows_missed);
    stats->n_reads = count_of(&counts->n_reads);
    stats->n_bytes_fetched = count_of(&counts->n_pages) * pye_page_bytes();
    stats->n_pages_found = count_of(&counts->n_found);
    stats->wait_nanoseconds = count_of(&counts->nanoseconds);
    stats->n_prefetches = count_of(&counts->n_hints);
    stats->n_prefetches_lost = count_of(&counts->n_hints_lost);
    stats->n_forgotten = count_of(&counts->n_forgotten);
    stats->budget_bytes = budget.limit_bytes;
    stats->held_bytes = budget.held_bytes;
    stats->n_pages_evicted = budget.n_evicted;
    stats->mechanism = pye_fetcher_mechanism(fetcher);
}

pye_status pye_model_stats(const pye_model *model, pye_stats *stats, pye_error *error) {
    size_t given_bytes = stats->struct_bytes;
    if (given_bytes < sizeof stats->struct_bytes)
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET,
                        "pye_stats.struct_bytes is %zu: set it to sizeof(pye_stats)", given_bytes);
    pye_counts counts;
    pye_counters_sum(&model->counters, &counts);
    pye_stats known = {
        .struct_bytes = given_bytes,
        .n_gathers = counts.n_gathers,
        .n_rows = counts.n_rows,
        .n_bytes_read = counts.n_bytes_read,
        .n_bytes_written = counts.n_bytes_written,
        .nanoseconds = counts.nanoseconds,
        .n_major_faults = pye_n_major_faults(),
    };
    add_reader(&known, &model->fetcher);
    if (given_bytes > sizeof known)
        memset((char *)stats + sizeof known, 0, given_bytes - sizeof known);
    memcpy(stats, &known, given_bytes < sizeof known ? given_bytes : sizeof known);
    return PYE_OK;
}
