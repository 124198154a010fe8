/* Rows against queries: every back end that runs here against the portable one, bit for bit, and each against what has to
 * follow from the decoded rows and from all scores: the best k, other ids, one query alone, norms, faults, digests. The
 * input: bytes that choose (see `choose`), then bytes that are read round and round: queries, ids, rows. */
#include <math.h>

#include "back_ends.h"
#include "base/memory.h"
#include "base/sha256.h"
#include "table/table.h"
#include "writer.h"

enum { N_CHOICES = 10, MAX_COLUMNS = 768, MAX_WEIGHTS = 3 * MAX_COLUMNS, MAX_ROWS = 300 };

/* csrc/table/scan.c shares rows out in portions of this many bytes: with fewer a second thread has nothing to do. */
#define PORTION_BYTES ((size_t)512 << 10)

typedef struct reader {
    const uint8_t *bytes;
    size_t size, at;
} reader;

typedef struct request {
    pye_type_info type;
    bool big_endian;
    size_t n_columns, n_rows, n_queries, n_looked_at;
    uint64_t step; /* of the digest */
    float *queries;
    uint64_t *ids; /* NULL: all rows */
    uint64_t *excluded;
    pye_scan_options options;
} request;

typedef struct result {
    float *scores;
    uint64_t *ids;
    uint64_t *n_nan;
    size_t n; /* scores of a query */
} result;

static void read_bytes(reader *from, void *to, size_t n) {
    for (size_t done = 0; done < n;) {
        size_t step = n - done < from->size - from->at ? n - done : from->size - from->at;
        memcpy((uint8_t *)to + done, from->bytes + from->at, step);
        from->at = (from->at + step) % from->size;
        done += step;
    }
}

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* Never NULL, and of just that size. */
static void *memory_of(size_t n, size_t item_bytes) {
    void *memory = calloc(n > 0 ? n : 1, item_bytes);
    fuzz_require(memory != NULL, "there is memory");
    return memory;
}

/* ------------------------------------------------------------------------------------------- input */

/* A table of few weights; a row is up to two blocks of columns wide. */
static void choose_table(request *it, const uint8_t choices[N_CHOICES]) {
    (void)pye_type_at(choices[0] % pye_n_types(), &it->type, NULL);
    it->big_endian = choices[1] % 2 != 0;
    size_t n_blocks = 1 + 3 * (size_t)choices[2] % (MAX_COLUMNS / it->type.n_weights);
    it->n_columns = n_blocks * it->type.n_weights;
    size_t most = least(MAX_WEIGHTS / it->n_columns, MAX_ROWS);
    it->n_rows = 1 + (size_t)choices[3] * (it->n_columns < 8 ? 2 : 1) % most;
}

static uint64_t *choose_ids(reader *from, size_t n, size_t n_rows) {
    uint64_t *ids = memory_of(n, sizeof *ids);
    for (size_t i = 0; i < n; i++) {
        uint8_t byte;
        read_bytes(from, &byte, 1);
        ids[i] = byte % n_rows;
    }
    return ids;
}

static void choose(request *it, const uint8_t choices[N_CHOICES], reader *from) {
    choose_table(it, choices);
    it->n_queries = choices[4] % 6;
    it->step = 1 + choices[5] % 4u;
    it->queries = memory_of(it->n_queries * it->n_columns, sizeof(float));
    read_bytes(from, it->queries, it->n_queries * it->n_columns * sizeof(float));
    size_t n_ids = choices[6] % 128u;
    size_t row_bytes = it->n_columns / it->type.n_weights * it->type.block_bytes;
    /* Enough for two threads, now and then and where that costs little. */
    if (choices[6] == 255 && it->type.n_weights == 1 && it->type.block_bytes >= 4 && row_bytes > 512) {
        n_ids = PORTION_BYTES / row_bytes + 16;
        it->n_queries = least(it->n_queries, 1);
    }
    if (choices[6] >= 128)
        it->ids = choose_ids(from, n_ids, it->n_rows);
    it->n_looked_at = it->ids == NULL ? it->n_rows : n_ids;
    size_t n_excluded = choices[7] % 16u;
    it->excluded = choose_ids(from, n_excluded, it->n_rows);
    it->options = (pye_scan_options){.struct_bytes = sizeof it->options,
                                     .metric = choices[1] / 2 % 2 == 0 ? PYE_METRIC_DOT : PYE_METRIC_COSINE,
                                     .n_threads = 1 + choices[1] / 4 % 2u,
                                     .k = choices[8] % 4 == 0 ? 1 : choices[8] / 4 % (it->n_looked_at + 2),
                                     .ids = it->ids,
                                     .n_ids = n_ids,
                                     .excluded = it->excluded,
                                     .n_excluded = n_excluded};
}

