/* What a model gives out, in every load mode: two builds of the library print the same, on any system.
 *
 *     outputs FILE...
 */
#include "system.h"

#include <stdlib.h>
#include <string.h>

#include "base/sha256.h"
#include "pyembed.h"

enum { MAX_IDS = 3000, N_BAGS = 7, K = 5 };

static void require(int holds, const char *what, const pye_error *error) {
    if (holds)
        return;
    printf("does not hold: %s: %s\n", what, error->message);
    exit(1);
}

static void *memory_of(size_t n_bytes) {
    const pye_error none = {.message = ""};
    void *memory = calloc(n_bytes, 1);
    require(memory != NULL, "there is memory", &none);
    return memory;
}

static void print_hash(const char *what, const void *bytes, size_t n_bytes) {
    char text[PYE_DIGEST_BYTES];
    pye_sha256 hash;
    pye_sha256_begin(&hash);
    pye_sha256_add(&hash, bytes, n_bytes);
    pye_sha256_text(&hash, text);
    printf("  %s %s\n", what, text);
}

/* NaNs are NaNs everywhere, but their payloads are the processor's and the compiler's. */
static void print_floats(const char *what, float *values, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (values[i] != values[i])
            memset(&values[i], 0xff, sizeof values[i]);
    print_hash(what, values, n * sizeof *values);
}

static void gather(const pye_table *table, const pye_table_info *info, const uint64_t *ids, size_t n) {
    size_t n_values = n * (size_t)info->n_columns;
    float *out = memory_of(n_values * sizeof *out + 1);
    pye_error error;
    for (uint32_t n_threads = 1; n_threads < 4; n_threads += 2) {
        pye_gather_options options = {
            .struct_bytes = sizeof options, .id_type = PYE_ID_U64, .n_threads = n_threads};
        require(pye_table_gather(table, ids, n, out, &options, &error) == PYE_OK, "a gather succeeds", &error);
        print_floats("rows", out, n_values);
    }
    pye_ticket *ticket;
    pye_gather_options options = {.struct_bytes = sizeof options, .id_type = PYE_ID_U64, .dtype = PYE_DTYPE_F16};
    require(pye_table_submit(table, ids, n, out, &options, &ticket, &error) == PYE_OK, "a ticket is had", &error);
    require(pye_ticket_wait(ticket, &error) == PYE_OK, "a ticket is done", &error);
    pye_ticket_close(ticket);
    uint16_t *halves = (uint16_t *)(void *)out;
    for (size_t i = 0; i < n_values; i++)
        if ((halves[i] & 0x7fff) > 0x7c00)
            halves[i] = 0x7fff;
    print_hash("halves", halves, n_values * sizeof *halves);
    free(out);
}

static void pool(const pye_table *table, const pye_table_info *info, const uint64_t *ids, size_t n) {
    int64_t offsets[N_BAGS + 1];
    for (size_t i = 0; i <= N_BAGS; i++)
        offsets[i] = (int64_t)(n * i / N_BAGS);
    float *out = memory_of(N_BAGS * (size_t)info->n_columns * sizeof *out + 1);
    for (int normalize = 0; normalize < 2; normalize++) {
        pye_pool_options options = {
            .struct_bytes = sizeof options, .id_type = PYE_ID_U64, .normalize = normalize, .n_threads = 2};
        pye_error error;
        require(pye_table_pool(table, ids, n, offsets, N_BAGS, NULL, out, &options, &error) == PYE_OK,
                "rows are pooled", &error);
        print_floats("means", out, N_BAGS * (size_t)info->n_columns);
    }
    free(out);
}

static void scan(const pye_table *table, const pye_table_info *info) {
    float *query = memory_of((size_t)info->n_columns * sizeof *query + 1), scores[K] = {0};
    uint64_t best[K] = {0}, n_nan = 0;
    for (size_t i = 0; i < info->n_columns; i++)
        query[i] = (float)(i % 13) / 8 - 0.75f;
    for (int metric = 0; metric < 2; metric++) {
        pye_scan_options options = {.struct_bytes = sizeof options,
                                    .metric = metric == 0 ? PYE_METRIC_DOT : PYE_METRIC_COSINE,
                                    .n_threads = 2,
                                    .k = info->n_rows < K ? info->n_rows : K};
        pye_error error;
        require(pye_table_scan(table, query, 1, &options, scores, best, &n_nan, &error) == PYE_OK,
                "a scan succeeds", &error);
        print_floats("scores", scores, K);
        print_hash("best", best, sizeof best);
        printf("  %llu not a number\n", (unsigned long long)n_nan);
    }
    free(query);
}

