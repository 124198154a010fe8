/* A server loop: requests of ids come in on standard input, rows of floats leave on standard output.
 *
 *     batch_server MODEL.gguf
 *
 * A request is a uint32 n and n int32 ids, a response a uint32 status (0, or a pye_status) and, for status 0, n rows of
 * float32; all in this machine's byte order. A request that fails is answered and the loop goes on: only the end of
 * the input ends it. Memory is allocated once, for the largest request that the server takes. */
#include <pyembed.h>
#include <stdio.h>
#include <stdlib.h>

enum { MAX_IDS = 4096 };

typedef struct server {
    pye_model *model;
    pye_table *table;
    pye_table_info info;
    int32_t ids[MAX_IDS];
    float *rows;
} server;

static int start(server *self, const char *path) {
    pye_error error;
    pye_open_options options = {.struct_bytes = sizeof options, .load_mode = PYE_LOAD_MMAP};
    if (pye_model_open(path, &options, &self->model, &error) != PYE_OK ||
        pye_table_open(self->model, "token_embd.weight", 17, &self->table, &error) != PYE_OK) {
        fprintf(stderr, "%s: %s\n", path, error.message);
        return 0;
    }
    pye_table_get_info(self->table, &self->info);
    self->rows = malloc((size_t)self->info.n_columns * MAX_IDS * sizeof *self->rows);
    return self->rows != NULL;
}

static void stop(server *self) {
    free(self->rows);
    pye_table_close(self->table); /* NULL is allowed, so this is right however far `start` came */
    pye_model_close(self->model);
}

/* Reads one request; 0 at the end of the input. A request that is too large is read and dropped. */
static int receive(server *self, uint32_t *n) {
    if (fread(n, sizeof *n, 1, stdin) != 1)
        return 0;
    for (uint32_t left = *n; left > 0;) {
        uint32_t part = left < MAX_IDS ? left : MAX_IDS;
        if (fread(self->ids, sizeof *self->ids, part, stdin) != part)
            return 0;
        left -= part;
    }
    return 1;
}

static void respond(server *self, uint32_t n) {
    pye_error error;
    uint32_t status = PYE_ERROR_ARGUMENT;
    if (n <= MAX_IDS) {
        status = (uint32_t)pye_table_gather(self->table, self->ids, n, self->rows, NULL, &error);
        if (status != PYE_OK)
            fprintf(stderr, "refused: %s\n", error.message);
    }
    fwrite(&status, sizeof status, 1, stdout);
    if (status == PYE_OK)
        fwrite(self->rows, (size_t)self->info.n_columns * sizeof *self->rows, n, stdout);
    fflush(stdout);
}

static void report(const server *self) {
    pye_stats stats = {.struct_bytes = sizeof stats};
    if (pye_model_stats(self->model, &stats, NULL) == PYE_OK)
        fprintf(stderr, "%llu gathers, %llu rows\n", (unsigned long long)stats.n_gathers,
                (unsigned long long)stats.n_rows);
}

int main(int argc, char **argv) {
    static server self;
    if (argc != 2 || !start(&self, argv[1])) {
        stop(&self);
        return EXIT_FAILURE;
    }
    for (uint32_t n; receive(&self, &n);)
        respond(&self, n);
    report(&self);
    stop(&self);
    return EXIT_SUCCESS;
}
