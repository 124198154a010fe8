#include "table/presence.h"

#include <inttypes.h>
#include <string.h>

#include "base/ids.h"
#include "base/paging.h"
#include "base/status.h"

/* Pages that are wanted at a time without a budget: their list takes 2 MiB. */
#define MAX_BATCH_ROWS ((size_t)1 << 18)

/* Within a budget pages may be taken out again before all of a batch are there, where it is almost all of it. */
#define MAX_ROUNDS 4

pye_status pye_presence_begin(pye_table *table, pye_error *error) {
    pye_model *model = table->model;
    for (size_t i = 0; i < table->n_files; i++)
        table->asks |= model->files[table->files[i]]->map.pages.seen != NULL;
    if (!table->asks || table->info.n_rows == 0)
        return PYE_OK;
    uint64_t page_bytes = pye_page_bytes();
    for (size_t part = 0; part < table->n_parts; part++)
        table->row_pages += (table->layout[part].row_bytes + page_bytes - 1) / page_bytes + 1;
    const pye_map *map = &model->files[table->pieces[0].files[PYE_CODES]]->map;
    if (table->n_parts == 1 && table->n_pieces == 1 && table->mapping == NULL && table->info.row_bytes > 0) {
        table->pages = &map->pages;
        table->first_offset = (uint64_t)(table->pieces[0].parts[PYE_CODES] - map->base);
    }
    const pye_budget *budget = model->fetcher.budget;
    if (budget != NULL && table->row_pages > pye_budget_batch_pages(budget))
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET,
                        "a row of this table is %" PRIu64
                        " bytes, too much for the memory budget: the least for it is %" PRIu64 " bytes",
                        table->info.row_bytes, 5 * table->row_pages * page_bytes);
    return PYE_OK;
}

/* Calls `visit` for the bytes of each part of a row, until it says false. */
static bool visit_parts(const pye_table *table, uint64_t id,
                        bool (*visit)(const pye_map *map, uint64_t first, uint64_t n_bytes, void *context),
                        void *context) {
    pye_row row = pye_table_row(table, id);
    const pye_piece *piece = pye_table_piece(table, id);
    for (size_t part = 0; part < table->n_parts; part++) {
        const pye_map *map = &table->model->files[piece->files[part]]->map;
        uint64_t n_bytes = table->layout[part].row_bytes;
        if (n_bytes > 0 && map->pages.seen != NULL &&
            !visit(map, (uint64_t)(row.parts[part] - map->base), n_bytes, context))
            return false;
    }
    return true;
}

static bool is_seen(const pye_map *map, uint64_t first, uint64_t n_bytes, void *unused) {
    (void)unused;
    return pye_pages_are_seen(&map->pages, first, n_bytes);
}

/* Of a table that is one array: the pages of its first byte and row, and what may be asked for. */
#define ARE_SEEN(number)                                                                                          \
    for (size_t i = 0; i < ids->n; i++) {                                                                         \
        number given;                                                                                             \
        memcpy(&given, (const uint8_t *)ids->ids + i * sizeof given, sizeof given);                               \
        uint64_t id = (uint64_t)given;                                                                            \
        if (id - ids->first < ids->n_rows)                                                                        \
            all &= pye_pages_are_seen(&pages, first + id * stride, row_bytes);                                    \
    }                                                                                                             \
    return all

/* Of a table that is one array, and ids of the usual types: this is what a row costs that is in memory. */
static bool are_seen_in_array(const pye_table *table, const pye_ids *ids) {
    const pye_pages pages = *table->pages;
    uint64_t first = table->first_offset, stride = table->layout[PYE_CODES].stride;
    uint64_t row_bytes = table->layout[PYE_CODES].row_bytes;
    bool all = true;
    switch (ids->type) {
    case PYE_ID_I64:
        ARE_SEEN(int64_t);
    case PYE_ID_U64:
        ARE_SEEN(uint64_t);
    case PYE_ID_U32:
        ARE_SEEN(uint32_t);
    case PYE_ID_I16:
        ARE_SEEN(int16_t);
    case PYE_ID_U16:
        ARE_SEEN(uint16_t);
    case PYE_ID_I8:
        ARE_SEEN(int8_t);
    case PYE_ID_U8:
        ARE_SEEN(uint8_t);
    default:
        ARE_SEEN(int32_t);
    }
}

/* Whether all rows are believed to be in memory. */
static bool are_seen(const pye_table *table, const pye_ids *ids) {
    if (table->pages != NULL)
        return are_seen_in_array(table, ids);
    bool all = true;
    for (size_t i = 0; i < ids->n && all; i++) {
        uint64_t id = pye_id_at(ids->ids, ids->type, i);
        if (id - ids->first < ids->n_rows)
            all = visit_parts(table, id, is_seen, NULL);
    }
    return all;
}

/* ----------------------------------------------------------------------------------- complete tables */

/* Whether every page of every row was seen; of rows that are mapped to others it is not asked. */
static bool is_complete(const pye_table *table) {
    if (table->mapping != NULL)
        return false;
    for (uint64_t first = 0; first < table->info.n_rows; first += table->piece_rows) {
        uint64_t left = table->info.n_rows - first, n = left < table->piece_rows ? left : table->piece_rows;
        pye_row row = pye_table_row(table, first);
        const pye_piece *piece = pye_table_piece(table, first);
        for (size_t part = 0; part < table->n_parts; part++) {
            const pye_part_layout *layout = &table->layout[part];
            const pye_map *map = &table->model->files[piece->files[part]]->map;
            uint64_t n_bytes = (n - 1) * layout->stride + layout->row_bytes;
            if (layout->row_bytes > 0 && map->pages.seen != NULL &&
                !pye_pages_are_all_seen(&map->pages, (uint64_t)(row.parts[part] - map->base), n_bytes))
                return false;
        }
    }
    return true;
}

