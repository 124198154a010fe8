/* Rows whose codes, scales and biases lie apart, decoded by every back end that runs here.
 *
 *     scaled < CASES > FLOATS
 *
 * A case is a row: a `header`, and the bytes of its parts. Written is what the first back end, the portable one, makes of it;
 * the program fails if another one differs in a bit (a NaN must be met by a NaN), if a row comes out otherwise in steps or
 * past the caches, or if anything but the row is written. The parts lie between pages that cannot be read, once with
 * their ends and once with their starts at one. */
#include "system.h"

#include <stdlib.h>
#include <string.h>

#include "../../fuzz/back_ends.h"

#define CANARY 0x5A

enum { STEP = 256 };

typedef struct header {
    int32_t code, type, n_bits, scales, biases, factor_kind;
    float factor;
    uint32_t n_columns;
    uint64_t group, part_bytes[PYE_N_PARTS];
} header;

static void fail(const char *isa, const char *what, size_t row, size_t column) {
    fprintf(stderr, "%s: %s: row %zu, column %zu\n", isa, what, row, column);
    exit(1);
}

/* Memory between two pages that cannot be touched. */
typedef struct guarded {
    uint8_t *base;
    size_t n_bytes, n_all;
} guarded;

static guarded guarded_new(size_t n_bytes) {
    size_t page = pye_page_bytes(), inner = (n_bytes + page - 1) / page * page;
    guarded g = {NULL, n_bytes, inner + 2 * page};
    if (pye_memory_reserve(&g.base, g.n_all) != 0 || pye_memory_commit(g.base, g.n_all) != 0 ||
        !forbid_pages(g.base, page) || !forbid_pages(g.base + page + inner, page))
        fail("guard", "no memory", 0, 0);
    return g;
}

static uint8_t *guarded_at(const guarded *g, int at_end) {
    return at_end ? g->base + g->n_all - pye_page_bytes() - g->n_bytes : g->base + pye_page_bytes();
}

static void guarded_free(guarded *g) { pye_memory_free(g->base, g->n_all); }

static int read_all(void *to, size_t n_bytes) { return fread(to, 1, n_bytes, stdin) == n_bytes; }

static void require_alike(const char *isa, const char *what, size_t row, const float *expected, const uint8_t *got,
                          size_t n) {
    for (size_t i = 0; i < n; i++) {
        float value;
        memcpy(&value, got + 4 * i, 4);
        if (memcmp(&value, expected + i, 4) != 0 && !(value != value && expected[i] != expected[i]))
            fail(isa, what, row, i);
    }
}

/* A row at once, in steps, and from every step on; floats end at a page that cannot be written. */
static void decode(const pye_kernels *kernels, const pye_scaling *how, const uint8_t *const parts[PYE_N_PARTS],
                   size_t n, size_t row, const float *expected) {
    guarded memory = guarded_new(4 * n + 1);
    uint8_t *to = guarded_at(&memory, 1) + 1;
    kernels->decode_scaled(how, parts, 0, n, (float *)(void *)to);
    require_alike(kernels->isa, "differs", row, expected, to, n);
    memset(to - 1, CANARY, memory.n_bytes);
    for (size_t first = 0; first < n; first += STEP) {
        size_t columns = n - first < STEP ? n - first : STEP;
        kernels->decode_scaled(how, parts, first, columns, (float *)(void *)(to + 4 * first));
    }
    require_alike(kernels->isa, "differs in steps", row, expected, to, n);
    for (size_t first = STEP; first < n; first += STEP) {
        memset(to - 1, CANARY, memory.n_bytes);
        kernels->decode_scaled(how, parts, first, n - first, (float *)(void *)(to + 4 * first));
        require_alike(kernels->isa, "differs from a step on", row, expected + first, to + 4 * first, n - first);
        for (size_t i = 0; i < 4 * first + 1; i++)
            if (to[(ptrdiff_t)i - 1] != CANARY)
                fail(kernels->isa, "writes before a step", row, first);
    }
    guarded_free(&memory);
}

static void stream(const pye_kernels *kernels, const pye_scaling *how, const uint8_t *const parts[PYE_N_PARTS],
                   size_t n, size_t row, const float *expected) {
    size_t n_bytes = (4 * n + PYE_STREAM_ALIGNMENT - 1) / PYE_STREAM_ALIGNMENT * PYE_STREAM_ALIGNMENT;
    guarded memory = guarded_new(n_bytes);
    for (int at_end = 0; at_end < 2; at_end++) {
        uint8_t *to = guarded_at(&memory, at_end);
        memset(to, CANARY, n_bytes);
        kernels->stream_scaled(how, parts, 0, n, (float *)(void *)to);
        kernels->fence();
        require_alike(kernels->isa, "differs past the caches", row, expected, to, n);
        for (size_t i = 4 * n; i < n_bytes; i++)
            if (to[i] != CANARY)
                fail(kernels->isa, "writes past the row", row, n);
    }
    guarded_free(&memory);
}

static void check_row(const header *h, size_t row, const pye_kernels *const *back_ends, size_t n_back_ends) {
    pye_scaling how = {(pye_code)h->code,     h->type,  (uint32_t)h->n_bits,        (pye_number)h->scales,
                       (pye_number)h->biases, h->group, (pye_factor)h->factor_kind, h->factor};
    guarded memory[PYE_N_PARTS];
    const uint8_t *parts[PYE_N_PARTS];
    float *expected = malloc(4 * h->n_columns);
    if (expected == NULL)
        fail("rows", "no memory", row, 0);
    for (int i = 0; i < PYE_N_PARTS; i++) {
        memory[i] = guarded_new(h->part_bytes[i]);
        if (!read_all(guarded_at(&memory[i], 0), h->part_bytes[i]))
            fail("rows", "the case ends early", row, 0);
    }
    for (int at_end = 0; at_end < 2; at_end++) {
        for (int i = 0; i < PYE_N_PARTS; i++) {
            memmove(guarded_at(&memory[i], at_end), guarded_at(&memory[i], 0), h->part_bytes[i]);
            parts[i] = h->part_bytes[i] > 0 ? guarded_at(&memory[i], at_end) : NULL;
        }
        if (!at_end)
            back_ends[0]->decode_scaled(&how, parts, 0, h->n_columns, expected);
        for (size_t i = 0; i < n_back_ends; i++) {
            decode(back_ends[i], &how, parts, h->n_columns, row, expected);
            stream(back_ends[i], &how, parts, h->n_columns, row, expected);
        }
    }
    if (fwrite(expected, 4, h->n_columns, stdout) != h->n_columns)
        fail("rows", "cannot be written", row, 0);
    for (int i = 0; i < PYE_N_PARTS; i++)
        guarded_free(&memory[i]);
    free(expected);
}

int main(void) {
    const pye_kernels *back_ends[FUZZ_MAX_BACK_ENDS];
    size_t n_back_ends = fuzz_back_ends(back_ends), row = 0;
    header h;
    binary_streams();
    for (; read_all(&h, sizeof h); row++)
        check_row(&h, row, back_ends, n_back_ends);
    if (ferror(stdin) || fflush(stdout) != 0)
        fail("rows", "input or output failed", row, 0);
    for (size_t i = 0; i < n_back_ends; i++)
        fprintf(stderr, "%s: %zu rows\n", back_ends[i]->isa, row);
    return 0;
}
