/* Latency of gathers from many threads of one process, through the C library alone.
 *
 *     latency MODEL N_THREADS N_IDS SECONDS
 *
 * Each thread gathers random rows into memory of its own, one call after the other, and counts how long each took, in
 * buckets an eighth of an octave wide. Prints one line: calls, then microseconds at p50, p99, p99.9 and the longest. */
#include <math.h>
#include <pthread.h>
#include <pyembed.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { PER_OCTAVE = 8, N_BUCKETS = 40 * PER_OCTAVE, MAX_THREADS = 256 };

typedef struct client {
    pthread_t thread;
    const pye_table *table;
    pye_table_info info;
    size_t n_ids;
    uint64_t seed;
    uint64_t buckets[N_BUCKETS];
    uint64_t longest;
} client;

static atomic_bool is_over;

static uint64_t nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* xorshift64* (Vigna 2016) */
static uint64_t next_random(uint64_t *state) {
    *state ^= *state >> 12;
    *state ^= *state << 25;
    *state ^= *state >> 27;
    return *state * 0x2545F4914F6CDD1Du;
}

static void *serve(void *argument) {
    client *self = argument;
    int32_t *ids = malloc(self->n_ids * sizeof *ids);
    float *rows = malloc(self->n_ids * (size_t)self->info.n_columns * sizeof *rows);
    pye_gather_options options = {.struct_bytes = sizeof options, .n_threads = 1};
    while (ids != NULL && rows != NULL && !atomic_load_explicit(&is_over, memory_order_relaxed)) {
        for (size_t i = 0; i < self->n_ids; i++)
            ids[i] = (int32_t)(next_random(&self->seed) % self->info.n_rows);
        uint64_t begin = nanoseconds();
        if (pye_table_gather(self->table, ids, self->n_ids, rows, &options, NULL) != PYE_OK)
            exit(EXIT_FAILURE);
        uint64_t taken = nanoseconds() - begin;
        int bucket = (int)(log2((double)taken + 1) * PER_OCTAVE);
        self->buckets[bucket < N_BUCKETS ? bucket : N_BUCKETS - 1]++;
        self->longest = taken > self->longest ? taken : self->longest;
    }
    free(ids);
    free(rows);
    return NULL;
}

/* The upper edge, in microseconds, of the bucket below which `share` of the calls lie. */
static double quantile(const uint64_t *buckets, uint64_t n_calls, double share) {
    uint64_t below = 0;
    for (int i = 0; i < N_BUCKETS; i++) {
        below += buckets[i];
        if ((double)below >= share * (double)n_calls)
            return exp2((double)(i + 1) / PER_OCTAVE) / 1e3;
    }
    return INFINITY;
}

int main(int argc, char **argv) {
    static client clients[MAX_THREADS];
    pye_error error;
    pye_model *model;
    pye_table *table;
    if (argc != 5 || pye_model_open(argv[1], NULL, &model, &error) != PYE_OK ||
        pye_table_open(model, "token_embd.weight", 17, &table, &error) != PYE_OK)
        return EXIT_FAILURE;
    int n_threads = atoi(argv[2]);
    for (int i = 0; i < n_threads && i < MAX_THREADS; i++) {
        client *self = &clients[i];
        *self = (client){.table = table, .n_ids = (size_t)atoi(argv[3]), .seed = (uint64_t)i + 1};
        pye_table_get_info(table, &self->info);
        if (pthread_create(&self->thread, NULL, serve, self) != 0)
            return EXIT_FAILURE;
    }
    struct timespec duration = {.tv_sec = atoi(argv[4])};
    nanosleep(&duration, NULL);
    atomic_store(&is_over, 1);
    uint64_t buckets[N_BUCKETS] = {0}, n_calls = 0, longest = 0;
    for (int i = 0; i < n_threads && i < MAX_THREADS; i++) {
        pthread_join(clients[i].thread, NULL);
        for (int b = 0; b < N_BUCKETS; b++) {
            buckets[b] += clients[i].buckets[b];
            n_calls += clients[i].buckets[b];
        }
        longest = clients[i].longest > longest ? clients[i].longest : longest;
    }
    printf("%llu %.3f %.3f %.3f %.3f\n", (unsigned long long)n_calls, quantile(buckets, n_calls, 0.5),
           quantile(buckets, n_calls, 0.99), quantile(buckets, n_calls, 0.999), (double)longest / 1e3);
    pye_table_close(table);
    pye_model_close(model);
    return EXIT_SUCCESS;
}