/* Most tables are seen as a whole sooner or later: then nothing is asked of any row until something is forgotten. Whether it
 * has come to that is looked at after about as many rows as the table has pages, which hides the cost. */
static void look_whether_complete(const pye_table *table, size_t n) {
    pye_table *own = (pye_table *)(uintptr_t)table;
    uint64_t left = atomic_load_explicit(&own->until_check, memory_order_relaxed);
    atomic_store_explicit(&own->until_check, left > n ? left - n : table->info.n_bytes >> 12,
                          memory_order_relaxed);
    if (left > n)
        return;
    uint64_t epoch = atomic_load(&table->model->fetcher.epoch);
    if (is_complete(table))
        atomic_store(&own->complete, epoch + 1);
}

size_t pye_presence_batch_rows(const pye_table *table) {
    const pye_budget *budget = table->model->fetcher.budget;
    if (budget == NULL)
        return MAX_BATCH_ROWS;
    uint64_t n = pye_budget_batch_pages(budget) / table->row_pages;
    return n < 1 ? 1 : n < MAX_BATCH_ROWS ? (size_t)n : MAX_BATCH_ROWS;
}

/* ------------------------------------------------------------------------------------------ questions */

typedef struct question {
    pye_fetcher *fetcher;
    bool holds;
} question;

static bool ask(const pye_map *map, uint64_t first, uint64_t n_bytes, void *context) {
    question *asked = context;
    if (!pye_pages_are_seen(&map->pages, first, n_bytes) || pye_fetcher_ask(map, first) != PYE_ABSENT)
        return true;
    pye_fetcher_forget(asked->fetcher, map);
    asked->holds = false;
    return true;
}

static bool beliefs_hold(const pye_table *table, const pye_ids *ids, uint64_t n_before) {
    question asked = {&table->model->fetcher, true};
    for (uint64_t i = PYE_ROWS_A_QUESTION - 1 - n_before % PYE_ROWS_A_QUESTION; i < ids->n && asked.holds;
         i += PYE_ROWS_A_QUESTION) {
        uint64_t id = pye_id_at(ids->ids, ids->type, (size_t)i);
        if (id - ids->first < ids->n_rows)
            (void)visit_parts(table, id, ask, &asked);
    }
    return asked.holds;
}

/* ------------------------------------------------------------------------------------------- bringing */

typedef struct wish {
    pye_page_list list;
    pye_status status;
    pye_error *error;
} wish;

static bool want(const pye_map *map, uint64_t first, uint64_t n_bytes, void *context) {
    wish *wished = context;
    wished->status = pye_page_list_want(&wished->list, map, first, n_bytes, wished->error);
    return wished->status == PYE_OK;
}

/* How many of the rows have pages on the list. */
static uint64_t want_rows(const pye_table *table, const pye_ids *ids, wish *wished) {
    uint64_t n_missed = 0;
    for (size_t i = 0; i < ids->n && wished->status == PYE_OK; i++) {
        uint64_t id = pye_id_at(ids->ids, ids->type, i);
        size_t n = wished->list.n;
        if (id - ids->first < ids->n_rows)
            (void)visit_parts(table, id, want, wished);
        n_missed += wished->list.n > n;
    }
    return n_missed;
}

static pye_status bring(const pye_table *table, const pye_ids *ids, const pye_interrupt *interrupt,
                        pye_error *error) {
    pye_fetcher *fetcher = &table->model->fetcher;
    wish wished = {.list = {.allocator = fetcher->allocator}, .status = PYE_OK, .error = error};
    for (int round = 0; round < MAX_ROUNDS && wished.status == PYE_OK; round++) {
        uint64_t n_missed = want_rows(table, ids, &wished);
        if (round == 0)
            pye_count(&fetcher->counts.n_rows_missed, n_missed);
        if (wished.status != PYE_OK || wished.list.n == 0)
            break;
        wished.status = pye_fetcher_read(fetcher, &wished.list, interrupt, error);
        if (fetcher->budget == NULL)
            break;
    }
    pye_page_list_free(&wished.list);
    return wished.status;
}

pye_status pye_presence_ensure(const pye_table *table, const pye_ids *ids, uint64_t n_before,
                               const pye_interrupt *interrupt, bool *all_there, pye_error *error) {
    bool is_whole = pye_presence_is_complete(table);
    bool are_there = (is_whole || are_seen(table, ids)) && beliefs_hold(table, ids, n_before);
    if (are_there && !is_whole)
        look_whether_complete(table, ids->n);
    if (all_there != NULL)
        *all_there = are_there;
    return are_there ? PYE_OK : bring(table, ids, interrupt, error);
}

void pye_presence_doubt(const pye_table *table) {
    pye_fetcher *fetcher = &table->model->fetcher;
    uint64_t n = pye_n_major_faults();
    if (atomic_exchange(&fetcher->n_major_faults, n) == n)
        return;
    for (size_t i = 0; i < table->n_files; i++) {
        const pye_map *map = &table->model->files[table->files[i]]->map;
        if (map->pages.seen != NULL)
            pye_fetcher_forget(fetcher, map);
    }
}

pye_status pye_presence_prefetch(const pye_table *table, const pye_ids *ids, pye_error *error) {
    pye_fetcher *fetcher = &table->model->fetcher;
    wish wished = {.list = {.allocator = fetcher->allocator}, .status = PYE_OK, .error = error};
    (void)want_rows(table, ids, &wished);
    if (wished.status == PYE_OK)
        pye_fetcher_begin(fetcher, &wished.list);
    else
        pye_page_list_free(&wished.list);
    return wished.status;
}
