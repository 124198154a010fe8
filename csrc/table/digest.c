/* A digest of rows as the file stores them, for recognising a table. */
#include "base/sha256.h"
#include "base/status.h"
#include "base/watch.h"
#include "table/pass.h"
#include "table/presence.h"

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

/* Rows `step` apart that are brought into memory together. */
#define SAMPLED_ROWS 512

/* Every row, in one pass. */
static pye_status add_all(hashing *h, const pye_table *table, pye_error *error) {
    uint64_t n_rows = table->info.n_rows, step = WATCHED_BYTES * 4 / (table->info.row_bytes + 1) + 1;
    pye_pass pass;
    pye_pass_begin(&pass, table, 0, n_rows);
    for (uint64_t first = 0; first < n_rows; first += step) {
        uint64_t n = n_rows - first < step ? n_rows - first : step;
        pye_pass_enter(&pass, first, n);
        for (uint64_t row = first; row < first + n; row++)
            if (!add_row(h, table, row))
                return pye_fail_interrupted(error);
        pye_pass_leave(&pass, first, n);
    }
    return PYE_OK;
}

/* Rows `first`, first + step, ... as many as are sampled together. Returns how many. */
static size_t sample(const pye_table *table, uint64_t first, uint64_t step, uint64_t ids[SAMPLED_ROWS]) {
    size_t n = 0, most = pye_presence_batch_rows(table);
    most = most < SAMPLED_ROWS ? most : SAMPLED_ROWS;
    for (uint64_t row = first; n < most; row += step) {
        ids[n++] = row;
        if (step >= table->info.n_rows - row)
            break;
    }
    return n;
}

static pye_status add_samples(hashing *h, const pye_table *table, uint64_t step, pye_error *error) {
    uint64_t ids[SAMPLED_ROWS], n_rows = table->info.n_rows;
    for (uint64_t first = 0; first < n_rows;) {
        size_t n = sample(table, first, step, ids);
        const pye_ids wanted = {ids, PYE_ID_U64, n, 0, n_rows};
        pye_status status =
            table->asks ? pye_presence_ensure(table, &wanted, 0, &table->model->interrupt, NULL, error) : PYE_OK;
        if (status != PYE_OK)
            return status;
        for (size_t i = 0; i < n; i++) {
            h->n_unwatched = WATCHED_BYTES; /* each row may have to come from a disk */
            if (!add_row(h, table, ids[i]))
                return pye_fail_interrupted(error);
        }
        if (step >= n_rows - ids[n - 1])
            break; /* the sum could wrap */
        first = ids[n - 1] + step;
    }
    return PYE_OK;
}

pye_status pye_table_digest(const pye_table *table, uint64_t step, char digest[PYE_DIGEST_BYTES],
                            pye_error *error) {
    if (step == 0)
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET, "step is 0; it must be at least 1");
    hashing h = {.watch = pye_watch_begin(&table->model->interrupt)};
    pye_sha256_begin(&h.hash);
    pye_status status = PYE_OK;
    /* Rows without bytes may be as many as the file likes to say. */
    if (table->info.row_bytes > 0)
        status = step == 1 ? add_all(&h, table, error) : add_samples(&h, table, step, error);
    if (status == PYE_OK && table->scaling.factor_kind != PYE_FACTOR_NONE)
        pye_sha256_add(&h.hash, (const uint8_t *)&table->scaling.factor, sizeof table->scaling.factor);
    if (status == PYE_OK)
        status = pye_table_intact(table, error);
    if (status == PYE_OK)
        pye_sha256_text(&h.hash, digest);
    return status;
}
