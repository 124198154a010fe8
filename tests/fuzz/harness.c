#include "harness.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SOME = 64, MAX_DEPTH = 4, MAX_TABLES = 16, MAX_EXAMINED = 4096 };

#define MAX_LOOKED_AT_BYTES ((uint64_t)1 << 16)

void fuzz_require(bool holds, const char *what) {
    if (holds)
        return;
    (void)fprintf(stderr, "does not hold: %s\n", what);
    abort();
}

static bool is_nan(uint32_t bits) { return (bits & 0x7FFFFFFFu) > 0x7F800000u; }

void fuzz_require_alike(const uint8_t *got, const uint8_t *expected, size_t n, const char *what) {
    for (size_t i = 0; i < n; i++) {
        uint32_t a, b;
        memcpy(&a, expected + 4 * i, 4);
        memcpy(&b, got + 4 * i, 4);
        fuzz_require(a == b || (is_nan(a) && is_nan(b)), what);
    }
}

void fuzz_write(char path[FUZZ_PATH_BYTES], const char *name, const uint8_t *data, size_t size) {
    const char *folder = getenv("PYEMBED_FUZZ_FOLDER");
    (void)snprintf(path, FUZZ_PATH_BYTES, "%s/%ld%s", folder != NULL ? folder : "/dev/shm", (long)getpid(), name);
    FILE *file = fopen(path, "wb");
    bool written = file != NULL && fwrite(data, 1, size, file) == size;
    if (file == NULL || fclose(file) != 0 || !written) {
        perror(path);
        exit(2);
    }
}

static size_t at_most(uint64_t n, size_t most) { return n < most ? (size_t)n : most; }

/* A file lies there whose bytes can be read: sums them, so that a sanitizer looks at each. */
static unsigned touch(pye_string string) {
    unsigned sum = 0;
    for (size_t i = 0; i < string.size; i++)
        sum += (unsigned char)string.data[i];
    return sum;
}

static void exercise_array(const pye_model *model, const pye_value *array, int depth) {
    uint64_t numbers[SOME];
    pye_string strings[SOME];
    pye_value arrays[SOME];
    size_t n = at_most(array->n_elements, SOME);
    uint64_t last = array->n_elements - n;
    if (pye_array_strings(model, array, last, n, strings, NULL) == PYE_OK)
        for (size_t i = 0; i < n; i++)
            (void)touch(strings[i]);
    (void)pye_array_read(model, array, last, n, numbers, NULL);
    if (depth < MAX_DEPTH && pye_array_arrays(model, array, 0, n, arrays, NULL) == PYE_OK)
        for (size_t i = 0; i < at_most(n, 4); i++)
            exercise_array(model, &arrays[i], depth + 1);
    fuzz_require(pye_array_strings(model, array, last, n + 1, strings, NULL) != PYE_OK, "an array has an end");
}

static void exercise_metadata(const pye_model *model) {
    for (size_t i = 0; i < pye_model_n_metadata(model); i++) {
        pye_value value, found;
        fuzz_require(pye_metadata_at(model, i, &value, NULL) == PYE_OK, "metadata that was checked is there");
        fuzz_require(pye_metadata_find(model, value.key.data, value.key.size, &found, NULL) == PYE_OK &&
                         found.offset == value.offset,
                     "metadata is found by its key");
        if (value.type == PYE_VALUE_ARRAY)
            exercise_array(model, &value, 0);
        else if (value.type == PYE_VALUE_STRING)
            (void)touch(value.as.string);
    }
}

/* All that is said of rows without handing them out. */
static void exercise_rows(const pye_table *table, const pye_table_info *info, uint64_t file_bytes) {
    static const uint64_t key[2];
    uint8_t faults[SOME];
    uint64_t hashes[SOME], best;
    char digest[PYE_DIGEST_BYTES];
    const float *norms;
    float score;
    size_t n = at_most(info->n_rows, SOME);
    pye_scan_options options = {.struct_bytes = sizeof options, .metric = PYE_METRIC_COSINE, .k = 1};
    fuzz_require(pye_table_digest(table, info->n_rows / SOME + 1, digest, NULL) == PYE_OK, "rows have a digest");
    fuzz_require(pye_table_check(table, info->n_rows - n, n, faults, key, hashes, NULL) == PYE_OK,
                 "rows can be checked");
    if (info->n_columns == 0 && file_bytes > 0)
        fuzz_require(pye_table_norms(table, 1, &norms, NULL) ==
                         (info->n_rows > file_bytes ? PYE_ERROR_ARGUMENT : PYE_OK),
                     "nothing is normed as often as the file has bytes");
    if (info->n_columns == 0 || info->n_rows == 0 || info->n_bytes > MAX_LOOKED_AT_BYTES)
        return;
    float *query = calloc((size_t)info->n_columns, sizeof *query);
    fuzz_require(query != NULL && pye_table_scan(table, query, 1, &options, &score, &best, NULL, NULL) == PYE_OK,
                 "rows can be scanned");
    free(query);
}

