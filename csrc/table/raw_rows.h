/* Rows as the file stores them. */
#pragma once

#include "table/table.h"

/* Bytes of a part in a raw row. What all rows share is not a part of any. */
static inline size_t pye_raw_part_bytes(const pye_table *table, size_t part) {
    const pye_part_layout *layout = &table->layout[part];
    bool is_of_row = layout->stride > 0 || table->shards_have_scales;
    return part < table->n_parts && is_of_row ? (size_t)layout->row_bytes : 0;
}

/* Copies the codes of a row to `to`, and its scales and biases to `scales` or, where that is NULL, behind them: past the
 * caches if `stream`. Meanwhile it fetches the row `next`, which may be NULL. */
void pye_raw_copy(const pye_table *table, const pye_row *row, const pye_row *next, bool stream, uint8_t *to,
                  uint8_t *scales);
