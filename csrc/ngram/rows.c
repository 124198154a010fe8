/* ids -> names of rows: checks the arguments, then shares the tokens out among threads. */
#include <inttypes.h>

#include "base/ids.h"
#include "base/options.h"
#include "base/portions.h"
#include "base/status.h"
#include "ngram/ngram.h"

typedef struct name_job {
    const pye_ngram *ngram;
    const pye_ngram_column *columns; /* of the layer, and so the multipliers */
    const uint64_t *multipliers;
    const void *ids;
    pye_id_type id_type;
    size_t n_ids;
    const uint64_t *offsets; /* [n_sequences + 1] */
    size_t n_sequences;
    const int64_t *histories;
    int64_t *out;
} name_job;

/* -------------------------------------------------------------------------------------------- names */

/* The names of a token's rows from the numbers that are hashed, the token's own first. */
static void write_names(const name_job *job, const uint64_t *window, int64_t *out) {
    const pye_ngram *ngram = job->ngram;
    const pye_ngram_column *column = job->columns;
    size_t n_heads = ngram->n_heads;
    uint64_t mix = window[0] * job->multipliers[0];
    for (size_t s = 1; s < ngram->size; s++) {
        mix ^= window[s] * job->multipliers[s];
        for (size_t head = 0; head < n_heads; head++, column++)
            *out++ = (int64_t)(pye_ngram_reduce(column, mix) + column->offset);
    }
}

/* LongCat: the n-gram as a number whose digits are ids, highest last, modulo the size of the column's table. */
static void write_longcat_names(const name_job *job, const uint64_t *window, int64_t *out) {
    const pye_ngram *ngram = job->ngram;
    const pye_ngram_column *column = job->columns;
    const uint64_t *powers = job->multipliers;
    for (size_t last = 1; last < ngram->size; last++)
        for (size_t head = 0; head < ngram->n_heads; head++, column++, powers += ngram->size) {
            uint64_t sum = window[0];
            for (size_t s = 1; s <= last; s++)
                sum += window[s] * powers[s];
            *out++ = (int64_t)pye_ngram_reduce(column, sum);
        }
}

/* keys[s] is what is hashed of the s-th predecessor. The window ends, for good, at a place that is cut, and before a token
 * that ends windows; a token that does has its own window nevertheless. */
static void fill_window(const pye_ngram *ngram, const uint64_t *keys, uint64_t *window) {
    bool is_cut = keys[0] == PYE_NGRAM_CUT;
    window[0] = is_cut ? ngram->stand_in : keys[0];
    for (size_t s = 1; s < ngram->size; s++) {
        is_cut = is_cut || keys[s] == PYE_NGRAM_CUT || keys[s] == ngram->ends;
        window[s] = is_cut ? ngram->stand_in : keys[s];
    }
}

/* What is hashed of a token; `id` is below n_vocab. */
static uint64_t key_of(const pye_ngram *ngram, uint64_t id) {
    if (ngram->token_map == NULL)
        return id;
    uint32_t mapped = ngram->token_map[id];
    return mapped == PYE_NGRAM_DEAD ? PYE_NGRAM_CUT : mapped;
}

/* The key of what stands `distance` places, at least 1, before position `at` of a sequence. False for an id that is not a
 * token: another thread may change ids after they were checked. */
static bool key_before(const name_job *job, size_t sequence, uint64_t first, uint64_t at, size_t distance,
                       uint64_t *key) {
    const pye_ngram *ngram = job->ngram;
    uint64_t id;
    if (distance <= at - first) {
        id = pye_id_at(job->ids, job->id_type, (size_t)(at - distance));
    } else {
        size_t n_kept = ngram->size - 1, back = distance - (size_t)(at - first);
        int64_t kept = job->histories == NULL ? -1 : job->histories[sequence * n_kept + n_kept - back];
        if (kept == -1) {
            *key = PYE_NGRAM_CUT;
            return true;
        }
        id = (uint64_t)kept;
    }
    if (id >= ngram->n_vocab)
        return false;
    *key = key_of(ngram, id);
    return true;
}

