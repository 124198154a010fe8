/* A digest of rows as the file stores them, for recognising a table. */
#include "base/sha256.h"
#include "base/status.h"
#include "table/table.h"

pye_status pye_table_digest(const pye_table *table, uint64_t step, char digest[PYE_DIGEST_BYTES],
                            pye_error *error) {
    if (step == 0)
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET, "a step of 0 never gets past the first row");
    pye_sha256 hash;
    pye_sha256_begin(&hash);
    uint64_t n_rows = table->info.n_rows, row_bytes = table->info.row_bytes;
    /* Rows without bytes may be as many as the file likes to say. */
    for (uint64_t row = 0; row < n_rows && row_bytes > 0; row += step) {
        pye_sha256_add(&hash, table->rows + row * row_bytes, (size_t)row_bytes);
        if (step > n_rows - row)
            break; /* the sum could wrap */
    }
    pye_status status = pye_map_intact(table->map, table->info.shard, error);
    if (status == PYE_OK)
        pye_sha256_text(&hash, digest);
    return status;
}
