/* The counters of a model as a caller sees them. */
#include <string.h>
#include <sys/resource.h>

#include "base/status.h"
#include "format/model.h"

pye_status pye_model_stats(const pye_model *model, pye_stats *stats, pye_error *error) {
    size_t given_bytes = stats->struct_bytes;
    if (given_bytes < sizeof stats->struct_bytes)
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET,
                        "pye_stats.struct_bytes is %zu: set it to sizeof(pye_stats)", given_bytes);
    pye_counts counts;
    pye_counters_sum(&model->counters, &counts);
    struct rusage usage;
    memset(&usage, 0, sizeof usage);
    (void)getrusage(RUSAGE_SELF, &usage); /* fails only for arguments other than these */
    pye_stats known = {
        .struct_bytes = given_bytes,
        .n_gathers = counts.n_gathers,
        .n_rows = counts.n_rows,
        .n_bytes_read = counts.n_bytes_read,
        .n_bytes_written = counts.n_bytes_written,
        .nanoseconds = counts.nanoseconds,
        .n_major_faults = (uint64_t)usage.ru_majflt,
    };
    if (given_bytes > sizeof known)
        memset((char *)stats + sizeof known, 0, given_bytes - sizeof known);
    memcpy(stats, &known, given_bytes < sizeof known ? given_bytes : sizeof known);
    return PYE_OK;
}