/* What a table is made of holds together. */
static void exercise_layout(const pye_table *table, const pye_table_info *info) {
    pye_table_layout layout = {.struct_bytes = sizeof layout};
    pye_tensor tensor;
    uint64_t n_bytes = 0, codes, scales;
    fuzz_require(pye_table_get_layout(table, &layout, NULL) == PYE_OK, "a table has a layout");
    for (size_t i = 0; i < layout.n_tensors; i++) {
        fuzz_require(pye_table_tensor_at(table, i, &tensor, NULL) == PYE_OK, "its tensors are there");
        (void)touch(tensor.name);
        n_bytes += tensor.n_bytes;
    }
    fuzz_require(pye_table_tensor_at(table, layout.n_tensors, &tensor, NULL) == PYE_ERROR_ARGUMENT,
                 "there is a last tensor");
    fuzz_require(n_bytes == info->n_bytes, "its bytes are its tensors'");
    bool is_apart = !layout.has_mapping && layout.sharing != PYE_SCALES_A_TABLE;
    fuzz_require(!is_apart || info->n_rows == 0 || info->row_bytes <= n_bytes / info->n_rows,
                 "rows lie in their tensors");
    fuzz_require(layout.n_shards == 1 || (layout.shard_rows <= info->n_rows / (layout.n_shards - 1)),
                 "all shards but the last are full");
    pye_table_raw_bytes(table, &codes, &scales);
    fuzz_require(codes + scales == info->row_bytes, "raw rows are all that belongs to a row");
    (void)touch((pye_string){layout.codes, strlen(layout.codes)});
    (void)touch((pye_string){layout.scales, strlen(layout.scales)});
}

/* file_bytes: of the only file that rows lie in; 0 if there may be more. */
static void exercise_table(pye_model *model, pye_string name, uint64_t file_bytes) {
    pye_table *table;
    pye_table_info info;
    if (pye_table_open(model, name.data, name.size, &table, NULL) != PYE_OK)
        return;
    pye_table_get_info(table, &info);
    exercise_layout(table, &info);
    if (info.n_rows > 0 && info.n_columns <= 1u << 20) {
        uint64_t ids[3] = {0, info.n_rows - 1, info.n_rows / 2};
        pye_gather_options options = {.struct_bytes = sizeof options, .id_type = PYE_ID_U64, .n_threads = 1};
        options.dtype = (pye_dtype)(info.n_rows % 3);
        void *out = malloc((size_t)info.n_columns * 3 * 4 + 1);
        if (out != NULL)
            fuzz_require(pye_table_gather(table, ids, 3, out, &options, NULL) == PYE_OK, "rows can be gathered");
        ids[1] = info.n_rows;
        if (out != NULL)
            fuzz_require(pye_table_gather(table, ids, 3, out, &options, NULL) == PYE_ERROR_ID,
                         "there is a last row");
        free(out);
    }
    exercise_rows(table, &info, file_bytes);
    pye_table_close(table);
}

static void exercise_tensors(pye_model *model) {
    size_t n_tables = 0;
    for (size_t i = 0; i < pye_model_n_tensors(model); i++) {
        pye_tensor tensor, found;
        pye_shard shard;
        fuzz_require(pye_tensor_at(model, i, &tensor, NULL) == PYE_OK, "a tensor is there");
        fuzz_require(pye_tensor_find(model, tensor.name.data, tensor.name.size, &found, NULL) == PYE_OK &&
                         found.offset == tensor.offset && found.shard == tensor.shard,
                     "a tensor is found by its name");
        fuzz_require(pye_model_shard(model, tensor.shard, &shard, NULL) == PYE_OK, "a tensor has a file");
        (void)touch(tensor.type_name);
        if (tensor.n_bytes == PYE_UNKNOWN_BYTES)
            continue;
        fuzz_require(tensor.offset <= shard.file_bytes && tensor.n_bytes <= shard.file_bytes - tensor.offset,
                     "a tensor lies in its file");
        if (n_tables++ < MAX_TABLES)
            exercise_table(model, tensor.name, pye_model_n_shards(model) == 1 ? shard.file_bytes : 0);
    }
}

