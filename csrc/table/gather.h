/* A gather for callers inside the library. */
#pragma once

#include "table/table.h"

/* As pye_table_gather, and asks `interrupt` in place of the model's: on the thread that calls this. */
pye_status pye_gather_run(const pye_table *table, const void *ids, size_t n_ids, void *out,
                          const pye_gather_options *options, const pye_interrupt *interrupt, pye_error *error);