static void show_table(pye_model *model, pye_string name) {
    pye_table *table;
    pye_table_info info;
    pye_error error;
    char digest[PYE_DIGEST_BYTES];
    pye_status status = pye_table_open(model, name.data, name.size, &table, &error);
    printf(" table %.*s: status %d\n", (int)name.size, name.data, (int)status);
    if (status != PYE_OK)
        return;
    pye_table_get_info(table, &info);
    printf("  %llu rows of %llu\n", (unsigned long long)info.n_rows, (unsigned long long)info.n_columns);
    size_t n = info.n_rows < MAX_IDS ? (size_t)info.n_rows : MAX_IDS;
    uint64_t *ids = memory_of((n + 1) * sizeof *ids);
    for (size_t i = 0; i < n; i++)
        ids[i] = (i * 7919 + 13) % info.n_rows;
    gather(table, &info, ids, n);
    pool(table, &info, ids, n);
    scan(table, &info);
    require(pye_table_digest(table, 1, digest, &error) == PYE_OK, "a table has a digest", &error);
    printf("  stored %s\n", digest);
    free(ids);
    pye_table_close(table);
}

static void show_vocabulary(pye_model *model) {
    pye_vocabulary *vocabulary;
    char digest[PYE_DIGEST_BYTES];
    pye_error error;
    if (pye_vocabulary_open(model, &vocabulary, &error) != PYE_OK)
        return;
    require(pye_vocabulary_digest(vocabulary, digest, &error) == PYE_OK, "tokens have a digest", &error);
    printf(" %llu tokens %s\n", (unsigned long long)pye_vocabulary_n_tokens(vocabulary), digest);
    for (uint64_t i = 0; i < pye_vocabulary_n_tokens(vocabulary); i += 97) {
        pye_token token;
        uint64_t id;
        require(pye_vocabulary_tokens(vocabulary, i, 1, &token, &error) == PYE_OK, "a token is there", &error);
        require(pye_vocabulary_find(vocabulary, token.text.data, token.text.size, &id, &error) == PYE_OK &&
                    id <= i,
                "a token is found", &error);
    }
    pye_vocabulary_close(vocabulary);
}

static void show(const char *path, pye_load_mode mode) {
    pye_open_options options = {.struct_bytes = sizeof options, .load_mode = mode, .guard = 1};
    pye_model *model;
    pye_tensor tensor;
    pye_string name;
    pye_error error;
    pye_change change;
    uint32_t shard;
    require(pye_model_open(path, &options, &model, &error) == PYE_OK, path, &error);
    printf("%zu tensors, format %d\n", pye_model_n_tensors(model), (int)pye_model_format(model));
    for (size_t i = 0; i < pye_model_n_tensors(model); i++) {
        require(pye_tensor_at(model, i, &tensor, &error) == PYE_OK, "a tensor is there", &error);
        show_table(model, tensor.name);
    }
    for (size_t position = 0; pye_sharded_table_next(model, &position, &name, NULL) == PYE_OK;)
        show_table(model, name);
    show_vocabulary(model);
    require(pye_model_check(model, &change, &shard, &error) == PYE_OK && change == PYE_CHANGE_NONE,
            "nobody changed the file", &error);
    pye_model_close(model);
}

int main(int argc, char **argv) {
    static const pye_load_mode modes[] = {PYE_LOAD_MMAP, PYE_LOAD_NONE, PYE_LOAD_DIRECT_IO};
    binary_streams();
    for (int i = 1; i < argc; i++)
        for (size_t m = 0; m < sizeof modes / sizeof modes[0]; m++)
            show(argv[i], modes[m]);
    return 0;
}
