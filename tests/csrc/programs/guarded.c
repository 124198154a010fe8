/* A mapped file that loses its pages while threads read it: each gets PYE_ERROR_IO, and goes on.
 *
 *     guarded FILE wait      prints "reading", and ends when somebody truncated the file
 *     guarded FILE raise     raises what the system raises for a page that cannot be read (Windows only)
 *     guarded FILE foreign   the same, for an address that is not the file's: ends the process
 */
#include "system.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/threads.h"
#include "pyembed.h"

enum { N_THREADS = 4, N_IDS = 512, MAX_COLUMNS = 1024, MAX_ROUNDS = 200000 };

static pye_model *model;
static pye_table *table;
static pye_table_info info;
static pye_token token; /* whose text lies in the mapping */
static atomic_int n_refused;

static void require(int holds, const char *what) {
    if (holds)
        return;
    printf("does not hold: %s\n", what);
    exit(1);
}

static pye_status gather(uint32_t n_threads, float *out, pye_error *error) {
    int32_t ids[N_IDS];
    for (int i = 0; i < N_IDS; i++)
        ids[i] = (int32_t)((uint64_t)i * (info.n_rows - 1) / (N_IDS - 1));
    pye_gather_options options = {.struct_bytes = sizeof options, .n_threads = n_threads};
    return pye_table_gather(table, ids, N_IDS, out, &options, error);
}

static void read_on(void *argument) {
    uint32_t n_threads = *(int *)argument % 2 == 0 ? 1 : 3;
    float *out = malloc(sizeof *out * N_IDS * MAX_COLUMNS);
    pye_error error;
    pye_status status = PYE_OK;
    require(out != NULL, "there is memory");
    for (int round = 0; round < MAX_ROUNDS && status == PYE_OK; round++)
        status = gather(n_threads, out, &error);
    require(status == PYE_ERROR_IO, "a gather ends with an error of input");
    require(strstr(error.message, "gone") != NULL, "the error says why");
    require(gather(n_threads, out, NULL) == PYE_ERROR_IO, "so does every later one");
    atomic_fetch_add(&n_refused, 1);
    free(out);
}

static void raise_for(const void *address) {
#if defined(_WIN32)
    const ULONG_PTR facts[] = {0, (ULONG_PTR)address, 0xC000000Eu}; /* a read; where; no such device */
    RaiseException((DWORD)EXCEPTION_IN_PAGE_ERROR, 0, sizeof facts / sizeof facts[0], facts);
#else
    (void)address;
    require(0, "this system raises exceptions");
#endif
}

/* The bytes are gone, and read as zeros; what the program has of its own is not touched. */
static void look_at_the_rest(void) {
    pye_change change;
    uint32_t shard;
    char digest[PYE_DIGEST_BYTES];
    require(pye_model_intact(model, NULL) == PYE_ERROR_IO, "the model is known to be damaged");
    require(pye_model_check(model, &change, &shard, NULL) == PYE_OK && change == PYE_CHANGE_TRUNCATED,
            "the change is known");
    require(pye_table_digest(table, 1, digest, NULL) == PYE_ERROR_IO, "a pass fails too");
}

int main(int argc, char **argv) {
    static const char name[] = "token_embd.weight";
    pye_open_options options = {.struct_bytes = sizeof options, .guard = 1};
    pye_thread threads[N_THREADS];
    int numbers[N_THREADS];
    pye_vocabulary *vocabulary;
    require(argc == 3, "a file and what to do are given");
    require(pye_model_open(argv[1], &options, &model, NULL) == PYE_OK, "the model opens");
    require(pye_table_open(model, name, sizeof name - 1, &table, NULL) == PYE_OK, "its table opens");
    require(pye_vocabulary_open(model, &vocabulary, NULL) == PYE_OK, "its vocabulary opens");
    require(pye_vocabulary_tokens(vocabulary, 5, 1, &token, NULL) == PYE_OK && token.text.size > 0,
            "it has tokens");
    pye_table_get_info(table, &info);
    require(info.n_columns <= MAX_COLUMNS, "its rows are not too wide");
    if (strcmp(argv[2], "foreign") == 0)
        raise_for(&info);
    for (int i = 0; i < N_THREADS; i++) {
        numbers[i] = i;
        require(pye_thread_start(&threads[i], read_on, &numbers[i]), "a thread starts");
    }
    puts("reading");
    (void)fflush(stdout);
    if (strcmp(argv[2], "raise") == 0) {
        pye_thread_pause(50000000);
        raise_for(token.text.data);
        for (size_t i = 0; i < token.text.size; i++)
            require(token.text.data[i] == 0, "zeros are in place of the file's bytes");
    }
    for (int i = 0; i < N_THREADS; i++)
        pye_thread_join(&threads[i]);
    look_at_the_rest();
    pye_vocabulary_close(vocabulary);
    pye_table_close(table);
    pye_model_close(model);
    require(pye_model_open(argv[1], &options, &model, NULL) == PYE_OK || strcmp(argv[2], "wait") == 0,
            "a whole file opens anew");
    printf("%d threads were refused\n", atomic_load(&n_refused));
    return 0;
}
