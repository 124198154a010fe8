/* Rows against queries: a block of columns of a few rows is decoded into the first cache, multiplied with that block of
 * every query, and forgotten. */
#include <math.h>
#include <string.h>

#include "base/float_mode.h"
#include "base/half.h"
#include "table/scan_rows.h"

/* With fewer queries each row is read from start to end before the next, which memory serves fastest. */
#define QUERIES_WORTH_ROWS 4

#define PREFETCH_BYTES 4096

static uint64_t id_of(const pye_scan_job *job, uint64_t position) {
    return job->ids == NULL ? position : job->ids[position];
}

static pye_row row_of(const pye_scan_job *job, uint64_t position) {
    return pye_table_row(job->table, id_of(job, position));
}

/* Of rows that are blocks. */
static const uint8_t *blocks_of(const pye_scan_job *job, uint64_t position) {
    return row_of(job, position).parts[PYE_CODES];
}

static size_t padded(size_t n) { return (n + PYE_DOT_STEP - 1) / PYE_DOT_STEP * PYE_DOT_STEP; }

/* Columns first .. first + n - 1 of a row to `to`, filled up with zeros. */
static void decode_block(const pye_table *table, const pye_row *row, size_t first, size_t n, float *to) {
    pye_table_decode(table, row, first, n, to);
    memset(to + n, 0, (padded(n) - n) * sizeof *to);
}

/* Prefetches what is multiplied next, which may be in the next row or beyond the last: a prefetch never faults. */
static void prefetch_near(const uint8_t *from, size_t n_bytes) {
    for (size_t i = 0; i < n_bytes; i += PYE_LINE_BYTES)
        __builtin_prefetch(from + PREFETCH_BYTES + i, 0, 3);
}

/* Prefetches columns of the rows after these, into the second cache: the first is full of these. */
static void prefetch_next(const pye_scan_job *job, uint64_t position, size_t first, size_t n) {
    if (position >= job->n_rows)
        return;
    size_t offset = pye_table_offset(job->table, first);
    size_t n_bytes = pye_table_offset(job->table, first + n) - offset;
    const uint8_t *from = blocks_of(job, position) + offset;
    for (size_t i = 0; i < n_bytes; i += PYE_LINE_BYTES)
        __builtin_prefetch(from + i, 0, 2);
}

static float score_of(const pye_scan_job *job, double total, uint64_t id, size_t query) {
    if (job->norms == NULL)
        return (float)total;
    double norms = (double)job->norms[id] * job->query_norms[query];
    if (norms == 0)
        return 0;
    double cosine = total / norms;
    return (float)(cosine > 1 ? 1 : cosine < -1 ? -1 : cosine); /* NaN is neither */
}

static bool is_excluded(const pye_scan_job *job, uint64_t id) {
    size_t low = 0, high = job->n_excluded;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (job->excluded[middle] < id)
            low = middle + 1;
        else
            high = middle;
    }
    return low < job->n_excluded && job->excluded[low] == id;
}

static void hand_out(const pye_scan_job *job, const pye_scan_scratch *scratch, uint64_t position, size_t query,
                     double total) {
    uint64_t id = id_of(job, position);
    float score = score_of(job, total, id, query);
    bool is_nan = isnan(score);
    if (job->k == 0) {
        job->scores[query * job->n_rows + position] = is_nan ? pye_float_from_bits(PYE_NAN_BITS) : score;
        scratch->n_nan[query] += is_nan;
    } else if ((is_nan || pye_top_wants(&scratch->tops[query], score, id)) && !is_excluded(job, id)) {
        scratch->n_nan[query] += is_nan;
        if (!is_nan)
            pye_top_add(&scratch->tops[query], score, id);
    }
}

/* One row against one query, from the stored weights, where there is a kernel for that. */
static bool scan_fused(const pye_scan_job *job, uint64_t position, double *total) {
    const pye_table *table = job->table;
    const pye_type_info *type = table->type;
    if (!table->is_blocks)
        return false;
    pye_fused_dot dot = table->kernels->fused[type->id];
    size_t n_columns = (size_t)table->info.n_columns;
    if (dot == NULL || table->swap || n_columns % PYE_DOT_STEP != 0)
        return false;
    const uint8_t *row = blocks_of(job, position);
    *total = 0;
    for (size_t column = 0; column < n_columns; column += PYE_DOT_COLUMNS) {
        size_t n = n_columns - column < PYE_DOT_COLUMNS ? n_columns - column : PYE_DOT_COLUMNS;
        size_t n_bytes = pye_type_bytes(type, n);
        prefetch_near(row, n_bytes);
        *total += (double)dot(row, job->queries + column, n);
        row += n_bytes;
    }
    return true;
}

