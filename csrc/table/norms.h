/* The norms of a table's rows, computed by the first call that needs them. */
#pragma once

#include "table/table.h"

/* Rows of no columns take no bytes, so that a file may claim any number of them: PYE_ERROR_ARGUMENT for more than the file
 * has bytes, which bounds the work. */
pye_status pye_rows_are_real(const pye_table *table, pye_error *error);
