/* queries -> scores: checks and lays out the arguments, then shares the rows out among threads. */
#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/half.h"
#include "base/options.h"
#include "base/watch.h"
#include "table/norms.h"
#include "table/pass.h"
#include "table/presence.h"
#include "table/queries.h"
#include "table/scan_rows.h"

/* Products that are worth waking a thread for; bytes of rows in a portion, small enough that a thread that starts late does
 * less. */
#define PRODUCTS_A_THREAD (UINT64_C(1) << 20)
#define PORTION_BYTES (UINT64_C(512) << 10)
/* Products in a portion at most, a fraction of a second: a scan can be interrupted between portions. */
#define PORTION_PRODUCTS (UINT64_C(1) << 28)

#define ALIGNMENT 64

/* Offsets in the one block of memory that a scan allocates. */
typedef struct layout {
    size_t queries, coded, query_norms, ids, excluded, scratch; /* bytes from its beginning */
    size_t coded_tiles, totals, n_nan, tops, entries; /* bytes from the beginning of a thread's scratch */
    size_t scratch_bytes;                             /* of a thread */
    size_t n_bytes;
} layout;

typedef struct scan {
    pye_scan_job job;
    pye_scan_options options;
    layout at;
    uint8_t *memory;
    size_t n_threads;
    uint64_t portion;
    pye_pass pass; /* without ids */
    pye_watch watch;
    bool has_forked; /* a callback did, and this is the child */
    _Atomic uint64_t next;
    atomic_size_t n_started;
    atomic_bool cancelled;
} scan;

/* ------------------------------------------------------------------------------------------- checks */

static pye_status check_ids(const uint64_t *ids, size_t n, uint64_t n_rows, const char *what, pye_error *error) {
    for (size_t i = 0; i < n; i++)
        if (ids[i] >= n_rows)
            return pye_fail(error, PYE_ERROR_ID, i,
                            "%s[%zu] is %" PRIu64 ": ids are below the number of rows, %" PRIu64, what, i, ids[i],
                            n_rows);
    return PYE_OK;
}

static pye_status check_options(const scan *s, const float *scores, const uint64_t *ids, pye_error *error) {
    const pye_scan_options *options = &s->options;
    uint64_t n_rows = s->job.n_rows;
    if (options->metric != PYE_METRIC_DOT && options->metric != PYE_METRIC_COSINE)
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET, "%d is not a metric", (int)options->metric);
    if (options->k > n_rows)
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET,
                        "k is %" PRIu64 ", but only %" PRIu64 " rows are scanned", options->k, n_rows);
    if (options->k == 0 && options->n_excluded > 0)
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET, "excluded needs a k of at least 1");
    if (options->k > 0 && ids == NULL && s->job.n_queries > 0)
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET, "ids is NULL: the best k need it");
    if (scores == NULL && n_rows > 0 && s->job.n_queries > 0)
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET, "scores is NULL");
    return PYE_OK;
}

static pye_status check_queries(const float *queries, size_t n_queries, uint64_t n_columns, pye_error *error) {
    for (size_t query = 0; query < n_queries; query++)
        for (size_t i = 0; i < n_columns; i++) {
            float value = queries[query * n_columns + i];
            if (!isfinite(value))
                return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET,
                                "query %zu is not finite: column %zu is %s", query, i,
                                isnan(value) ? "NaN" : "infinite");
        }
    return PYE_OK;
}

/* -------------------------------------------------------------------------------------------- memory */

