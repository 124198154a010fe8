/* A digest of rows as the file stores them, for recognising a table. */
#include "base/sha256.h"
#include "base/status.h"
#include "base/watch.h"
#include "table/table.h"

#define WATCHED_BYTES (UINT64_C(64) << 10) /* hashing them takes far longer than looking at a clock */

typedef struct hashing {
    pye_sha256 hash;
    pye_watch watch;
    uint64_t n_unwatched;
} hashing;

/* False if the call shall end. */
static bool add_bytes(hashing *h, const uint8_t *row, uint64_t n_bytes) {
    while (n_bytes > 0) {
        uint64_t step = n_bytes < WATCHED_BYTES ? n_bytes : WATCHED_BYTES;
        pye_sha256_add(&h->hash, row, (size_t)step);
        row += step;
        n_bytes -= step;
        h->n_unwatched += step;
        if (h->n_unwatched < WATCHED_BYTES)
            continue;
        h->n_unwatched = 0;
        if (pye_watch_stops(&h->watch))
            return false;
    }
    return true;
}

/* A row's parts, one after the other. False if the call shall end. */
static bool add_row(hashing *h, const pye_table *table, uint64_t id) {
    pye_row row = pye_table_row(table, id);
    for (size_t part = 0; part < table->n_parts; part++)
        if (!add_bytes(h, row.parts[part], table->layout[part].row_bytes))
            return false;
    return true;
}

pye_status pye_table_digest(const pye_table *table, uint64_t step, char digest[PYE_DIGEST_BYTES],
                            pye_error *error) {
    if (step == 0)
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET, "step is 0; it must be at least 1");
    hashing h = {.watch = pye_watch_begin(&table->model->interrupt)};
    pye_sha256_begin(&h.hash);
    uint64_t n_rows = table->info.n_rows;
    /* Rows without bytes may be as many as the file likes to say. */
    for (uint64_t row = 0; row < n_rows && table->info.row_bytes > 0; row += step) {
        if (step > 1)
            h.n_unwatched = WATCHED_BYTES; /* each row may have to come from a disk */
        if (!add_row(&h, table, row))
            return pye_fail_interrupted(error);
        if (step > n_rows - row)
            break; /* the sum could wrap */
    }
    if (table->scaling.factor_kind != PYE_FACTOR_NONE)
        pye_sha256_add(&h.hash, (const uint8_t *)&table->scaling.factor, sizeof table->scaling.factor);
    pye_status status = pye_table_intact(table, error);
    if (status == PYE_OK)
        pye_sha256_text(&h.hash, digest);
    return status;
}
