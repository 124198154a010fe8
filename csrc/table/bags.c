/* Rows are decoded a few at a time, a block of columns at a time, into the first cache, and added up there; floats are added
 * as they lie in the file. */
#include "table/bags.h"

#include <math.h>
#include <string.h>

#include "base/float_mode.h"
#include "table/scan_rows.h"

/* Rows that are decoded before they are added, and columns of each: tiles of that stay in the first cache. */
#define TILE_ROWS 4
#define STEP_COLUMNS 512

/* Rows that are looked up at a time, while those after them are fetched: memory answers after as many have been added. Of wide
 * rows fewer are as many bytes. */
#define GROUP_ROWS 32
#define GROUP_BYTES 16384

typedef struct group {
    const uint8_t *codes[GROUP_ROWS];
    pye_row rows[GROUP_ROWS]; /* of a table whose rows are more than codes */
    size_t n;
} group;

static size_t group_rows(const pye_table *table) {
    uint64_t n = GROUP_BYTES / (table->info.row_bytes + 1);
    return n < TILE_ROWS ? TILE_ROWS : n > GROUP_ROWS ? GROUP_ROWS : (size_t)n;
}

/* Whether rows lie one after the other, and are codes and nothing else. */
static bool is_one_array(const pye_table *table) {
    return table->n_pieces == 1 && table->n_parts == 1 && table->mapping == NULL;
}

/* The rows of ids first .. end - 1, but at most `most`. False if one of them is not a row after all: the ids are in the caller's
 * memory, where another thread may change them. */
static bool find_rows(const pye_bag_job *job, size_t first, size_t end, size_t most, group *found) {
    const pye_table *table = job->table;
    uint64_t ids[GROUP_ROWS], n_outside = 0;
    size_t n = end - first < most ? end - first : most;
    found->n = n;
    pye_ids_at(job->ids, job->id_type, first, n, ids);
    for (size_t i = 0; i < n; i++)
        n_outside += ids[i] >= table->info.n_rows;
    if (n_outside > 0)
        return false;
    if (is_one_array(table)) {
        const uint8_t *start = table->pieces[0].parts[PYE_CODES];
        for (size_t i = 0; i < n; i++)
            found->codes[i] = start + ids[i] * table->layout[PYE_CODES].stride;
        return true;
    }
    for (size_t i = 0; i < n; i++) {
        found->rows[i] = pye_table_row(table, ids[i]);
        found->codes[i] = found->rows[i].parts[PYE_CODES];
    }
    return true;
}

static pye_row row_of(const pye_table *table, const group *from, size_t i) {
    return is_one_array(table) ? (pye_row){.parts = {[PYE_CODES] = from->codes[i]}} : from->rows[i];
}

/* What adds rows of a table as they are stored; NULL if they have to be decoded. */
static pye_add_rows add_of(const pye_table *table) {
    return table->is_blocks && !table->swap ? table->kernels->add_rows[table->info.type] : NULL;
}

/* n columns from a byte of each row on, of rows that are floats. */
static void add_stored(pye_add_rows add, const uint8_t *const *codes, size_t n_rows, const float *weights,
                       size_t offset, size_t n, float *to) {
    const uint8_t *starts[GROUP_ROWS];
    for (size_t i = 0; i < n_rows && offset > 0; i++)
        starts[i] = codes[i] + offset;
    add(to, offset > 0 ? starts : codes, weights, n_rows, n);
}

/* Columns first .. first + n - 1 of any rows, at most TILE_ROWS, from the group's number `at` on. */
static void add_decoded(const pye_table *table, const group *from, size_t at, size_t n_rows, const float *weights,
                        size_t first, size_t n, float *to) {
    const uint8_t *starts[TILE_ROWS];
    _Alignas(PYE_LINE_BYTES) float tiles[TILE_ROWS][STEP_COLUMNS];
    for (size_t i = 0; i < n_rows; i++) {
        pye_row row = row_of(table, from, at + i);
        pye_table_decode(table, &row, first, n, tiles[i]);
        starts[i] = (const uint8_t *)tiles[i];
    }
    table->kernels->add_rows[PYE_TYPE_F32](to, starts, weights, n_rows, n);
}

static void max_rows(const pye_table *table, const group *from, size_t at, size_t n_rows, bool is_first,
                     size_t first, size_t n, float *to) {
    _Alignas(PYE_LINE_BYTES) float tile[STEP_COLUMNS];
    for (size_t i = 0; i < n_rows; i++) {
        pye_row row = row_of(table, from, at + i);
        pye_table_decode(table, &row, first, n, is_first && i == 0 ? to : tile);
        if (!is_first || i > 0)
            table->kernels->max_row(to, tile, n);
    }
}

