/* Raw rows whose codes, scales and biases lie apart and in two pieces, joined, in two outputs and through windows, from one
 * thread and several, within the caches and past them; and the options of a gather that are refused.
 *
 *     raw_rows MODEL      exit status 1, with a line, at the first difference */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "table/table.h"

enum {
    N_ROWS = 37,
    PIECE_ROWS = 20,
    CODES = 250,
    SCALES = 9,
    BIASES = 7,
    ROW = CODES + SCALES + BIASES,
    SHARED = 4
};

static uint8_t stored[N_ROWS][ROW + 3]; /* a row's codes and scales side by side, as some files have them */
static uint8_t biases[N_ROWS][BIASES];

static void fail(const char *what, size_t at) {
    printf("%s: at %zu\n", what, at);
    exit(1);
}

static void expect(int is_so, const char *what) {
    if (!is_so)
        fail(what, 0);
}

/* A table over the arrays above; of its model only the workers and counters are used. */
static pye_table *table_of(pye_model *model) {
    pye_table *table = calloc(1, sizeof *table + 2 * sizeof *table->pieces);
    pye_error error;
    if (table == NULL || pye_kernels_choose(&table->kernels, &error) != PYE_OK)
        fail("no table", 0);
    table->model = model;
    table->info =
        (pye_table_info){.n_rows = N_ROWS, .n_columns = CODES, .row_bytes = ROW, .n_bytes = N_ROWS * ROW};
    table->piece_rows = PIECE_ROWS;
    table->n_pieces = 2;
    table->n_parts = PYE_N_PARTS;
    table->layout[PYE_CODES] = (pye_part_layout){CODES, sizeof stored[0]};
    table->layout[PYE_SCALES] = (pye_part_layout){SCALES, sizeof stored[0]};
    table->layout[PYE_BIASES] = (pye_part_layout){BIASES, sizeof biases[0]};
    for (size_t piece = 0; piece < 2; piece++) {
        size_t first = piece * PIECE_ROWS;
        table->pieces[piece].parts[PYE_CODES] = stored[first];
        table->pieces[piece].parts[PYE_SCALES] = stored[first] + CODES;
        table->pieces[piece].parts[PYE_BIASES] = biases[first];
    }
    return table;
}

static void expected_row(int64_t id, const pye_gather_options *options, uint8_t row[ROW]) {
    memset(row, 0, ROW);
    if (options->has_window && (id < (int64_t)options->window_first || id >= (int64_t)options->window_end))
        return;
    memcpy(row, stored[id], CODES + SCALES);
    memcpy(row + CODES + SCALES, biases[id], BIASES);
}

/* Gathers n ids, and looks at every byte of the output and of the gaps in it. */
static void check(const pye_table *table, size_t n, pye_gather_options options, int is_split) {
    enum { STRIDE = ROW + 5 };
    int64_t *ids = calloc(n, sizeof *ids);
    uint8_t *out = malloc(n * STRIDE);
    if (ids == NULL || out == NULL)
        fail("no memory", n);
    for (size_t i = 0; i < n; i++) {
        ids[i] = rand() % N_ROWS;
        if (options.has_window && rand() % 3 == 0)
            ids[i] = rand() % 2 ? -1 - rand() : N_ROWS + (int64_t)rand();
    }
    memset(out, 0x5A, n * STRIDE);
    options.struct_bytes = sizeof options;
    options.id_type = PYE_ID_I64;
    options.dtype = PYE_DTYPE_RAW;
    options.out_row_bytes = STRIDE;
    if (is_split) { /* columns of one array */
        options.out_scales = out + CODES;
        options.out_scales_row_bytes = STRIDE;
    }
    pye_error error;
    if (pye_table_gather(table, ids, n, out, &options, &error) != PYE_OK) {
        puts(error.message);
        fail("refused", n);
    }
    for (size_t i = 0; i < n; i++) {
        uint8_t row[ROW];
        expected_row(ids[i], &options, row);
        if (memcmp(out + i * STRIDE, row, ROW) != 0)
            fail("row", i);
        for (size_t at = ROW; at < STRIDE; at++)
            if (out[i * STRIDE + at] != 0x5A)
                fail("gap", i);
    }
    free(ids);
    free(out);
}

static pye_status status_of(const pye_table *table, pye_gather_options options) {
    static uint8_t out[ROW], scales[ROW];
    const int64_t id = 3;
    options.struct_bytes = sizeof options;
    options.id_type = PYE_ID_I64;
    if (options.out_scales != NULL)
        options.out_scales = scales;
    return pye_table_gather(table, &id, 1, out, &options, NULL);
}

