/* Changes bytes of a copy of a file in place, opens it, asks everything of it, and puts the bytes back: many times, with
 * no more memory than the file's size and 64 MiB on top.
 *
 *     mutate COPY ORIGINAL SINGLE MULTI SEED
 *
 * makes SINGLE mutations of one byte and MULTI of 2 to 16, and prints "ACCEPTED REJECTED SLOWEST_MILLISECONDS". Exit
 * status 1: something took more than a second of the processor's time, or more memory than that. Any other end is a crash. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "../../fuzz/harness.h"

enum { MAX_BYTES = 16 };

#define HEADROOM ((rlim_t)64 << 20)

static uint64_t random_state;

/* xorshift64* (Vigna 2016) */
static uint64_t random_u64(void) {
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * 0x2545F4914F6CDD1Du;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    (void)data, (void)size;
    return 0;
}

/* Of this process, so that others on the machine do not count. */
static double now(void) {
    struct timespec time;
    (void)clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* What may be mapped beyond what this process has now: larger requests are refused. */
static void limit_memory(rlim_t more) {
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    fuzz_require(file != NULL && fscanf(file, "%lu", &pages) == 1, "the process knows its size");
    (void)fclose(file);
    rlim_t most = (rlim_t)pages * (rlim_t)sysconf(_SC_PAGESIZE) + more;
    struct rlimit limit = {most, most};
    fuzz_require(setrlimit(RLIMIT_AS, &limit) == 0, "memory can be limited");
}

/* The length of a header decides what a byte is worth: every other mutation is among the first 4096. */
static void mutate(uint8_t *bytes, size_t size, size_t n, size_t places[MAX_BYTES], uint8_t before[MAX_BYTES]) {
    size_t reach = random_u64() % 2 == 0 && size > 4096 ? 4096 : size;
    size_t first = (size_t)(random_u64() % reach);
    bool together = random_u64() % 2 == 0;
    for (size_t i = 0; i < n; i++) {
        places[i] = together ? (first + i) % size : (size_t)(random_u64() % reach);
        before[i] = bytes[places[i]];
        bytes[places[i]] = (uint8_t)(random_u64() >> 56);
    }
}

static pye_status open_once(const char *path, pye_error *error) {
    pye_open_options options = {.struct_bytes = sizeof options, .format = PYE_FORMAT_AUTO, .guard = 1};
    pye_model *model;
    pye_status status = pye_model_open(path, &options, &model, error);
    if (status == PYE_OK) {
        fuzz_exercise(model);
        pye_model_close(model);
    }
    return status;
}

int main(int argc, char **argv) {
    fuzz_require(argc == 6, "mutate COPY ORIGINAL SINGLE MULTI SEED");
    long single = atol(argv[3]), multi = atol(argv[4]);
    random_state = strtoull(argv[5], NULL, 10) * 2 + 1;
    FILE *original = fopen(argv[2], "rb");
    int copy = open(argv[1], O_RDWR | O_CREAT | O_TRUNC, 0600);
    fuzz_require(original != NULL && copy >= 0, "the files can be opened");
    char buffer[1 << 16];
    size_t size = 0;
    for (size_t n; (n = fread(buffer, 1, sizeof buffer, original)) > 0; size += n)
        fuzz_require(write(copy, buffer, n) == (ssize_t)n, "the copy can be written");
    uint8_t *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, copy, 0);
    fuzz_require(bytes != MAP_FAILED, "the copy can be mapped");
    limit_memory((rlim_t)size + HEADROOM);
    long accepted = 0;
    double slowest = 0;
    for (long i = 0; i < single + multi; i++) {
        size_t places[MAX_BYTES];
        uint8_t before[MAX_BYTES];
        size_t n = i < single ? 1 : 2 + (size_t)(random_u64() % (MAX_BYTES - 1));
        mutate(bytes, size, n, places, before);
        pye_error error = {0};
        (void)alarm(120); /* what waits takes no time of the processor: it is ended */
        double start = now();
        pye_status status = open_once(argv[1], &error);
        double took = now() - start;
        slowest = took > slowest ? took : slowest;
        accepted += status == PYE_OK;
        if (status == PYE_ERROR_MEMORY || took > 1) {
            printf("mutation %ld: %s after %.3f s; byte %zu is %d\n", i, error.message, took, places[0],
                   bytes[places[0]]);
            return 1;
        }
        while (n-- > 0)
            bytes[places[n]] = before[n];
    }
    printf("%ld %ld %.0f\n", accepted, single + multi - accepted, slowest * 1000);
    return 0;
}
