/* Rows, one after the other: while one is decoded, the next is fetched. */
#include "table/rows.h"

#include <string.h>

#include "base/float_mode.h"
#include "table/raw_rows.h"

/* Weights in a step: a multiple of every block, and few enough for two tiles of them to stay in the first cache. */
#define STEP_WEIGHTS 512

/* True if a row already is what is asked for. */
static bool is_copy(const pye_row_job *job) {
    static const int32_t same[] = {
        [PYE_DTYPE_F32] = PYE_TYPE_F32, [PYE_DTYPE_F16] = PYE_TYPE_F16, [PYE_DTYPE_BF16] = PYE_TYPE_BF16};
    return job->table->is_blocks && !job->table->swap && job->table->info.type == same[job->dtype];
}

/* Columns first .. first + n - 1 of a row to float32. Past the caches lines have to be whole: a decoder that writes them itself
 * keeps the memory busy while it computes, where a tile makes the two take turns. */
static void write_floats(const pye_row_job *job, const pye_row *row, size_t first, size_t n, uint8_t *to) {
    const pye_table *table = job->table;
    if (!job->stream) {
        pye_table_decode(table, row, first, n, (float *)(void *)to);
    } else if (!table->swap && (uintptr_t)to % PYE_STREAM_ALIGNMENT == 0) {
        float *floats = (float *)(void *)to;
        if (table->is_blocks)
            table->kernels->stream_row[table->info.type](
                row->parts[PYE_CODES] + pye_type_bytes(table->type, first), floats, n);
        else
            table->kernels->stream_scaled(&table->scaling, row->parts, first, n, floats);
    } else {
        _Alignas(PYE_LINE_BYTES) float tile[STEP_WEIGHTS];
        pye_table_decode(table, row, first, n, tile);
        table->kernels->stream(tile, to, n * sizeof *tile);
    }
}

static void write_halves(const pye_row_job *job, const pye_row *row, size_t first, size_t n, uint8_t *to) {
    const pye_kernels *kernels = job->table->kernels;
    pye_narrow_row convert = job->dtype == PYE_DTYPE_F16 ? kernels->to_half : kernels->to_bfloat;
    _Alignas(PYE_LINE_BYTES) float tile[STEP_WEIGHTS];
    pye_table_decode(job->table, row, first, n, tile);
    if (job->stream) {
        _Alignas(PYE_LINE_BYTES) uint16_t halves[STEP_WEIGHTS];
        convert(tile, halves, n);
        kernels->stream(halves, to, n * sizeof *halves);
    } else {
        convert(tile, to, n);
    }
}

static void copy_columns(const pye_row_job *job, const pye_row *row, size_t first, size_t n, uint8_t *to) {
    const pye_type_info *type = job->table->type;
    const uint8_t *from = row->parts[PYE_CODES] + pye_type_bytes(type, first);
    size_t n_bytes = pye_type_bytes(type, n);
    if (job->stream)
        job->table->kernels->stream(from, to, n_bytes);
    else
        memcpy(to, from, n_bytes);
}

/* One row, step by step. Where there is a next one, as much of that is fetched before each step: all of it at once would be
 * more requests than a processor keeps. */
static void gather_row(const pye_row_job *job, const pye_row *row, const pye_row *next, uint8_t *to) {
    size_t n_columns = (size_t)job->table->info.n_columns;
    bool copy = is_copy(job);
    /* Where nothing happens between steps the row is one. */
    size_t step = next == NULL && job->dtype == PYE_DTYPE_F32 && !job->stream ? n_columns : STEP_WEIGHTS;
    for (size_t i = 0; i < n_columns; i += step) {
        size_t n = n_columns - i < step ? n_columns - i : step;
        if (next != NULL)
            pye_table_prefetch_span(job->table, next, pye_table_span(job->table, i, n));
        if (copy)
            copy_columns(job, row, i, n, to);
        else if (job->dtype == PYE_DTYPE_F32)
            write_floats(job, row, i, n, to);
        else
            write_halves(job, row, i, n, to);
        to += n * pye_dtype_bytes(job->dtype);
    }
}

/* The row that the id at position i names: without codes where that is outside a window. False if it is not a row after all:
 * ids that were checked are in the caller's memory, where another thread may change them. */
static bool find_row(const pye_row_job *job, size_t i, pye_row *row) {
    uint64_t id = pye_id_at(job->ids, job->id_type, i);
    if (pye_is_outside(job, id)) {
        row->parts[PYE_CODES] = NULL;
        return job->has_window;
    }
    *row = pye_table_row(job->table, id);
    return true;
}

static void write_zeros(const pye_row_job *job, uint8_t *to, uint8_t *scales) {
    memset(to, 0, (size_t)job->out_bytes);
    if (scales != NULL)
        memset(scales, 0, (size_t)job->scales_bytes);
}

static bool gather_rows(const pye_row_job *job, size_t first, size_t n) {
    pye_row rows[2]; /* this one and the next, in turns: copying one would wait for the stores that made it */
    if (!find_row(job, first, &rows[first % 2]))
        return false;
    for (size_t i = first; i < first + n; i++) {
        pye_row *row = &rows[i % 2], *next = &rows[(i + 1) % 2];
        if (i + 1 == first + n)
            next = NULL;
        else if (!find_row(job, i + 1, next))
            return false;
        if (!job->prefetch || (next != NULL && next->parts[PYE_CODES] == NULL))
            next = NULL;
        uint8_t *to = job->out + i * job->out_stride;
        uint8_t *scales = job->scales == NULL ? NULL : job->scales + i * job->scales_stride;
        if (row->parts[PYE_CODES] == NULL)
            write_zeros(job, to, scales);
        else if (job->dtype == PYE_DTYPE_RAW)
            pye_raw_copy(job->table, row, next, job->stream, to, scales);
        else
            gather_row(job, row, next, to);
    }
    if (job->stream)
        job->table->kernels->fence();
    return true;
}

bool pye_rows_gather(const pye_row_job *job, size_t first, size_t n) {
    uint64_t mode = pye_float_mode_begin();
    bool is_done = gather_rows(job, first, n);
    pye_float_mode_end(mode);
    return is_done;
}