static void fetch(const pye_table *table, const group *next, size_t i, pye_span span) {
    if (is_one_array(table)) {
        pye_prefetch_bytes(next->codes[i] + span.at, span.n_bytes);
        return;
    }
    pye_table_prefetch_span(table, &next->rows[i], span);
}

/* Pools a group into `to`, while the next is fetched. */
static void pool_group(const pye_bag_job *job, const group *here, const group *next, const float *weights,
                       bool is_first, float *to) {
    const pye_table *table = job->table;
    pye_add_rows add = add_of(table);
    size_t n_columns = (size_t)table->info.n_columns;
    size_t at_once = add != NULL && next->n == 0 ? GROUP_ROWS : TILE_ROWS;
    /* First a line of each: their pages are looked up at the same time, which takes longer than the bytes do. */
    for (size_t i = 0; i < next->n; i++)
        __builtin_prefetch(next->codes[i], 0, 3);
    for (size_t column = 0; column < n_columns; column += STEP_COLUMNS) {
        size_t n = n_columns - column < STEP_COLUMNS ? n_columns - column : STEP_COLUMNS;
        pye_span span = pye_table_span(table, column, n);
        for (size_t i = 0; i < here->n || i < next->n; i += at_once) {
            for (size_t j = i; j < next->n && j < i + at_once; j++)
                fetch(table, next, j, span);
            if (i >= here->n)
                continue;
            const float *factors = weights == NULL ? NULL : weights + i;
            size_t n_rows = here->n - i < at_once ? here->n - i : at_once;
            if (job->mode == PYE_POOL_MAX)
                max_rows(table, here, i, n_rows, is_first && i == 0, column, n, to + column);
            else if (add != NULL)
                add_stored(add, here->codes + i, n_rows, factors, span.at, n, to + column);
            else
                add_decoded(table, here, i, n_rows, factors, column, n, to + column);
        }
    }
}

/* Pools the rows of ids first .. end - 1 into `to`, which has those of the bag before them; `is_first`: none. */
static bool add_ids(const pye_bag_job *job, size_t first, size_t end, bool is_first, float *to) {
    size_t most = group_rows(job->table);
    group here, next = {.n = 0};
    for (size_t i = first; i < end; i += here.n, is_first = false) {
        if (!find_rows(job, i, end, most, &here))
            return false;
        /* Those of the next bag, too. */
        if (job->prefetch && !find_rows(job, i + here.n, job->n_ids, most, &next))
            return false;
        pool_group(job, &here, &next, job->weights == NULL ? NULL : job->weights + i, is_first, to);
    }
    return true;
}

/* Of a bag whose rows are in: the mean, and the division by the norm. */
static void finish(const pye_bag_job *job, size_t n_ids, float *to) {
    size_t n_columns = (size_t)job->table->info.n_columns;
    const pye_kernels *kernels = job->table->kernels;
    if (job->mode == PYE_POOL_MEAN)
        kernels->divide(to, n_columns, (float)n_ids);
    double norm = job->normalize ? pye_vector_norm(kernels, to, n_columns) : 0;
    if (norm != 0)
        kernels->divide_by_double(to, n_columns, norm);
}

static bool pool_part(const pye_bag_job *job, size_t bag, size_t first, size_t n) {
    int64_t begin = job->offsets[bag], end = job->offsets[bag + 1];
    if (begin < 0 || end < begin || (uint64_t)end > job->n_ids)
        return false;
    size_t n_ids = (size_t)(end - begin), start = (size_t)begin + first;
    if (first > n_ids || n > n_ids - first)
        return false;
    float *to = job->out + bag * job->table->info.n_columns;
    if (first == 0)
        memset(to, 0, (size_t)job->table->info.n_columns * sizeof *to);
    if (!add_ids(job, start, start + n, first == 0, to))
        return false;
    if (n > 0 && first + n == n_ids)
        finish(job, n_ids, to);
    return true;
}

bool pye_bags_pool(const pye_bag_job *job, size_t first, size_t n) {
    uint64_t mode = pye_float_mode_begin();
    bool is_done = true;
    for (size_t bag = first; bag < first + n && is_done; bag++)
        is_done = pool_part(job, bag, 0, (size_t)(job->offsets[bag + 1] - job->offsets[bag]));
    pye_float_mode_end(mode);
    return is_done;
}

bool pye_bag_part(const pye_bag_job *job, size_t bag, size_t first, size_t n) {
    uint64_t mode = pye_float_mode_begin();
    bool is_done = pool_part(job, bag, first, n);
    pye_float_mode_end(mode);
    return is_done;
}
