/* Rows are added a few at a time, a block of columns at a time: floats as they lie in the file, blocks as they are decoded, all
 * others once they are decoded into the first cache. */
#include "table/bags.h"

#include <math.h>
#include <string.h>

#include "base/float_mode.h"
#include "table/scan_rows.h"

/* Rows that are added at a time (wide ones are fewer), and rows that are looked up before. As many are fetched before they
 * are added: all their pages are looked up at the same time, which takes longer than the bytes do, and memory answers while others
 * are added. The second cache has room for them. */
#define GROUP_ROWS 32
#define GROUP_BYTES 32768
#define LEAST_ROWS 4
#define WINDOW_ROWS 96

/* Rows that are decoded before they are added: with a block of columns of each, tiles stay in the first cache. */
#define TILE_ROWS 4

/* Rows of consecutive ids, each looked up once, whatever bags it is in. */
typedef struct window {
    size_t first, n; /* ids */
    size_t next;     /* id to be added, one of these unless all were */
    size_t most;     /* rows to add at a time */
    size_t ahead;    /* rows between one that is added and the one that is fetched then; 0: none is */
    const uint8_t *codes[WINDOW_ROWS + GROUP_ROWS]; /* behind the last row of all, that again */
    pye_row rows[WINDOW_ROWS + GROUP_ROWS];         /* of a table whose rows are more than codes */
} window;

static bool has_parts(const pye_table *table) { return table->n_parts > 1; }

static pye_row row_at(const pye_table *table, const window *from, size_t i) {
    return has_parts(table) ? from->rows[i] : (pye_row){.parts = {[PYE_CODES] = from->codes[i]}};
}

/* Asks for some columns of a row. */
static void fetch(const pye_table *table, const window *from, size_t i, pye_span span) {
    if (has_parts(table))
        pye_table_prefetch_span(table, &from->rows[i], span);
    else
        pye_prefetch_far(from->codes[i] + span.at, span.n_bytes);
}

/* Looks up the rows of the next n ids. False if one of them is not a row after all: the ids are in the caller's memory, where
 * another thread may change them. */
static bool look_up(const pye_bag_job *job, window *to, size_t n) {
    const pye_table *table = job->table;
    uint64_t ids[WINDOW_ROWS], n_outside = 0;
    pye_ids_at(job->ids, job->id_type, to->first + to->n, n, ids);
    for (size_t i = 0; i < n; i++)
        n_outside += ids[i] >= table->info.n_rows;
    if (n_outside > 0)
        return false;
    for (size_t i = 0; i < n; i++) {
        pye_row row = pye_table_row(table, ids[i]);
        to->codes[to->n + i] = row.parts[PYE_CODES];
        if (has_parts(table))
            to->rows[to->n + i] = row;
    }
    to->n += n;
    return true;
}

/* Forgets rows that were added, and looks up as many as there is room for. */
static bool move_on(const pye_bag_job *job, window *to) {
    size_t n_added = to->next - to->first, n_left = to->n - n_added;
    size_t n_new = job->n_ids - (to->next + n_left);
    memmove(to->codes, to->codes + n_added, n_left * sizeof *to->codes);
    memmove(to->rows, to->rows + n_added, has_parts(job->table) ? n_left * sizeof *to->rows : 0);
    to->first = to->next;
    to->n = n_left;
    if (!look_up(job, to, n_new < WINDOW_ROWS - n_left ? n_new : WINDOW_ROWS - n_left))
        return false;
    for (size_t i = to->n; i > 0 && i < to->n + to->ahead; i++) {
        to->codes[i] = to->codes[i - 1];
        if (has_parts(job->table))
            to->rows[i] = to->rows[i - 1];
    }
    return true;
}

/* Rows that can be added while others are fetched; the last of all have nothing to fetch. */
static size_t n_ready(const pye_bag_job *job, const window *from) {
    size_t n = from->n - (from->next - from->first);
    if (from->first + from->n == job->n_ids)
        return n;
    return n < from->ahead ? 0 : n - from->ahead;
}

/* Begins at an id, and fetches the first rows. */
static bool begin(const pye_bag_job *job, window *to, size_t first) {
    const pye_table *table = job->table;
    size_t most = GROUP_BYTES / (table->info.row_bytes + 1);
    to->most = most < LEAST_ROWS ? LEAST_ROWS : most > GROUP_ROWS ? GROUP_ROWS : most;
    to->first = to->next = first;
    to->n = 0;
    to->ahead = job->prefetch ? to->most : 0;
    if (first > job->n_ids || !move_on(job, to))
        return false;
    pye_span all = pye_table_span(table, 0, (size_t)table->info.n_columns);
    for (size_t i = 0; i < to->ahead && i < to->n; i++)
        fetch(table, to, i, all);
    return true;
}

/* ------------------------------------------------------------------------------------------- adding */

/* A group: rows from number `at` of a window on, and what they are multiplied with. */
typedef struct group {
    const window *from;
    size_t at, n;
    const float *weights; /* may be NULL */
    bool is_first;        /* nothing of the bag was added before */
} group;

