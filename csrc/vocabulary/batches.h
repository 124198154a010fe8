/* Work on many small items, such as tokens, shared out among threads in batches. */
#pragma once

#include "format/model.h"

#define PYE_BATCH 256

/* Items first .. first + n - 1, n at most PYE_BATCH. */
typedef pye_status (*pye_batch_work)(void *context, uint64_t first, uint64_t n, pye_error *error);

/* Returns when all items are done, or with the status and error of the first batch that failed. */
pye_status pye_batches_run(pye_model *model, size_t n_threads, uint64_t n_items, pye_batch_work work,
                           void *context, pye_error *error);
