/* Rows, one after the other: while one is decoded, the beginning of the next is fetched. */
#include "table/rows.h"

#include <string.h>

#include "base/float_mode.h"

/* Weights in a tile: a multiple of every block, and small enough for two tiles to stay in the first cache. */
#define TILE_WEIGHTS 1024
#define LINE_BYTES 64
#define PREFETCH_BYTES 1024

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
    return !job->table->swap && job->table->info.type == same[job->dtype];
}

static void write_bytes(const pye_row_job *job, const void *from, uint8_t *to, size_t n_bytes) {
    if (job->stream)
        job->table->kernels->stream(from, to, n_bytes);
    else
        memcpy(to, from, n_bytes);
}

/* One tile: n weights at `from` to the output at `to`. */
static void write_tile(const pye_row_job *job, const uint8_t *from, uint8_t *to, size_t n) {
    const pye_kernels *kernels = job->table->kernels;
    _Alignas(64) float tile[TILE_WEIGHTS];
    _Alignas(64) uint16_t narrow[TILE_WEIGHTS];
    size_t n_bytes = n * pye_dtype_bytes(job->dtype);
    if (job->dtype == PYE_DTYPE_F32 && !job->stream) {
        pye_table_decode(job->table, from, (float *)(void *)to, n);
        return;
    }
    pye_table_decode(job->table, from, tile, n);
    if (job->dtype == PYE_DTYPE_F32) {
        kernels->stream(tile, to, n_bytes);
        return;
    }
    pye_narrow_row convert = job->dtype == PYE_DTYPE_F16 ? kernels->to_half : kernels->to_bfloat;
    if (job->stream) {
        convert(tile, narrow, n);
        kernels->stream(narrow, to, n_bytes);
    } else {
        convert(tile, to, n);
    }
}

/* The first lines of a row: the rest follows by the processor's own prefetching, which would only be in the way of more
 * requests from here. */
static void prefetch(const uint8_t *row, uint64_t row_bytes) {
    size_t n_bytes = row_bytes < PREFETCH_BYTES ? (size_t)row_bytes : PREFETCH_BYTES;
    for (size_t i = 0; i < n_bytes; i += LINE_BYTES)
        __builtin_prefetch(row + i, 0, 3);
}

static void gather_row(const pye_row_job *job, const uint8_t *row, uint8_t *to) {
    const pye_type_info *type = job->table->type;
    size_t n_columns = (size_t)job->table->info.n_columns;
    bool copy = is_copy(job);
    /* Where nothing happens between tiles the row is one. */
    size_t step = job->dtype == PYE_DTYPE_F32 && !job->stream ? n_columns : TILE_WEIGHTS;
    for (size_t i = 0; i < n_columns; i += step) {
        size_t n = n_columns - i < step ? n_columns - i : step;
        const uint8_t *from = row + pye_type_bytes(type, i);
        if (copy)
            write_bytes(job, from, to, pye_type_bytes(type, n));
        else
            write_tile(job, from, to, n);
        to += n * pye_dtype_bytes(job->dtype);
    }
}

static bool gather_rows(const pye_row_job *job, size_t first, size_t n) {
    const pye_table *table = job->table;
    uint64_t n_rows = table->info.n_rows;
    uint64_t id = pye_id_at(job->ids, job->id_type, first);
    for (size_t i = first; i < first + n; i++) {
        uint64_t next = i + 1 < first + n ? pye_id_at(job->ids, job->id_type, i + 1) : id;
        /* Each id was checked before, but it lies in the caller's memory, where another thread may have changed it. */
        if (id >= n_rows || next >= n_rows)
            return false;
        if (job->prefetch)
            prefetch(table->rows + next * table->info.row_bytes, table->info.row_bytes);
        gather_row(job, table->rows + id * table->info.row_bytes, job->out + i * job->out_stride);
        id = next;
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