static pye_model *open_table(const request *it, reader *from, pye_table **table) {
    static const char name[] = "rows";
    fuzz_writer file = {.big_endian = it->big_endian};
    fuzz_put_start(&file, 1, 0);
    fuzz_put_string(&file, (pye_string){name, sizeof name - 1});
    fuzz_put_number(&file, 2, 4);
    fuzz_put_number(&file, it->n_columns, 8);
    fuzz_put_number(&file, it->n_rows, 8);
    fuzz_put_number(&file, (uint64_t)it->type.id, 4);
    fuzz_put_number(&file, 0, 8);
    while (file.size % 32 != 0)
        fuzz_put_number(&file, 0, 1);
    size_t n_bytes = it->n_rows * (it->n_columns / it->type.n_weights) * it->type.block_bytes;
    uint8_t *rows = memory_of(n_bytes, 1);
    read_bytes(from, rows, n_bytes);
    fuzz_put(&file, rows, n_bytes);
    free(rows);
    char path[FUZZ_PATH_BYTES];
    pye_open_options options = {.struct_bytes = sizeof options, .load_mode = PYE_LOAD_NONE};
    pye_model *model;
    fuzz_save(&file, path, "s.gguf");
    fuzz_require(pye_model_open(path, &options, &model, NULL) == PYE_OK, "a table is a model");
    fuzz_require(pye_table_open(model, name, sizeof name - 1, table, NULL) == PYE_OK, "its table opens");
    return model;
}

/* Has the table read a copy of its rows of just their size, so that a sanitizer sees one byte too many; its start is odd. */
static uint8_t *move_rows(pye_table *table) {
    size_t n_bytes = (size_t)table->info.n_bytes;
    uint8_t *copy = memory_of(1 + n_bytes, 1);
    memcpy(copy + 1, table->pieces[0].parts[PYE_CODES], n_bytes);
    table->pieces[0].parts[PYE_CODES] = copy + 1;
    return copy;
}

static void use(pye_table *table, const pye_kernels *kernels) {
    table->kernels = kernels;
    table->decode = kernels->decode[table->type->id];
    pye_release(atomic_exchange(&table->norms, NULL));
}

/* ------------------------------------------------------------------------------------------ scores */

static result new_result(size_t n_queries, size_t n) {
    return (result){memory_of(n_queries * n, sizeof(float)), memory_of(n_queries * n, sizeof(uint64_t)),
                    memory_of(n_queries, sizeof(uint64_t)), n};
}

static void free_result(result of) {
    free(of.scores);
    free(of.ids);
    free(of.n_nan);
}

/* The bits of all: -0 is not 0, and there is one NaN. */
static bool are_equal(const result *a, const result *b, size_t n_queries) {
    return memcmp(a->scores, b->scores, n_queries * a->n * sizeof(float)) == 0 &&
           memcmp(a->ids, b->ids, n_queries * a->n * sizeof(uint64_t)) == 0 &&
           memcmp(a->n_nan, b->n_nan, n_queries * sizeof(uint64_t)) == 0;
}