/* Takes `n` items of `item_bytes` from what is still to be allocated; false where the sum overflows. */
static bool reserve(size_t *total, uint64_t n, size_t item_bytes, size_t *offset) {
    size_t n_bytes;
    if (n > SIZE_MAX || __builtin_mul_overflow((size_t)n, item_bytes, &n_bytes) || n_bytes > SIZE_MAX - ALIGNMENT)
        return false;
    n_bytes = (n_bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    *offset = *total;
    return !__builtin_add_overflow(*total, n_bytes, total);
}

static bool lay_out(scan *s) {
    const pye_scan_job *job = &s->job;
    layout *at = &s->at;
    size_t tile, n_queries = job->n_queries, n_columns = (size_t)job->table->info.n_columns;
    size_t n_floats, n_coded = 0, n_totals, n_entries;
    size_t lanes = job->is_coded ? PYE_CODED_LANES : 1;
    if (__builtin_mul_overflow(pye_n_blocks(n_columns, PYE_DOT_COLUMNS) * PYE_DOT_COLUMNS, n_queries, &n_floats) ||
        (job->is_coded &&
         __builtin_mul_overflow(pye_n_blocks(n_columns, PYE_CODED_COLUMNS), n_queries, &n_coded)) ||
        __builtin_mul_overflow(PYE_SCAN_ROWS * lanes, n_queries, &n_totals) ||
        __builtin_mul_overflow(job->k, n_queries, &n_entries))
        return false;
    return reserve(&at->scratch_bytes, PYE_SCAN_ROWS * PYE_DOT_COLUMNS, sizeof(float), &tile) &&
           reserve(&at->scratch_bytes, job->is_coded ? PYE_SCAN_ROWS : 0, sizeof(pye_coded_tile),
                   &at->coded_tiles) &&
           reserve(&at->scratch_bytes, n_totals, sizeof(double), &at->totals) &&
           reserve(&at->scratch_bytes, n_queries, sizeof(uint64_t), &at->n_nan) &&
           reserve(&at->scratch_bytes, n_queries, sizeof(pye_top), &at->tops) &&
           reserve(&at->scratch_bytes, n_entries, sizeof(pye_top_entry), &at->entries) &&
           reserve(&at->n_bytes, n_floats, sizeof(float), &at->queries) &&
           reserve(&at->n_bytes, n_coded, sizeof(pye_coded_block), &at->coded) &&
           reserve(&at->n_bytes, n_queries, sizeof(double), &at->query_norms) &&
           reserve(&at->n_bytes, s->options.n_ids, sizeof(uint64_t), &at->ids) &&
           reserve(&at->n_bytes, s->options.n_excluded, sizeof(uint64_t), &at->excluded) &&
           reserve(&at->n_bytes, s->n_threads, at->scratch_bytes, &at->scratch);
}

static pye_scan_scratch scratch_of(const scan *s, size_t thread) {
    uint8_t *base = s->memory + s->at.scratch + thread * s->at.scratch_bytes;
    return (pye_scan_scratch){
        .tile = (float *)(void *)base,
        .coded_tiles = (pye_coded_tile *)(void *)(base + s->at.coded_tiles),
        .totals = (double *)(void *)(base + s->at.totals),
        .n_nan = (uint64_t *)(void *)(base + s->at.n_nan),
        .tops = (pye_top *)(void *)(base + s->at.tops),
    };
}

static int compare_ids(const void *a, const void *b) {
    uint64_t x, y;
    memcpy(&x, a, sizeof x);
    memcpy(&y, b, sizeof y);
    return x < y ? -1 : x > y;
}

static void empty_heaps(const scan *s) {
    for (size_t thread = 0; thread < s->n_threads; thread++) {
        pye_scan_scratch scratch = scratch_of(s, thread);
        pye_top_entry *entries =
            (pye_top_entry *)(void *)(s->memory + s->at.scratch + thread * s->at.scratch_bytes + s->at.entries);
        for (size_t query = 0; query < s->job.n_queries; query++) {
            scratch.n_nan[query] = 0;
            scratch.tops[query] = (pye_top){entries + query * s->job.k, 0, s->job.k};
        }
    }
}

/* Copies of what the caller gave, which another thread may change meanwhile, and empty heaps. */
static void fill(scan *s, const float *queries) {
    pye_scan_job *job = &s->job;
    float *packed = (float *)(void *)(s->memory + s->at.queries);
    pye_coded_block *coded = (pye_coded_block *)(void *)(s->memory + s->at.coded);
    double *norms = (double *)(void *)(s->memory + s->at.query_norms);
    size_t n_columns = (size_t)job->table->info.n_columns;
    pye_pack_floats(queries, job->n_queries, n_columns, packed);
    if (job->is_coded)
        pye_pack_codes(queries, job->n_queries, n_columns, coded);
    for (size_t query = 0; query < job->n_queries; query++)
        norms[query] = pye_vector_norm(job->table->kernels, queries + query * n_columns, n_columns);
    job->queries = packed;
    job->coded = coded;
    job->query_norms = norms;
    if (s->options.ids != NULL)
        job->ids = memcpy(s->memory + s->at.ids, s->options.ids, s->options.n_ids * sizeof(uint64_t));
    if (job->n_excluded > 0)
        job->excluded =
            memcpy(s->memory + s->at.excluded, s->options.excluded, job->n_excluded * sizeof(uint64_t));
    empty_heaps(s);
}

/* ------------------------------------------------------------------------------------------- threads */

/* Only on the thread that called: a callback may not expect any other. */
static void tell(scan *s, uint64_t done) {
    if (!pye_watch_is_caller(&s->watch))
        return;
    pye_progress progress = s->options.progress;
    uint64_t row_bytes = s->job.table->info.row_bytes;
    if ((progress != NULL &&
         progress(done * row_bytes, s->job.n_rows * row_bytes, s->options.progress_data) == 0) ||
        pye_watch_stops(&s->watch))
        atomic_store_explicit(&s->cancelled, true, memory_order_relaxed);
    s->has_forked = pye_watch_has_forked(&s->watch);
}

/* What cannot be read is met again, and reported, where the rows are. */
static void come_to(scan *s, uint64_t first, uint64_t n) {
    static const pye_interrupt nobody = {NULL, NULL};
    if (s->job.ids == NULL) {
        pye_pass_enter(&s->pass, first, n);
    } else if (s->job.table->asks) {
        const pye_ids ids = {s->job.ids + first, PYE_ID_U64, (size_t)n, 0, s->job.table->info.n_rows};
        (void)pye_presence_ensure(s->job.table, &ids, first, &nobody, NULL, NULL);
    }
}

static void take_portions(void *context) {
    scan *s = context;
    pye_scan_scratch scratch = scratch_of(s, atomic_fetch_add_explicit(&s->n_started, 1, memory_order_relaxed));
    while (!atomic_load_explicit(&s->cancelled, memory_order_relaxed) &&
           !(pye_watch_is_caller(&s->watch) && s->has_forked)) {
        uint64_t first = atomic_fetch_add_explicit(&s->next, s->portion, memory_order_relaxed);
        if (first >= s->job.n_rows)
            return;
        uint64_t left = s->job.n_rows - first, n = left < s->portion ? left : s->portion;
        come_to(s, first, n);
        pye_scan_rows(&s->job, &scratch, first, n);
        if (s->job.ids == NULL)
            pye_pass_leave(&s->pass, first, n);
        tell(s, first);
    }
}

static void plan_threads(scan *s) {
    const pye_table_info *info = &s->job.table->info;
    uint64_t products = s->job.n_rows * (info->n_columns / 64 + 1) * (s->job.n_queries + 1);
    uint64_t portion = PORTION_BYTES / (info->row_bytes + 1) / PYE_SCAN_ROWS * PYE_SCAN_ROWS;
    uint64_t most =
        PORTION_PRODUCTS / (info->n_columns + 1) / (s->job.n_queries + 1) / PYE_SCAN_ROWS * PYE_SCAN_ROWS;
    portion = portion < most ? portion : most;
    s->portion = portion > 0 ? portion : PYE_SCAN_ROWS;
    if (s->options.ids != NULL && s->job.table->asks && s->portion > pye_presence_batch_rows(s->job.table))
        s->portion = pye_presence_batch_rows(s->job.table); /* they are brought into memory together */
    uint64_t n_portions = s->job.n_rows / s->portion + 1;
    size_t threads = pye_pool_threads(s->options.n_threads, products / (PRODUCTS_A_THREAD / 64));
    s->n_threads = threads < n_portions ? threads : (size_t)n_portions;
}

static void run_portions(scan *s) {
    pye_model *model = s->job.table->model;
    pye_pass_begin(&s->pass, s->job.table, 0, s->job.table->info.n_rows);
    s->watch = pye_watch_begin(&model->interrupt);
    pye_pool_run(&model->pool, &model->allocator, s->n_threads, take_portions, s);
    while (s->has_forked) { /* the child has no workers, nor what they found: it does all of the work */
        s->has_forked = false;
        s->watch = pye_watch_begin(&model->interrupt);
        s->n_threads = 1;
        empty_heaps(s);
        atomic_store(&s->next, 0);
        atomic_store(&s->n_started, 0);
        take_portions(s);
    }
}

/* The heaps of all threads into those of the first, and from there to the caller. */
static void collect(scan *s, float *scores, uint64_t *ids, uint64_t *n_nan) {
    pye_scan_scratch all = scratch_of(s, 0);
    size_t k = s->job.k;
    for (size_t query = 0; query < s->job.n_queries; query++) {
        pye_top *top = &all.tops[query];
        for (size_t thread = 1; thread < s->n_threads; thread++) {
            pye_scan_scratch other = scratch_of(s, thread);
            all.n_nan[query] += other.n_nan[query];
            for (size_t i = 0; i < other.tops[query].n; i++) {
                pye_top_entry entry = other.tops[query].entries[i];
                if (pye_top_wants(top, entry.score, entry.id))
                    pye_top_add(top, entry.score, entry.id);
            }
        }
        pye_top_sort(top);
        for (size_t i = 0; i < k; i++) {
            scores[query * k + i] = i < top->n ? top->entries[i].score : pye_float_from_bits(PYE_NAN_BITS);
            ids[query * k + i] = i < top->n ? top->entries[i].id : PYE_NO_ID;
        }
        if (n_nan != NULL)
            n_nan[query] = all.n_nan[query];
    }
}

/* The copies are checked and not the caller's arrays, which may be changed at any time. */
static pye_status check_copied_ids(const scan *s, pye_error *error) {
    const pye_scan_job *job = &s->job;
    uint64_t n_rows = job->table->info.n_rows;
    pye_status status = check_ids(job->ids, s->options.n_ids, n_rows, "ids", error);
    return status == PYE_OK ? check_ids(job->excluded, job->n_excluded, n_rows, "excluded", error) : status;
}

static pye_status run(scan *s, const float *queries, float *scores, uint64_t *ids, uint64_t *n_nan,
                      pye_error *error) {
    if (s->options.metric == PYE_METRIC_COSINE) {
        pye_status status = pye_table_norms(s->job.table, s->options.n_threads, &s->job.norms, error);
        if (status != PYE_OK)
            return status;
    }
    plan_threads(s);
    if (!lay_out(s) || s->at.n_bytes > SIZE_MAX - ALIGNMENT)
        return pye_fail(error, PYE_ERROR_MEMORY, PYE_NO_OFFSET, "the scan's buffers overflow size_t");
    uint8_t *memory = pye_allocate(&s->job.table->model->allocator, s->at.n_bytes + ALIGNMENT);
    if (memory == NULL)
        return pye_fail_memory(error, s->at.n_bytes);
    s->memory = memory + (ALIGNMENT - (uintptr_t)memory % ALIGNMENT) % ALIGNMENT;
    fill(s, queries);
    pye_status status = check_copied_ids(s, error);
    if (status != PYE_OK) {
        pye_release(memory);
        return status;
    }
    if (s->job.n_excluded > 0)
        qsort(s->memory + s->at.excluded, s->job.n_excluded, sizeof(uint64_t), compare_ids);
    s->job.scores = scores;
    run_portions(s);
    bool cancelled = atomic_load_explicit(&s->cancelled, memory_order_relaxed);
    if (!cancelled)
        collect(s, scores, ids, n_nan);
    pye_release(memory);
    if (cancelled)
        return pye_fail(error, PYE_ERROR_CANCELLED, PYE_NO_OFFSET, "the scan was cancelled");
    return pye_table_intact(s->job.table, error);
}

pye_status pye_table_scan(const pye_table *table, const float *queries, size_t n_queries,
                          const pye_scan_options *options, float *scores, uint64_t *ids, uint64_t *n_nan,
                          pye_error *error) {
    scan s = {.job = {.table = table, .n_queries = n_queries, .n_rows = table->info.n_rows}};
    s.job.is_coded = table->is_blocks && table->kernels->coded[table->info.type].dot != NULL;
    pye_status status = pye_copy_options(&s.options, sizeof s.options, options, "pye_scan_options", error);
    if (status != PYE_OK)
        return status;
    status = pye_rows_are_real(table, error);
    if (status != PYE_OK)
        return status;
    if (s.options.ids == NULL)
        s.options.n_ids = 0;
    else
        s.job.n_rows = s.options.n_ids;
    s.job.k = (size_t)s.options.k;
    s.job.n_excluded = s.options.n_excluded;
    status = check_options(&s, scores, ids, error);
    if (status == PYE_OK)
        status = check_queries(queries, n_queries, table->info.n_columns, error);
    if (status != PYE_OK || n_queries == 0)
        return status;
    return run(&s, queries, scores, ids, n_nan, error);
}