/* The names of tokens first .. end - 1 of one sequence, which begins at `start`. */
static bool name_run(const name_job *job, size_t sequence, uint64_t start, uint64_t first, uint64_t end) {
    const pye_ngram *ngram = job->ngram;
    uint64_t keys[PYE_NGRAM_MAX_SIZE], window[PYE_NGRAM_MAX_SIZE];
    for (size_t s = 0; s + 1 < ngram->size; s++) /* keys[0] is that of the token before the first */
        if (!key_before(job, sequence, start, first, s + 1, &keys[s]))
            return false;
    bool is_longcat = ngram->scheme == PYE_NGRAM_LONGCAT;
    int64_t *out = job->out + (size_t)first * ngram->n_columns;
    for (uint64_t i = first; i < end; i++, out += ngram->n_columns) {
        uint64_t id = pye_id_at(job->ids, job->id_type, (size_t)i);
        if (id >= ngram->n_vocab)
            return false;
        for (size_t s = ngram->size - 1; s > 0; s--)
            keys[s] = keys[s - 1];
        keys[0] = key_of(ngram, id);
        fill_window(ngram, keys, window);
        if (is_longcat)
            write_longcat_names(job, window, out);
        else
            write_names(job, window, out);
    }
    return true;
}

/* The sequence that token i belongs to: the last that begins at or before it. */
static size_t sequence_of(const name_job *job, uint64_t i) {
    size_t low = 0, high = job->n_sequences;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (job->offsets[middle] <= i)
            low = middle;
        else
            high = middle;
    }
    return low;
}

static pye_status name_portion(void *context, uint64_t first, uint64_t n, pye_error *error) {
    const name_job *job = context;
    uint64_t i = first, end = first + n;
    for (size_t sequence = sequence_of(job, first); i < end && sequence < job->n_sequences; sequence++) {
        uint64_t start = job->offsets[sequence], next = job->offsets[sequence + 1];
        uint64_t stop = next < end ? next : end;
        if (stop <= i || start > i)
            continue;
        if (!name_run(job, sequence, start, i, stop))
            break;
        i = stop;
    }
    if (i < end)
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET,
                        "another thread changed the arguments during the call");
    return PYE_OK;
}

/* ------------------------------------------------------------------------------------------- checks */

static pye_status check_ids(const name_job *job, pye_error *error) {
    uint64_t n_vocab = job->ngram->n_vocab;
    size_t i = pye_find_outside(job->ids, job->id_type, job->n_ids, n_vocab);
    if (i == job->n_ids)
        return PYE_OK;
    uint64_t id = pye_id_at(job->ids, job->id_type, i);
    bool is_negative = job->id_type != PYE_ID_U64 && id > INT64_MAX;
    return pye_fail(error, PYE_ERROR_ID, i,
                    "the id at position %zu is %s%" PRIu64 ": ids are at least 0 and below the size of the "
                    "vocabulary, %" PRIu64,
                    i, is_negative ? "-" : "", is_negative ? 0 - id : id, n_vocab);
}

static pye_status check_offsets(const name_job *job, pye_error *error) {
    for (size_t i = 0; i <= job->n_sequences; i++) {
        uint64_t low = i == 0 ? 0 : job->offsets[i - 1];
        uint64_t high = i == 0 ? 0 : job->n_ids;
        if (job->offsets[i] < low || job->offsets[i] > high)
            return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET,
                            "offsets[%zu] is %" PRIu64
                            ": offsets begin with 0, never fall and end with n_ids, %zu",
                            i, job->offsets[i], job->n_ids);
    }
    if (job->offsets[job->n_sequences] != job->n_ids)
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET,
                        "the last offset is %" PRIu64 ", and n_ids is %zu", job->offsets[job->n_sequences],
                        job->n_ids);
    return PYE_OK;
}