/* Rows of floats and blocks as they are stored. */
static void add_stored(const pye_table *table, const group *added, pye_span span, size_t n, float *to) {
    const pye_addends rows = {
        .rows = added->from->codes + added->at, .at = span.at, .weights = added->weights, .n = added->n};
    table->kernels->add_rows[table->info.type](to, &rows, n);
}

/* Any other rows. */
static void add_decoded(const pye_table *table, const group *added, size_t first, size_t n, float *to) {
    const uint8_t *starts[TILE_ROWS];
    _Alignas(PYE_LINE_BYTES) float tiles[TILE_ROWS][PYE_ADDED_COLUMNS];
    for (size_t i = 0; i < added->n; i += TILE_ROWS) {
        size_t n_rows = added->n - i < TILE_ROWS ? added->n - i : TILE_ROWS;
        for (size_t j = 0; j < n_rows; j++) {
            pye_row row = row_at(table, added->from, added->at + i + j);
            pye_table_decode(table, &row, first, n, tiles[j]);
            starts[j] = (const uint8_t *)tiles[j];
        }
        const pye_addends rows = {
            .rows = starts, .weights = added->weights == NULL ? NULL : added->weights + i, .n = n_rows};
        table->kernels->add_rows[PYE_TYPE_F32](to, &rows, n);
    }
}

static void max_rows(const pye_table *table, const group *added, size_t first, size_t n, float *to) {
    _Alignas(PYE_LINE_BYTES) float tile[PYE_ADDED_COLUMNS];
    for (size_t i = 0; i < added->n; i++) {
        pye_row row = row_at(table, added->from, added->at + i);
        bool is_first = added->is_first && i == 0;
        pye_table_decode(table, &row, first, n, is_first ? to : tile);
        if (!is_first)
            table->kernels->max_row(to, tile, n);
    }
}

/* Pools a group into `to`, while others are fetched. */
static void pool_group(const pye_bag_job *job, const group *added, float *to) {
    const pye_table *table = job->table;
    bool is_stored = job->mode != PYE_POOL_MAX && table->is_blocks && !table->swap &&
                     table->kernels->add_rows[table->info.type] != NULL;
    size_t n_columns = (size_t)table->info.n_columns;
    for (size_t column = 0; column < n_columns; column += PYE_ADDED_COLUMNS) {
        size_t n = n_columns - column < PYE_ADDED_COLUMNS ? n_columns - column : PYE_ADDED_COLUMNS;
        pye_span span = pye_table_span(table, column, n);
        for (size_t i = 0; i < added->n && added->from->ahead > 0; i++)
            fetch(table, added->from, added->at + i + added->from->ahead, span);
        if (is_stored)
            add_stored(table, added, span, n, to + column);
        else if (job->mode == PYE_POOL_MAX)
            max_rows(table, added, column, n, to + column);
        else
            add_decoded(table, added, column, n, to + column);
    }
}

/* Pools the rows of the next n ids into `to`, which has those of the bag before them; `is_first`: none. */
static bool add_ids(const pye_bag_job *job, window *from, size_t n, bool is_first, float *to) {
    for (size_t end = from->next + n; from->next < end; is_first = false) {
        size_t n_rows = end - from->next < from->most ? end - from->next : from->most;
        if (n_ready(job, from) < n_rows && !move_on(job, from))
            return false;
        const group added = {.from = from,
                             .at = from->next - from->first,
                             .n = n_rows,
                             .weights = job->weights == NULL ? NULL : job->weights + from->next,
                             .is_first = is_first};
        pool_group(job, &added, to);
        from->next += n_rows;
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

static bool pool_part(const pye_bag_job *job, window *from, size_t bag, size_t first, size_t n) {
    int64_t begin = job->offsets[bag], end = job->offsets[bag + 1];
    if (begin < 0 || end < begin || (uint64_t)end > job->n_ids)
        return false;
    size_t n_ids = (size_t)(end - begin);
    if (first > n_ids || n > n_ids - first || (size_t)begin + first != from->next)
        return false;
    float *to = job->out + bag * job->table->info.n_columns;
    size_t n_bytes = (size_t)job->table->info.n_columns * sizeof *to;
    /* Stores into the next result would wait for its lines. */
    pye_prefetch_far((const uint8_t *)to + n_bytes, n_bytes);
    if (first == 0)
        memset(to, 0, n_bytes);
    if (!add_ids(job, from, n, first == 0, to))
        return false;
    if (n > 0 && first + n == n_ids)
        finish(job, n_ids, to);
    return true;
}

bool pye_bags_pool(const pye_bag_job *job, size_t first, size_t n) {
    uint64_t mode = pye_float_mode_begin();
    window from;
    bool is_done = begin(job, &from, (size_t)job->offsets[first]);
    for (size_t bag = first; bag < first + n && is_done; bag++)
        is_done = pool_part(job, &from, bag, 0, (size_t)(job->offsets[bag + 1] - job->offsets[bag]));
    pye_float_mode_end(mode);
    return is_done;
}

bool pye_bag_part(const pye_bag_job *job, size_t bag, size_t first, size_t n) {
    uint64_t mode = pye_float_mode_begin();
    window from;
    bool is_done = begin(job, &from, (size_t)job->offsets[bag] + first) && pool_part(job, &from, bag, first, n);
    pye_float_mode_end(mode);
    return is_done;
}