static void exercise_sharded_tables(pye_model *model) {
    pye_string name;
    size_t position = 0, n_tables = 0;
    while (n_tables++ < MAX_TABLES && pye_sharded_table_next(model, &position, &name, NULL) == PYE_OK)
        exercise_table(model, name, 0);
}

/* All facts of a small vocabulary, and of its merges if it has as few. */
static void exercise_facts(const pye_model *model, const pye_vocabulary *vocabulary) {
    static const char key[] = "tokenizer.ggml.merges";
    static pye_token_facts tokens[MAX_EXAMINED];
    static pye_token_splits splits[MAX_EXAMINED];
    static uint32_t products[MAX_EXAMINED], first_merges[MAX_EXAMINED];
    static uint8_t merge_flags[MAX_EXAMINED];
    uint64_t n_first_merges;
    pye_value merges;
    pye_vocabulary_facts facts = {.struct_bytes = sizeof facts, .tokens = tokens, .splits = splits};
    if (pye_vocabulary_n_tokens(vocabulary) > MAX_EXAMINED)
        return;
    pye_status status = pye_metadata_find(model, key, sizeof key - 1, &merges, NULL);
    bool is_list = status == PYE_OK && merges.type == PYE_VALUE_ARRAY && merges.element_type == PYE_VALUE_STRING;
    if (is_list && merges.n_elements <= MAX_EXAMINED) {
        facts.products = products;
        facts.merge_flags = merge_flags;
        facts.n_merges = merges.n_elements;
        facts.first_merges = first_merges;
        facts.n_first_merges = &n_first_merges;
    }
    fuzz_require(pye_vocabulary_examine(vocabulary, &facts, NULL) == PYE_OK, "a vocabulary can be examined");
}

static void exercise_vocabulary(pye_model *model) {
    pye_vocabulary *vocabulary;
    if (pye_vocabulary_open(model, &vocabulary, NULL) != PYE_OK)
        return;
    uint64_t n_tokens = pye_vocabulary_n_tokens(vocabulary);
    pye_token tokens[SOME];
    size_t n = at_most(n_tokens, SOME);
    fuzz_require(pye_vocabulary_tokens(vocabulary, n_tokens - n, n, tokens, NULL) == PYE_OK, "tokens are there");
    for (size_t i = 0; i < n; i++) {
        uint64_t id;
        pye_token found;
        (void)touch(tokens[i].text);
        fuzz_require(
            pye_vocabulary_find(vocabulary, tokens[i].text.data, tokens[i].text.size, &id, NULL) == PYE_OK &&
                id <= n_tokens - n + i && pye_vocabulary_tokens(vocabulary, id, 1, &found, NULL) == PYE_OK &&
                found.text.size == tokens[i].text.size &&
                (found.text.size == 0 || memcmp(found.text.data, tokens[i].text.data, found.text.size) == 0),
            "a token is found by its text");
    }
    char digest[PYE_DIGEST_BYTES];
    fuzz_require(pye_vocabulary_digest(vocabulary, digest, NULL) == PYE_OK, "there is a digest");
    exercise_facts(model, vocabulary);
    pye_vocabulary_close(vocabulary);
}

void fuzz_exercise(pye_model *model) {
    pye_change change;
    uint32_t shard;
    exercise_metadata(model);
    exercise_tensors(model);
    exercise_sharded_tables(model);
    exercise_vocabulary(model);
    fuzz_require(pye_model_check(model, &change, &shard, NULL) == PYE_OK && change == PYE_CHANGE_NONE,
                 "nobody changed the file");
}

static pye_status open_as(const char *path, pye_format format, pye_load_mode mode, pye_error *error) {
    pye_open_options options = {.struct_bytes = sizeof options, .format = format, .load_mode = mode, .guard = 1};
    pye_model *model;
    pye_status status = pye_model_open(path, &options, &model, error);
    if (status == PYE_OK) {
        fuzz_exercise(model);
        pye_model_close(model);
    }
    return status;
}

void fuzz_open(const char *path, pye_format format) {
    pye_error mapped = {0}, read = {0};
    (void)open_as(path, format, PYE_LOAD_MMAP, &mapped);
    (void)open_as(path, format, PYE_LOAD_NONE, &read);
    fuzz_require(mapped.status == read.status && mapped.offset == read.offset &&
                     strcmp(mapped.message, read.message) == 0,
                 "a file is judged alike, mapped and read");
    fuzz_require(mapped.status != PYE_ERROR_ARGUMENT && strlen(mapped.message) < PYE_ERROR_MESSAGE_BYTES,
                 "a file's faults are the file's");
}
