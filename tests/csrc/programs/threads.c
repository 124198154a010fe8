/* Everything at once, for ThreadSanitizer: threads that gather and scan, alone and with workers, that look tokens up and
 * examine them, that open and close, and that ask what became of the file.
 *
 *     threads FILE [rounds]
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/threads.h"
#include "pyembed.h"
#include "small_ngram.h"

enum { N_THREADS = 8, N_IDS = 256, MAX_COLUMNS = 1024, RARELY = 10 };

static const char *path;
static int rounds = 50;
static pye_table *table;
static pye_vocabulary *vocabulary;
static pye_model *model;
static pye_ngram *ngram;
static pye_table_info info;

static void require(int holds, const char *what) {
    if (holds)
        return;
    printf("does not hold: %s\n", what);
    exit(1);
}

static void gather(const pye_table *from, int round, unsigned n_threads) {
    int32_t ids[N_IDS];
    float *out = malloc(sizeof *out * N_IDS * MAX_COLUMNS);
    pye_gather_options options = {.struct_bytes = sizeof options, .n_threads = n_threads};
    require(out != NULL, "there is memory");
    for (int i = 0; i < N_IDS; i++)
        ids[i] = (int32_t)((uint64_t)(round * 31 + i * 7) % info.n_rows);
    require(pye_table_gather(from, ids, N_IDS, out, &options, NULL) == PYE_OK, "a gather succeeds");
    free(out);
}

/* By cosine: all threads begin by working out the norms. */
static void scan(const pye_table *from, int round, unsigned n_threads) {
    enum { K = 3 };
    float query[MAX_COLUMNS], scores[K];
    uint64_t best[K], hash;
    uint8_t faults;
    static const uint64_t key[2];
    const float *norms;
    pye_scan_options options = {
        .struct_bytes = sizeof options, .metric = PYE_METRIC_COSINE, .n_threads = n_threads, .k = K};
    for (size_t i = 0; i < info.n_columns; i++)
        query[i] = (float)((round + (int)i) % 7) - 3;
    require(pye_table_scan(from, query, 1, &options, scores, best, NULL, NULL) == PYE_OK && scores[0] >= scores[1],
            "a scan succeeds");
    require(pye_table_norms(from, n_threads, &norms, NULL) == PYE_OK && norms[best[0]] > 0, "rows have norms");
    require(pye_table_check(from, best[0], 1, &faults, key, &hash, NULL) == PYE_OK && faults == 0,
            "a good row has no faults");
}

static void examine(const pye_vocabulary *tokens) {
    size_t n = (size_t)pye_vocabulary_n_tokens(tokens);
    pye_token_facts *facts = malloc(n * sizeof *facts);
    pye_token_splits *splits = malloc(n * sizeof *splits);
    pye_vocabulary_facts wanted = {.struct_bytes = sizeof wanted, .tokens = facts, .splits = splits};
    require(facts != NULL && splits != NULL, "there is memory");
    require(pye_vocabulary_examine(tokens, &wanted, NULL) == PYE_OK && facts[n - 1].first_id < n,
            "a vocabulary is examined");
    free(facts);
    free(splits);
}

static void look_up(const pye_vocabulary *tokens, int round) {
    pye_token token;
    uint64_t id;
    uint64_t first = (uint64_t)round * 97 % pye_vocabulary_n_tokens(tokens);
    require(pye_vocabulary_tokens(tokens, first, 1, &token, NULL) == PYE_OK, "a token is there");
    require(pye_vocabulary_find(tokens, token.text.data, token.text.size, &id, NULL) == PYE_OK && id <= first,
            "a token is found");
}

static void name_rows(const pye_ngram *constants, int round, unsigned n_threads) {
    int are_in_range;
    require(small_names(constants, round, n_threads, &are_in_range, NULL) == PYE_OK && are_in_range,
            "tokens have names of rows");
}

static void open_and_close(int round) {
    pye_open_options options = {.struct_bytes = sizeof options, .guard = 1};
    options.load_mode = round % 3 == 0 ? PYE_LOAD_NONE : PYE_LOAD_MMAP;
    pye_model *own;
    pye_table *rows;
    pye_vocabulary *tokens;
    const char *name = "token_embd.weight";
    require(pye_model_open(path, &options, &own, NULL) == PYE_OK, "a model opens");
    require(pye_table_open(own, name, strlen(name), &rows, NULL) == PYE_OK, "a table opens");
    require(pye_vocabulary_open(own, &tokens, NULL) == PYE_OK, "a vocabulary opens");
    pye_model_close(own);
    gather(rows, round, 2);
    if (round % RARELY == 0)
        scan(rows, round, 2);
    pye_table_close(rows);
    look_up(tokens, round);
    pye_vocabulary_close(tokens);
    pye_ngram_description description = small_description();
    pye_ngram *constants;
    require(pye_ngram_open(&description, &constants, NULL) == PYE_OK, "constants open");
    name_rows(constants, round, 2);
    pye_ngram_close(constants);
}

static void work(void *argument) {
    int number = *(int *)argument;
    for (int round = 0; round < rounds; round++) {
        pye_change change;
        uint32_t shard;
        gather(table, round, number % 2 == 0 ? 4 : 1);
        look_up(vocabulary, round);
        name_rows(ngram, round, number % 2 == 0 ? 4 : 1);
        if (round % RARELY == 0)
            scan(table, round, number % 3 == 0 ? 4 : 1);
        if (round % RARELY == number)
            examine(vocabulary);
        require(pye_model_check(model, &change, &shard, NULL) == PYE_OK && change == PYE_CHANGE_NONE,
                "nobody changed the file");
        if (number < 3)
            open_and_close(round);
    }
}

int main(int argc, char **argv) {
    pye_thread threads[N_THREADS];
    int numbers[N_THREADS];
    const char *name = "token_embd.weight";
    pye_open_options options = {.struct_bytes = sizeof options, .guard = 1};
    require(argc > 1, "a file is given");
    path = argv[1];
    if (argc > 2)
        rounds = atoi(argv[2]);
    require(pye_model_open(path, &options, &model, NULL) == PYE_OK, "the model opens");
    require(pye_table_open(model, name, strlen(name), &table, NULL) == PYE_OK, "its table opens");
    require(pye_vocabulary_open(model, &vocabulary, NULL) == PYE_OK, "its vocabulary opens");
    pye_ngram_description description = small_description();
    require(pye_ngram_open(&description, &ngram, NULL) == PYE_OK, "its hashed rows have names");
    pye_table_get_info(table, &info);
    require(info.n_columns <= MAX_COLUMNS, "its rows are not too wide");
    for (int i = 0; i < N_THREADS; i++) {
        numbers[i] = i;
        require(pye_thread_start(&threads[i], work, &numbers[i]), "a thread starts");
    }
    for (int i = 0; i < N_THREADS; i++)
        pye_thread_join(&threads[i]);
    pye_ngram_close(ngram);
    pye_vocabulary_close(vocabulary);
    pye_table_close(table);
    pye_model_close(model);
    printf("%d threads, %d rounds\n", N_THREADS, rounds);
    return 0;
}