static pye_status check_histories(const name_job *job, pye_error *error) {
    size_t n_kept = job->ngram->size - 1;
    for (size_t i = 0; job->histories != NULL && i < job->n_sequences * n_kept; i++) {
        int64_t id = job->histories[i];
        if (id < -1 || (id >= 0 && (uint64_t)id >= job->ngram->n_vocab))
            return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET,
                            "the history of sequence %zu holds %" PRId64 ": its ids are below the size of the "
                            "vocabulary, %" PRIu64 ", or -1 before the start",
                            i / n_kept, id, job->ngram->n_vocab);
        if (id == -1 && i % n_kept > 0 && job->histories[i - 1] != -1)
            return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET,
                            "the history of sequence %zu has -1 behind a token: what lies before the start of a "
                            "sequence comes first",
                            i / n_kept);
    }
    return PYE_OK;
}

/* Writing names must not change the ids that follow. */
static bool overlaps_ids(const name_job *job) {
    uintptr_t ids = (uintptr_t)job->ids, out = (uintptr_t)job->out;
    size_t out_bytes = job->n_ids * job->ngram->n_columns * sizeof *job->out;
    return ids < out + out_bytes && out < ids + job->n_ids * pye_id_bytes(job->id_type);
}

static pye_status check(const name_job *job, pye_error *error) {
    if (pye_check_id_type((int32_t)job->id_type, error) != PYE_OK)
        return PYE_ERROR_ARGUMENT;
    if (job->n_ids > SIZE_MAX / sizeof *job->out / job->ngram->n_columns)
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET, "names of %zu ids do not fit memory",
                        job->n_ids);
    pye_status status = check_offsets(job, error);
    if (status == PYE_OK)
        status = check_histories(job, error);
    if (status == PYE_OK && job->n_ids > 0 && overlaps_ids(job))
        status = pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET, "the output and the ids overlap in memory");
    return status == PYE_OK ? check_ids(job, error) : status;
}

/* ------------------------------------------------------------------------------------------ threads */

/* A name takes 2 ns or so: a thread is worth waking for some 250 us of work. */
#define NAMES_A_THREAD (UINT64_C(1) << 17)
#define PORTION_NAMES (UINT64_C(1) << 15)

static pye_status run(name_job *job, uint32_t n_threads, pye_error *error) {
    uint64_t n_names = (uint64_t)job->n_ids * job->ngram->n_columns;
    size_t threads = pye_pool_threads(n_threads, n_names / NAMES_A_THREAD);
    if (job->n_ids <= 1 || (threads == 1 && n_names <= NAMES_A_THREAD))
        return job->n_ids == 0 ? PYE_OK : name_portion(job, 0, job->n_ids, error);
    uint64_t portion = PORTION_NAMES / job->ngram->n_columns + 1, even = (job->n_ids - 1) / threads + 1;
    const pye_portions portions = {.pool = job->ngram->pool,
                                   .allocator = &job->ngram->allocator,
                                   .interrupt = &job->ngram->interrupt,
                                   .n_threads = threads,
                                   .n_items = job->n_ids,
                                   .portion = portion < even ? portion : even,
                                   .work = name_portion,
                                   .context = job};
    return pye_portions_run(&portions, error);
}

pye_status pye_ngram_rows(const pye_ngram *ngram, size_t layer, const void *ids, size_t n_ids, int64_t *out,
                          const pye_ngram_options *options, pye_error *error) {
    pye_ngram_options known;
    pye_status status = pye_copy_options(&known, sizeof known, options, "pye_ngram_options", error);
    if (status != PYE_OK)
        return status;
    if (layer >= ngram->n_layers)
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET, "layer is %zu: there are %zu", layer,
                        ngram->n_layers);
    const uint64_t whole[] = {0, n_ids};
    size_t n_multipliers = ngram->size * (ngram->scheme == PYE_NGRAM_LONGCAT ? ngram->n_columns : 1);
    name_job job = {
        .ngram = ngram,
        .columns = ngram->columns + layer * ngram->n_columns,
        .multipliers = ngram->multipliers + layer * n_multipliers,
        .ids = ids,
        .id_type = known.id_type,
        .n_ids = n_ids,
        .offsets = known.offsets == NULL ? whole : known.offsets,
        .n_sequences = known.offsets == NULL ? 1 : known.n_sequences,
        .histories = known.histories,
        .out = out,
    };
    status = check(&job, error);
    return status == PYE_OK ? run(&job, known.n_threads, error) : status;
}