static result scan(const pye_table *table, const float *queries, size_t n_queries, const pye_scan_options *options,
                   size_t n) {
    result of = new_result(n_queries, n);
    fuzz_require(pye_table_scan(table, queries, n_queries, options, of.scores, of.ids, of.n_nan, NULL) == PYE_OK,
                 "rows can be scanned");
    return of;
}

static pye_scan_options all_scores(const request *it) {
    return (pye_scan_options){
        .struct_bytes = sizeof(pye_scan_options), .metric = it->options.metric, .n_threads = 1};
}

static bool is_excluded(const request *it, uint64_t id) {
    for (size_t i = 0; i < it->options.n_excluded; i++)
        if (it->excluded[i] == id)
            return true;
    return false;
}

typedef struct candidate {
    float score;
    uint64_t id;
} candidate;

static int compare_candidates(const void *a, const void *b) {
    const candidate *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* What the options ask for, worked out from the scores of all rows. */
static void expect_query(const request *it, const float *all, candidate *room, result *expected, size_t query) {
    size_t n = 0, k = (size_t)it->options.k;
    for (size_t i = 0; i < it->n_looked_at; i++) {
        uint64_t id = it->ids == NULL ? i : it->ids[i];
        bool is_nan = isnan(all[id]);
        if (k == 0)
            expected->scores[query * expected->n + i] = all[id];
        else if (is_excluded(it, id))
            continue;
        expected->n_nan[query] += is_nan;
        if (!is_nan)
            room[n++] = (candidate){all[id], id};
    }
    if (k == 0)
        return;
    qsort(room, n, sizeof *room, compare_candidates);
    for (size_t i = 0; i < k; i++) {
        expected->scores[query * k + i] = i < n ? room[i].score : NAN;
        expected->ids[query * k + i] = i < n ? room[i].id : PYE_NO_ID;
    }
}

static void check_chosen(const pye_table *table, const request *it, const result *all) {
    size_t n = it->options.k == 0 ? it->n_looked_at : (size_t)it->options.k;
    result expected = new_result(it->n_queries, n);
    candidate *room = memory_of(it->n_looked_at, sizeof *room);
    for (size_t query = 0; query < it->n_queries; query++)
        expect_query(it, all->scores + query * it->n_rows, room, &expected, query);
    result chosen = scan(table, it->queries, it->n_queries, &it->options, n);
    fuzz_require(are_equal(&chosen, &expected, it->n_queries), "what is asked for follows from all scores");
    free(room);
    free_result(expected);
    free_result(chosen);
}

static void check_alone(const pye_table *table, const request *it, const result *all) {
    pye_scan_options options = all_scores(it);
    result alone = scan(table, it->queries, 1, &options, it->n_rows);
    fuzz_require(memcmp(alone.scores, all->scores, it->n_rows * sizeof(float)) == 0,
                 "a query's scores do not depend on the others");
    free_result(alone);
}

/* -------------------------------------------------------------------------------------------- rows */

static uint8_t faults_of(const float *row, size_t n) {
    uint8_t faults = PYE_ROW_EQUAL;
    for (size_t i = 0; i < n; i++) {
        faults |= isnan(row[i]) ? PYE_ROW_NAN : isinf(row[i]) ? PYE_ROW_INFINITE : 0;
        if (row[i] != row[0])
            faults &= (uint8_t)~PYE_ROW_EQUAL;
    }
    return (faults & PYE_ROW_EQUAL) != 0 && row[0] == 0 ? faults | PYE_ROW_ZERO : faults;
}

static void check_norm(const float *row, size_t n, float norm) {
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)row[i] * (double)row[i];
    double expected = sqrt(sum);
    fuzz_require(isnan(expected) ? isnan(norm) != 0
                                 : (float)expected == norm || fabs(expected - (double)norm) <= 1e-6 * expected,
                 "a norm is the root of the sum of squares");
}

