/* What the machine can do, in loops as simple as they come: the limits that the library is measured against.
 *
 * Compiled on the spot for the processor at hand. Each loop has a few variants; the caller takes the fastest. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

/* GCC would make a memcpy of it. */
#if defined(__GNUC__) && !defined(__clang__)
__attribute__((optimize("no-tree-loop-distribute-patterns")))
#endif
static void copy_loop(const float *restrict from, float *restrict to, size_t n) {
    for (size_t k = 0; k < n; k++)
        to[k] = from[k];
}

/* Rows of `width` floats, ids[i] to i. Variants: 0 memcpy, 1 a plain loop. */
void ceiling_copy(int variant, const float *from, const int64_t *ids, size_t n, size_t width, float *to) {
    for (size_t i = 0; i < n; i++) {
        const float *row = from + (size_t)ids[i] * width;
        if (variant == 0)
            memcpy(to + i * width, row, width * sizeof *to);
        else
            copy_loop(row, to + i * width, width);
    }
}

/* Variants: 0 memset, 1 stores that bypass the cache where there are such. `to` is aligned to 64 bytes. */
void ceiling_fill(int variant, void *to, size_t n_bytes) {
#if defined(__SSE2__)
    if (variant == 1) {
        char *at = to, *end = at + n_bytes / 64 * 64;
        for (; at < end; at += 64) {
#if defined(__AVX512F__)
            _mm512_stream_si512((void *)at, _mm512_set1_epi32(1));
#elif defined(__AVX__)
            _mm256_stream_si256((void *)at, _mm256_set1_epi32(1));
            _mm256_stream_si256((void *)(at + 32), _mm256_set1_epi32(1));
#else
            for (int k = 0; k < 64; k += 16)
                _mm_stream_si128((void *)(at + k), _mm_set1_epi32(1));
#endif
        }
        _mm_sfence();
        memset(end, 1, n_bytes % 64);
        return;
    }
#endif
    (void)variant;
    memset(to, 1, n_bytes);
    __asm__ volatile("" ::"r"(to) : "memory");
}

static inline uint64_t sum_line(const uint8_t *line) {
    uint64_t words[8], sum = 0;
    memcpy(words, line, sizeof words);
    for (int k = 0; k < 8; k++)
        sum += words[k];
    return sum;
}

static inline uint64_t sum_tail(const uint8_t *from, size_t n) {
    uint64_t sum = 0;
    for (; n >= 8; n -= 8, from += 8) {
        uint64_t word;
        memcpy(&word, from, sizeof word);
        sum += word;
    }
    while (n-- > 0)
        sum += *from++;
    return sum;
}

/* One after the other. */
uint64_t ceiling_read(const uint8_t *from, size_t n_bytes) {
    uint64_t sum = 0;
    size_t whole = n_bytes / 64 * 64;
    for (size_t i = 0; i < whole; i += 64)
        sum += sum_line(from + i);
    return sum + sum_tail(from + whole, n_bytes - whole);
}

/* Rows ids[i]; meanwhile the row `distance` ahead is prefetched line by line, none where that is 0. */
#define READ_ROWS(name, prefetch)                                                                                 \
    static uint64_t name(const uint8_t *table, const int64_t *ids, size_t n, size_t row_bytes, size_t distance) { \
        uint64_t sum = 0;                                                                                         \
        size_t whole = row_bytes / 64 * 64;                                                                       \
        for (size_t i = 0; i < n; i++) {                                                                          \
            const uint8_t *row = table + (size_t)ids[i] * row_bytes;                                              \
            const uint8_t *next = table + (size_t)ids[i + distance < n ? i + distance : n - 1] * row_bytes;       \
            for (size_t k = 0; k < whole; k += 64) {                                                              \
                prefetch(next + k);                                                                               \
                sum += sum_line(row + k);                                                                         \
            }                                                                                                     \
            prefetch(next + row_bytes - 1);                                                                       \
            sum += sum_tail(row + whole, row_bytes - whole);                                                      \
        }                                                                                                         \
        return sum;                                                                                               \
    }
#define PREFETCH_NONE(address) ((void)(address))
#define PREFETCH_ALL(address) __builtin_prefetch(address, 0, 3)
#define PREFETCH_ONCE(address) __builtin_prefetch(address, 0, 0)
#define PREFETCH_FAR(address) __builtin_prefetch(address, 0, 2)
READ_ROWS(read_rows, PREFETCH_NONE)
READ_ROWS(read_rows_ahead, PREFETCH_ALL)
READ_ROWS(read_rows_ahead_once, PREFETCH_ONCE)
READ_ROWS(read_rows_ahead_far, PREFETCH_FAR)

/* Variants: 0 no prefetch; d prefetches d rows ahead; 100 + d does so past the outer caches, 200 + d not into the first. */
uint64_t ceiling_read_rows(int variant, const uint8_t *table, const int64_t *ids, size_t n, size_t row_bytes) {
    if (variant == 0)
        return read_rows(table, ids, n, row_bytes, 0);
    if (variant < 100)
        return read_rows_ahead(table, ids, n, row_bytes, (size_t)variant);
    if (variant < 200)
        return read_rows_ahead_once(table, ids, n, row_bytes, (size_t)variant - 100);
    return read_rows_ahead_far(table, ids, n, row_bytes, (size_t)variant - 200);
}

/* Calls pye_table_gather `count` times: what a call costs without Python. */
typedef int gather(const void *table, const void *ids, size_t n_ids, void *out, const void *options, void *error);

int ceiling_calls(gather *call, const void *table, const void *ids, size_t n, void *out, const void *options,
                  size_t count) {
    int status = 0;
    for (size_t i = 0; i < count; i++)
        status |= call(table, ids, n, out, options, NULL);
    return status;
}
