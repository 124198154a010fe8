/* Rows, one after the other: while one is decoded, the next is fetched. */
#include "table/rows.h"

#include <string.h>

#include "base/float_mode.h"

/* Weights in a step: a multiple of every block, and few enough for two tiles of them to stay in the first cache. */
#define STEP_WEIGHTS 512

uint64_t pye_id_at(const void *ids, pye_id_type type, size_t i) {
    switch (type) {
#define ID_CASE(name, number)                                                                                     \
    case name: {                                                                                                  \
        number id;                                                                                                \
        memcpy(&id, (const uint8_t *)ids + i * sizeof id, sizeof id);                                             \
        return (uint64_t)id;                                                                                      \
    }
        ID_CASE(PYE_ID_I32, int32_t)
        ID_CASE(PYE_ID_I64, int64_t)
        ID_CASE(PYE_ID_U32, uint32_t)
        ID_CASE(PYE_ID_U64, uint64_t)
        ID_CASE(PYE_ID_I16, int16_t)
        ID_CASE(PYE_ID_U16, uint16_t)
        ID_CASE(PYE_ID_I8, int8_t)
        ID_CASE(PYE_ID_U8, uint8_t)
#undef ID_CASE
    }
    return UINT64_MAX;
}

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
    } else if (table->is_blocks && !table->swap && (uintptr_t)to % PYE_STREAM_ALIGNMENT == 0) {
        const uint8_t *from = row->parts[PYE_CODES] + pye_type_bytes(table->type, first);
        table->kernels->stream_row[table->info.type](from, (float *)(void *)to, n);
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

static void prefetch_bytes(const uint8_t *from, size_t n_bytes) {
    for (const uint8_t *line = from - (uintptr_t)from % PYE_LINE_BYTES; line < from + n_bytes;
         line += PYE_LINE_BYTES)
        __builtin_prefetch(line, 0, 3);
}

/* The codes of some columns of a row, and with the first of them all of its scales and biases: those are short. */
static void prefetch(const pye_table *table, const pye_row *row, size_t first, size_t n) {
    size_t at = pye_table_offset(table, first);
    prefetch_bytes(row->parts[PYE_CODES] + at, pye_table_offset(table, first + n) - at);
    for (size_t part = 1; first == 0 && part < table->n_parts; part++)
        prefetch_bytes(row->parts[part], (size_t)table->layout[part].row_bytes);
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
            prefetch(job->table, next, i, n);
        if (copy)
            copy_columns(job, row, i, n, to);
        else if (job->dtype == PYE_DTYPE_F32)
            write_floats(job, row, i, n, to);
        else
            write_halves(job, row, i, n, to);
        to += n * pye_dtype_bytes(job->dtype);
    }
}

static bool gather_rows(const pye_row_job *job, size_t first, size_t n) {
    const pye_table *table = job->table;
    uint64_t n_rows = table->info.n_rows;
    uint64_t id = pye_id_at(job->ids, job->id_type, first);
    if (id >= n_rows)
        return false;
    pye_row rows[2]; /* this one and the next, in turns: copying one would wait for the stores that made it */
    rows[first % 2] = pye_table_row(table, id);
    for (size_t i = first; i < first + n; i++) {
        pye_row *row = &rows[i % 2], *next = NULL;
        if (i + 1 < first + n) {
            id = pye_id_at(job->ids, job->id_type, i + 1);
            /* Checked again: the ids are in the caller's memory, where another thread may change them. */
            if (id >= n_rows)
                return false;
            next = &rows[(i + 1) % 2];
            *next = pye_table_row(table, id);
        }
        gather_row(job, row, job->prefetch ? next : NULL, job->out + i * job->out_stride);
    }
    if (job->stream)
        table->kernels->fence();
    return true;
}

bool pye_rows_gather(const pye_row_job *job, size_t first, size_t n) {
    uint64_t mode = pye_float_mode_begin();
    bool is_done = gather_rows(job, first, n);
    pye_float_mode_end(mode);
    return is_done;
}
