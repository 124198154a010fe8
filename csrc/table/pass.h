/* Reading many rows from start to end, once: the disk reads ahead, and what is behind makes room again.
 *
 * Of tables that a memory budget or this machine's memory cannot hold, what was not in memory before is not left there
 * either: others' pages would have to go for it, and by the end of the pass its beginning would be gone too. */
#pragma once

#include "table/table.h"

typedef struct pye_pass {
    const pye_table *table;
    uint64_t end;             /* rows */
    uint64_t ahead;           /* rows that are hinted before they are read */
    bool leaves;              /* whether pages are given back behind */
    _Atomic(uint64_t) hinted; /* rows up to which hints were given */
    atomic_bool is_cold;      /* what was hinted last was not in memory */
} pye_pass;

/* A pass over rows first .. first + n - 1 of a table. */
void pye_pass_begin(pye_pass *pass, const pye_table *table, uint64_t first, uint64_t n);

/* Rows first .. first + n - 1 will be read now, and then those behind them; any thread may say so, in about this order. */
void pye_pass_enter(pye_pass *pass, uint64_t first, uint64_t n);

/* They were read. */
void pye_pass_leave(pye_pass *pass, uint64_t first, uint64_t n);