/* Each row, decoded, against what check and norms say of it; faults and norms are the caller's to compare. */
static void check_rows(const pye_table *table, const request *it, uint8_t *faults, float *norms) {
    const uint64_t key[2] = {1, 2};
    uint64_t *hashes = memory_of(it->n_rows, sizeof *hashes);
    float *row = memory_of(it->n_columns, sizeof *row);
    const float *found;
    size_t row_bytes = (size_t)table->info.row_bytes;
    pye_row first = pye_table_row(table, 0);
    fuzz_require(pye_table_check(table, 0, it->n_rows, faults, key, hashes, NULL) == PYE_OK &&
                     pye_table_norms(table, it->options.n_threads, &found, NULL) == PYE_OK,
                 "rows can be looked at");
    memcpy(norms, found, it->n_rows * sizeof *norms);
    for (size_t i = 0; i < it->n_rows; i++) {
        pye_row stored = pye_table_row(table, i);
        pye_table_decode(table, &stored, 0, it->n_columns, row);
        fuzz_require((faults[i] & ~PYE_ROW_REFUSED) == faults_of(row, it->n_columns), "a row has its faults");
        check_norm(row, it->n_columns, norms[i]);
        bool same = memcmp(first.parts[PYE_CODES], stored.parts[PYE_CODES], row_bytes) == 0;
        fuzz_require(same == (hashes[0] == hashes[i]), "equal rows, and no others, have equal hashes");
    }
    free(hashes);
    free(row);
}

static void check_digest(const pye_table *table, const request *it) {
    char digest[PYE_DIGEST_BYTES], expected[PYE_DIGEST_BYTES];
    pye_sha256 hash;
    pye_sha256_begin(&hash);
    for (size_t i = 0; i < it->n_rows; i += it->step)
        pye_sha256_add(&hash, pye_table_row(table, i).parts[PYE_CODES], (size_t)table->info.row_bytes);
    pye_sha256_text(&hash, expected);
    fuzz_require(pye_table_digest(table, it->step, digest, NULL) == PYE_OK && strcmp(digest, expected) == 0,
                 "a digest is that of the rows");
}

/* ---------------------------------------------------------------------------------------- refusals */

static int stop(uint64_t n_done, uint64_t n_total, void *data) {
    fuzz_require(n_done <= n_total, "progress does not pass its end");
    *(bool *)data = true;
    return 0;
}

static pye_status try(const pye_table *table, const request *it, const pye_scan_options *options,
                      pye_error *error) {
    result room = new_result(it->n_queries, it->n_looked_at + (size_t)options->k);
    pye_status status =
        pye_table_scan(table, it->queries, it->n_queries, options, room.scores, room.ids, room.n_nan, error);
    free_result(room);
    return status;
}

/* Queries that are not finite are refused, and then made finite for what follows. */
static void refuse_queries(const pye_table *table, request *it) {
    const pye_scan_options options = all_scores(it);
    size_t n_bad = 0;
    for (size_t i = 0; i < it->n_queries * it->n_columns; i++)
        n_bad += isfinite(it->queries[i]) ? 0 : 1;
    if (n_bad == 0)
        return;
    result room = new_result(it->n_queries, it->n_rows);
    fuzz_require(pye_table_scan(table, it->queries, it->n_queries, &options, room.scores, NULL, NULL, NULL) ==
                     PYE_ERROR_ARGUMENT,
                 "a query is finite");
    free_result(room);
    for (size_t i = 0; i < it->n_queries * it->n_columns; i++)
        if (!isfinite(it->queries[i]))
            it->queries[i] = (float)(i % 5) - 2;
}

