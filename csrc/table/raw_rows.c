#include "table/raw_rows.h"

#include <string.h>

/* As much of the next row is fetched before so much of this one is copied: more would be more requests than a processor
 * keeps. */
#define STEP_BYTES ((size_t)1024)

void pye_table_raw_bytes(const pye_table *table, uint64_t *codes, uint64_t *scales) {
    *codes = pye_raw_part_bytes(table, PYE_CODES);
    *scales = pye_raw_part_bytes(table, PYE_SCALES) + pye_raw_part_bytes(table, PYE_BIASES);
}

void pye_raw_copy(const pye_table *table, const pye_row *row, const pye_row *next, bool stream, uint8_t *to,
                  uint8_t *scales) {
    for (size_t part = 0; part < table->n_parts; part++) {
        if (part == PYE_SCALES && scales != NULL)
            to = scales;
        size_t n_bytes = pye_raw_part_bytes(table, part), step;
        for (size_t at = 0; at < n_bytes; at += step) {
            step = n_bytes - at < STEP_BYTES ? n_bytes - at : STEP_BYTES;
            if (next != NULL)
                pye_prefetch_bytes(next->parts[part] + at, step);
            if (stream)
                table->kernels->stream(row->parts[part] + at, to + at, step);
            else
                memcpy(to + at, row->parts[part] + at, step);
        }
        to += n_bytes;
    }
}