static void check_refusals(const pye_table *table) {
    void *set = stored;
    const pye_gather_options bad[] = {
        {.dtype = PYE_DTYPE_RAW + 1},
        {.dtype = PYE_DTYPE_F32, .out_scales = set},
        {.dtype = PYE_DTYPE_RAW, .out_row_bytes = ROW - 1},
        {.dtype = PYE_DTYPE_RAW, .out_scales = set, .out_scales_row_bytes = SCALES + BIASES - 1},
        {.dtype = PYE_DTYPE_RAW, .has_window = 1, .window_first = 2, .window_end = 1},
        {.dtype = PYE_DTYPE_RAW, .has_window = 1, .window_end = N_ROWS + 1},
        {.dtype = PYE_DTYPE_RAW, .has_window = 1, .window_first = UINT64_MAX, .window_end = UINT64_MAX},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (status_of(table, bad[i]) != PYE_ERROR_ARGUMENT)
            fail("accepted", i);
    expect(status_of(table, (pye_gather_options){.dtype = PYE_DTYPE_RAW}) == PYE_OK, "refused a plain gather");
    const pye_gather_options split = {.dtype = PYE_DTYPE_RAW,
                                      .out_row_bytes = CODES,
                                      .out_scales = set,
                                      .out_scales_row_bytes = SCALES + BIASES};
    expect(status_of(table, split) == PYE_OK, "refused two outputs");
    const pye_gather_options fails = {.struct_bytes = sizeof fails, .dtype = PYE_DTYPE_RAW};
    int32_t ids[2 * ROW] = {0};
    expect(pye_table_gather(table, ids, 1, ids, &fails, NULL) == PYE_ERROR_ARGUMENT, "accepted output over ids");
    pye_gather_options over = split;
    over.struct_bytes = sizeof over;
    over.out_scales = ids;
    uint8_t out[CODES];
    expect(pye_table_gather(table, ids, 1, out, &over, NULL) == PYE_ERROR_ARGUMENT, "accepted scales over ids");
    const int32_t wrong[] = {0, N_ROWS, -1};
    pye_error error;
    expect(pye_table_gather(table, wrong, 3, ids, &fails, &error) == PYE_ERROR_ID && error.offset == 1,
           "wrong id");
}

static void check_shared_scale(pye_table *table) {
    static uint8_t shared[SHARED];
    table->n_parts = 2;
    table->layout[PYE_SCALES] = (pye_part_layout){SHARED, 0};
    table->pieces[0].parts[PYE_SCALES] = table->pieces[1].parts[PYE_SCALES] = shared;
    uint64_t codes, scales;
    pye_table_raw_bytes(table, &codes, &scales);
    expect(codes == CODES && scales == 0, "a scale that all rows share was counted");
    uint8_t out[CODES + SHARED];
    memset(out, 0x5A, sizeof out);
    const int32_t id = 25;
    const pye_gather_options options = {.struct_bytes = sizeof options, .dtype = PYE_DTYPE_RAW};
    expect(pye_table_gather(table, &id, 1, out, &options, NULL) == PYE_OK, "refused a shared scale");
    expect(memcmp(out, stored[id], CODES) == 0 && out[CODES] == 0x5A, "a shared scale was written");
}

int main(int argc, char **argv) {
    pye_model *model;
    if (argc != 2 || pye_model_open(argv[1], NULL, &model, NULL) != PYE_OK)
        return 2;
    for (size_t i = 0; i < sizeof stored; i++)
        ((uint8_t *)stored)[i] = (uint8_t)rand();
    for (size_t i = 0; i < sizeof biases; i++)
        ((uint8_t *)biases)[i] = (uint8_t)rand();
    pye_table *table = table_of(model);
    uint64_t codes, scales;
    pye_table_raw_bytes(table, &codes, &scales);
    expect(codes == CODES && scales == SCALES + BIASES, "raw bytes");
    const pye_gather_options ways[] = {{.n_threads = 1},
                                       {.n_threads = 3},
                                       {.n_threads = 1, .has_window = 1, .window_first = 5, .window_end = 30},
                                       {.n_threads = 2, .has_window = 1, .window_end = N_ROWS},
                                       {.has_window = 1, .window_first = 7, .window_end = 7}};
    for (size_t way = 0; way < sizeof ways / sizeof *ways; way++)
        for (int is_split = 0; is_split < 2; is_split++) {
            table->info.n_bytes = N_ROWS * ROW;
            check(table, 1, ways[way], is_split);
            check(table, 100, ways[way], is_split);
            table->info.n_bytes = UINT64_C(1) << 40; /* as if rows had to be fetched ahead */
            check(table, 200000, ways[way], is_split);
        }
    check_refusals(table);
    check_shared_scale(table);
    free(table);
    pye_model_close(model);
    puts("raw rows: equal");
    return 0;
}
