/* Rows and the disk: whether their pages are believed to be in memory, and bringing them there. */
#pragma once

#include "table/table.h"

/* Notes what a table that was opened needs to know of its pages. PYE_ERROR_ARGUMENT if a row of it is too much for the model's
 * budget. */
pye_status pye_presence_begin(pye_table *table, pye_error *error);

/* Ids of a gather, wherever they are stored. */
typedef struct pye_ids {
    const void *ids;
    pye_id_type type;
    size_t n;
    uint64_t first, n_rows; /* the rows that may be asked for: first .. first + n_rows - 1; others are skipped */
} pye_ids;

/* One gathered row in this many is asked about. A system call costs about as much as ten short rows. */
#define PYE_ROWS_A_QUESTION 4096

/* Whether every row of the table is believed to be in memory. */
static inline bool pye_presence_is_complete(const pye_table *table) {
    return atomic_load_explicit(&table->complete, memory_order_relaxed) ==
           atomic_load_explicit(&table->model->fetcher.epoch, memory_order_relaxed) + 1;
}

/* Whether nothing has to be done for `n` rows, after `n_before` others. This is all that a gather costs, of a table that is
 * mapped and in memory: here in the header, since a single short row takes 30 nanoseconds. */
static inline bool pye_presence_is_settled(const pye_table *table, uint64_t n_before, size_t n) {
    return !table->asks ||
           (n < PYE_ROWS_A_QUESTION - n_before % PYE_ROWS_A_QUESTION && pye_presence_is_complete(table));
}

/* How many rows may be wanted at a time: as many as a budget holds, and as a list of their pages is worth. */
size_t pye_presence_batch_rows(const pye_table *table);

/* Makes sure that rows are in memory, as far as is known, reading those that are not. Of a
 * table whose rows all are it costs a look at a bit or two a row, and a system call every few thousand rows; `n_before`,
 * how many rows were gathered before, says when. `all_there`, which may be NULL, says whether
 * all were believed to be in memory. */
pye_status pye_presence_ensure(const pye_table *table, const pye_ids *ids, uint64_t n_before,
                               const pye_interrupt *interrupt, bool *all_there, pye_error *error);

/* Rows were gathered that were believed to be in memory, and took so long that a disk may have been asked after all: forgets
 * what was seen if this process had page faults that needed one. */
void pye_presence_doubt(const pye_table *table);

/* Begins to fetch those of the rows that are not known to be in memory, and returns at once. */
pye_status pye_presence_prefetch(const pye_table *table, const pye_ids *ids, pye_error *error);