/* One row against one query, decoded first. */
static double scan_decoded(const pye_scan_job *job, const pye_scan_scratch *scratch, uint64_t position,
                           size_t query) {
    const pye_table *table = job->table;
    size_t n_columns = (size_t)table->info.n_columns;
    pye_row row = row_of(job, position);
    double total = 0;
    for (size_t column = 0; column < n_columns; column += PYE_DOT_COLUMNS) {
        size_t n = n_columns - column < PYE_DOT_COLUMNS ? n_columns - column : PYE_DOT_COLUMNS;
        decode_block(table, &row, column, n, scratch->tile);
        table->kernels->dot(scratch->tile, 1, job->queries + column * job->n_queries + query * PYE_DOT_COLUMNS, 1,
                            padded(n), &total);
    }
    return total;
}

/* A block of columns of a row, into a tile. */
static void unpack_block(const pye_scan_job *job, const pye_scan_scratch *scratch, const uint8_t *from, size_t n,
                         pye_coded_tile *to) {
    const pye_table *table = job->table;
    if (table->swap) {
        size_t n_bytes = pye_type_bytes(table->type, n);
        uint8_t *copy = (uint8_t *)scratch->tile; /* floats of as many columns would fit */
        memcpy(copy, from, n_bytes);
        pye_type_swap(table->type->id, copy, n_bytes / table->type->block_bytes);
        from = copy;
    }
    table->kernels->coded[table->type->id].unpack(from, n, to);
}

/* A few rows of codes. */
static void multiply_codes(const pye_scan_job *job, const pye_scan_scratch *scratch, uint64_t first, size_t n_rows,
                           double (*totals)[PYE_CODED_LANES]) {
    const pye_table *table = job->table;
    const pye_coded_type *coded = &table->kernels->coded[table->type->id];
    size_t n_columns = (size_t)table->info.n_columns, n_queries = job->n_queries;
    if (!table->swap && n_queries < QUERIES_WORTH_ROWS) {
        for (size_t query = 0; query < n_queries; query++)
            coded->dot(blocks_of(job, first), n_columns, job->coded + query, n_queries, totals[query]);
        return;
    }
    const pye_coded_block *queries = job->coded;
    for (size_t column = 0; column < n_columns; column += PYE_CODED_COLUMNS, queries += n_queries) {
        size_t n = n_columns - column < PYE_CODED_COLUMNS ? n_columns - column : PYE_CODED_COLUMNS;
        size_t offset = pye_type_bytes(table->type, column);
        for (size_t i = 0; i < n_rows; i++) {
            prefetch_next(job, first + n_rows + i, column, n);
            unpack_block(job, scratch, blocks_of(job, first + i) + offset, n, scratch->coded_tiles + i);
        }
        table->kernels->dot_tiles(coded, scratch->coded_tiles, n_rows, n, queries, n_queries, totals);
    }
}

static double sum_of_lanes(const double lanes[PYE_CODED_LANES]) {
    double four[4];
    for (int i = 0; i < 4; i++)
        four[i] = lanes[i] + lanes[i + 4];
    return (four[0] + four[2]) + (four[1] + four[3]);
}

/* Sums of scales that are not finite say little about the weights: then the weights decide. */
static void scan_codes(const pye_scan_job *job, const pye_scan_scratch *scratch, uint64_t first, size_t n_rows) {
    double (*totals)[PYE_CODED_LANES] = (double (*)[PYE_CODED_LANES])(void *)scratch->totals;
    memset(totals, 0, n_rows * job->n_queries * sizeof *totals);
    multiply_codes(job, scratch, first, n_rows, totals);
    for (size_t i = 0; i < n_rows; i++)
        for (size_t query = 0; query < job->n_queries; query++) {
            double total = sum_of_lanes(totals[i * job->n_queries + query]);
            if (!isfinite(total))
                total = scan_decoded(job, scratch, first + i, query);
            hand_out(job, scratch, first + i, query, total);
        }
}