/* What may not be asked for, and leaves what may. */
static void refuse(const pye_table *table, request *it, uint8_t choice) {
    pye_scan_options options = it->options;
    pye_error error = {0};
    if (options.k > it->n_looked_at || (options.k == 0 && options.n_excluded > 0)) {
        fuzz_require(try(table, it, &options, &error) == PYE_ERROR_ARGUMENT && error.message[0] != '\0',
                     "k is at most the number of rows, and something is excluded only from the best");
        it->options.k = options.k = it->n_looked_at;
        it->options.n_excluded = options.n_excluded = it->n_looked_at == 0 ? 0 : options.n_excluded;
    }
    if (it->n_queries == 0)
        return;
    if (choice % 4 == 1 && it->ids != NULL && options.n_ids > 0) {
        size_t at = choice % options.n_ids;
        uint64_t id = it->ids[at];
        it->ids[at] = choice % 8 == 1 ? it->n_rows : UINT64_MAX;
        fuzz_require(try(table, it, &options, &error) == PYE_ERROR_ID && error.offset == at, "an id is a row");
        it->ids[at] = id;
    }
    if (choice % 4 != 2 || it->n_looked_at == 0)
        return;
    bool was_asked = false;
    options.progress = stop;
    options.progress_data = &was_asked;
    pye_status status = try(table, it, &options, &error);
    /* The calling thread asks: with two, the other one may have been faster and left it nothing. */
    fuzz_require(status == (was_asked ? PYE_ERROR_CANCELLED : PYE_OK) && (was_asked || options.n_threads > 1),
                 "a scan can be cancelled");
}

/* A cosine lies where cosines lie, and is 0 where one of the two has no length. */
static void check_cosines(const request *it, const result *all, const float *norms) {
    for (size_t query = 0; query < it->n_queries; query++) {
        bool is_zero = true;
        for (size_t i = 0; i < it->n_columns; i++)
            is_zero = is_zero && it->queries[query * it->n_columns + i] == 0;
        for (size_t i = 0; i < it->n_rows; i++) {
            float score = all->scores[query * it->n_rows + i];
            fuzz_require(isnan(score) || (score >= -1 && score <= 1), "a cosine is at most 1");
            fuzz_require(score == 0 || (norms[i] != 0 && !(is_zero && isfinite(norms[i]))),
                         "nothing is like nothing");
        }
    }
}

/* ---------------------------------------------------------------------------------------- back ends */

static result check_back_end(pye_table *table, const request *it, uint8_t *faults, float *norms) {
    pye_scan_options options = all_scores(it);
    check_rows(table, it, faults, norms);
    result all = scan(table, it->queries, it->n_queries, &options, it->n_rows);
    if (it->options.metric == PYE_METRIC_COSINE)
        check_cosines(it, &all, norms);
    check_chosen(table, it, &all);
    if (it->n_queries > 1)
        check_alone(table, it, &all);
    return all;
}

static void compare_back_ends(pye_table *table, const request *it) {
    const pye_kernels *back_ends[FUZZ_MAX_BACK_ENDS];
    size_t n_back_ends = fuzz_back_ends(back_ends), n_rows = it->n_rows;
    uint8_t *faults = memory_of(2 * n_rows, 1);
    float *norms = memory_of(2 * n_rows, sizeof *norms);
    use(table, back_ends[0]);
    result expected = check_back_end(table, it, faults, norms);
    for (size_t i = 1; i < n_back_ends; i++) {
        use(table, back_ends[i]);
        result got = check_back_end(table, it, faults + n_rows, norms + n_rows);
        fuzz_require(are_equal(&got, &expected, it->n_queries), "back ends score alike");
        fuzz_require(memcmp(faults, faults + n_rows, n_rows) == 0, "back ends find the same faults");
        fuzz_require(memcmp(norms, norms + n_rows, n_rows * sizeof *norms) == 0, "back ends have the same norms");
        free_result(got);
    }
    free_result(expected);
    free(faults);
    free(norms);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size <= N_CHOICES)
        return 0;
    reader from = {data + N_CHOICES, size - N_CHOICES, 0};
    request it = {0};
    pye_table *table;
    choose(&it, data, &from);
    pye_model *model = open_table(&it, &from, &table);
    uint8_t *rows = move_rows(table);
    refuse_queries(table, &it);
    refuse(table, &it, data[9]);
    check_digest(table, &it);
    compare_back_ends(table, &it);
    pye_table_close(table);
    pye_model_close(model);
    free(rows);
    free(it.queries);
    free(it.ids);
    free(it.excluded);
    return 0;
}
