#include "table/pass.h"

#include "base/machine.h"
#include "base/paging.h"

/* What is hinted ahead: enough for a disk to be busy while rows are read, and little beside any budget. */
#define AHEAD_BYTES (UINT64_C(8) << 20)
#define HINT_BYTES (UINT64_C(2) << 20)

typedef struct extent {
    const pye_map *map;
    uint64_t first, n; /* pages */
} extent;

/* The pages of one part of rows first .. first + n - 1, all in one piece. False for a part that has none, or of a file that is
 * in memory. */
static bool extent_of(const pye_table *table, uint64_t first, uint64_t n, size_t part, extent *found) {
    const pye_part_layout *layout = &table->layout[part];
    pye_row row = pye_table_row(table, first);
    const pye_map *map = &table->model->files[pye_table_piece(table, first)->files[part]]->map;
    if (layout->row_bytes == 0 || map->pages.seen == NULL || (part == PYE_CODES && table->mapping != NULL))
        return false; /* codes of rows that are mapped to others are anywhere */
    uint64_t begin = (uint64_t)(row.parts[part] - map->base);
    uint64_t last = begin + (n - 1) * layout->stride + layout->row_bytes - 1;
    *found =
        (extent){map, begin >> map->pages.shift, (last >> map->pages.shift) - (begin >> map->pages.shift) + 1};
    return true;
}

typedef void (*visit_extent)(pye_pass *pass, const extent *at);

static void visit(pye_pass *pass, uint64_t first, uint64_t n, visit_extent act) {
    const pye_table *table = pass->table;
    while (n > 0) {
        uint64_t in_piece = table->n_pieces == 1 ? n : table->piece_rows - first % table->piece_rows;
        in_piece = in_piece < n ? in_piece : n;
        extent found;
        for (size_t part = 0; part < table->n_parts; part++)
            if (extent_of(table, first, in_piece, part, &found))
                act(pass, &found);
        first += in_piece;
        n -= in_piece;
    }
}

void pye_pass_begin(pye_pass *pass, const pye_table *table, uint64_t first, uint64_t n) {
    uint64_t row_bytes = table->info.row_bytes + 1;
    *pass = (pye_pass){.table = table, .end = first + n, .ahead = AHEAD_BYTES / row_bytes + 1};
    pass->leaves =
        table->asks && (table->model->fetcher.budget != NULL || table->info.n_bytes > pye_machine_memory() / 2);
    atomic_init(&pass->hinted, first);
    atomic_init(&pass->is_cold, false);
}

/* A hint costs a look-up a page: not where all of them were seen and a sample is still there. */
static void hint(pye_pass *pass, const extent *at) {
    uint64_t offset = at->first << at->map->pages.shift;
    pye_presence presence = pye_fetcher_ask(at->map, offset);
    atomic_store_explicit(&pass->is_cold, presence == PYE_ABSENT, memory_order_relaxed);
    if (pye_pages_are_all_seen(&at->map->pages, offset, at->n << at->map->pages.shift)) {
        if (presence != PYE_ABSENT)
            return;
        pye_fetcher_forget(&pass->table->model->fetcher, at->map);
    }
    uint64_t n_bytes = at->n << at->map->pages.shift;
    pye_map_expect(at->map, offset, n_bytes < at->map->size - offset ? n_bytes : at->map->size - offset);
}

void pye_pass_enter(pye_pass *pass, uint64_t first, uint64_t n) {
    if (!pass->table->asks)
        return;
    uint64_t step = HINT_BYTES / (pass->table->info.row_bytes + 1) + 1;
    uint64_t target = pass->end - first < n + pass->ahead ? pass->end : first + n + pass->ahead;
    uint64_t from = atomic_load(&pass->hinted);
    while (from < target) {
        uint64_t upto = pass->end - from < step ? pass->end : from + step;
        if (atomic_compare_exchange_weak(&pass->hinted, &from, upto)) {
            visit(pass, from, upto - from, hint);
            from = upto;
        }
    }
}

/* Pages that were seen otherwise than in passing stay. */
static void give_back(pye_pass *pass, const extent *at) {
    pye_budget *budget = pass->table->model->fetcher.budget;
    if (!pass->leaves) {
        pye_pages_see(&at->map->pages, at->first, at->n);
        return;
    }
    if (budget != NULL)
        pye_budget_leave(budget, at->map, at->first, at->n);
    if (!atomic_load_explicit(&pass->is_cold, memory_order_relaxed))
        return;
    uint64_t offset = at->first << at->map->pages.shift, n_bytes = at->n << at->map->pages.shift;
    if (budget == NULL)
        pye_view_drop(at->map->base + offset, (size_t)n_bytes);
    pye_file_drop(at->map->file, offset, (size_t)n_bytes);
}

void pye_pass_leave(pye_pass *pass, uint64_t first, uint64_t n) {
    if (pass->table->asks)
        visit(pass, first, n, give_back);
}