/* At most PYE_SCAN_ROWS rows. */
static void scan_few(const pye_scan_job *job, const pye_scan_scratch *scratch, uint64_t first, size_t n_rows) {
    const pye_table *table = job->table;
    size_t n_columns = (size_t)table->info.n_columns;
    double total;
    if (job->n_queries == 1 && scan_fused(job, first, &total)) {
        hand_out(job, scratch, first, 0, total);
        return;
    }
    memset(scratch->totals, 0, n_rows * job->n_queries * sizeof *scratch->totals);
    for (size_t column = 0; column < n_columns; column += PYE_DOT_COLUMNS) {
        size_t n = n_columns - column < PYE_DOT_COLUMNS ? n_columns - column : PYE_DOT_COLUMNS;
        for (size_t i = 0; i < n_rows; i++) {
            pye_row row = row_of(job, first + i);
            prefetch_next(job, first + n_rows + i, column, n);
            decode_block(table, &row, column, n, scratch->tile + i * PYE_DOT_COLUMNS);
        }
        table->kernels->dot(scratch->tile, n_rows, job->queries + column * job->n_queries, job->n_queries,
                            padded(n), scratch->totals);
    }
    for (size_t i = 0; i < n_rows; i++)
        for (size_t query = 0; query < job->n_queries; query++)
            hand_out(job, scratch, first + i, query, scratch->totals[i * job->n_queries + query]);
}

void pye_scan_rows(const pye_scan_job *job, const pye_scan_scratch *scratch, uint64_t first, uint64_t n) {
    size_t at_once = job->n_queries < QUERIES_WORTH_ROWS ? 1 : PYE_SCAN_ROWS;
    uint64_t mode = pye_float_mode_begin();
    for (uint64_t i = 0; i < n; i += at_once) {
        size_t n_rows = n - i < at_once ? (size_t)(n - i) : at_once;
        if (job->is_coded)
            scan_codes(job, scratch, first + i, n_rows);
        else
            scan_few(job, scratch, first + i, n_rows);
    }
    pye_float_mode_end(mode);
}

/* -------------------------------------------------------------------------------------------- norms */

static double root(const double lanes[PYE_SQUARE_LANES]) {
    double sum = 0;
    for (size_t i = 0; i < PYE_SQUARE_LANES; i++)
        sum += lanes[i];
    return sqrt(sum);
}

static double row_norm(const pye_table *table, const pye_row *row) {
    _Alignas(64) float tile[PYE_DOT_COLUMNS];
    double lanes[PYE_SQUARE_LANES] = {0};
    size_t n_columns = (size_t)table->info.n_columns;
    for (size_t column = 0; column < n_columns; column += PYE_DOT_COLUMNS) {
        size_t n = n_columns - column < PYE_DOT_COLUMNS ? n_columns - column : PYE_DOT_COLUMNS;
        decode_block(table, row, column, n, tile);
        table->kernels->squares(tile, padded(n), lanes);
    }
    return root(lanes);
}

void pye_scan_norms(const pye_table *table, uint64_t first, uint64_t n, float *norms) {
    uint64_t mode = pye_float_mode_begin();
    for (uint64_t i = first; i < first + n; i++) {
        pye_row row = pye_table_row(table, i);
        float norm = (float)row_norm(table, &row);
        norms[i] = isnan(norm) ? pye_float_from_bits(PYE_NAN_BITS) : norm;
    }
    pye_float_mode_end(mode);
}

double pye_vector_norm(const pye_kernels *kernels, const float *vector, uint64_t n) {
    double lanes[PYE_SQUARE_LANES] = {0};
    float last[PYE_SQUARE_LANES] = {0};
    size_t whole = (size_t)n / PYE_SQUARE_LANES * PYE_SQUARE_LANES;
    uint64_t mode = pye_float_mode_begin();
    kernels->squares(vector, whole, lanes);
    memcpy(last, vector + whole, ((size_t)n - whole) * sizeof *last);
    kernels->squares(last, PYE_SQUARE_LANES, lanes);
    double norm = root(lanes);
    pye_float_mode_end(mode);
    return norm;
}
