/* Every back end that runs here against the portable one, bit for bit: all decoders on random blocks, with the row
 * followed by a canary, at an odd address and past the caches, and every half; copies past the caches; dot products of one block, by themselves and straight from
 * stored floats, against their definition, and those of codes against the portable ones; sums, maxima and quotients of rows, against theirs; and both narrowings, on hard and
 * random floats, against base/half.h. A NaN must be met by a NaN, whatever its payload, since processors differ there; narrowed
 * NaNs must agree in full.
 *
 *     differential [rounds]      prints one line per back end; exit status 1 on the first difference
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "../../fuzz/back_ends.h"
#include "base/half.h"
#include "table/queries.h"

enum { ROW_BLOCKS = 3, TAIL = 5, MAX_WEIGHTS = ROW_BLOCKS * PYE_MAX_BLOCK_WEIGHTS };

#define CANARY 0x5A

static uint64_t random_state = 0x9E3779B97F4A7C15u;

/* xorshift64* (Vigna 2016) */
static uint64_t random_u64(void) {
    random_state ^= random_state >> 12;
    random_state ^= random_state << 25;
    random_state ^= random_state >> 27;
    return random_state * 0x2545F4914F6CDD1Du;
}

static void random_bytes(uint8_t *to, size_t n) {
    for (size_t i = 0; i < n; i++)
        to[i] = (uint8_t)(random_u64() >> 56);
}

static void fail(const char *isa, const char *what, size_t index, uint32_t expected, uint32_t got) {
    printf("%s: %s: element %zu is %08" PRIx32 ", expected %08" PRIx32 "\n", isa, what, index, got, expected);
    exit(1);
}

static int is_nan(uint32_t bits) { return (bits & 0x7FFFFFFFu) > 0x7F800000u; }

/* Numbers of every length, half of the longer ones halfway between floats or next to that. */
static void random_longs(uint8_t *to, size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint64_t r = random_u64(), shift = r % 64, value = random_u64() >> shift;
        if (r & 64 && shift < 39) { /* a set bit behind the 24 that a float has */
            uint64_t half = UINT64_C(1) << (39 - shift);
            value = (value & ~(2 * half - 1)) + half + (r >> 7 & 3) - 1;
        }
        value = r & 512 ? 0 - value : value;
        memcpy(to + 8 * i, &value, 8);
    }
}

static void check_row(const pye_kernels *kernels, const char *what, const uint8_t *expected, const uint8_t *got,
                      size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint32_t a, b;
        memcpy(&a, expected + 4 * i, 4);
        memcpy(&b, got + 4 * i, 4);
        if (a != b && !(is_nan(a) && is_nan(b)))
            fail(kernels->isa, what, i, a, b);
    }
    for (size_t i = 4 * n; i < 4 * n + 64; i++)
        if (got[i] != CANARY)
            fail(kernels->isa, "write past the row", i, CANARY, got[i]);
}

static void check_decoder(const pye_kernels *kernels, const pye_type_info *type) {
    static uint8_t block_bytes[1 + (ROW_BLOCKS + TAIL) * PYE_MAX_BLOCK_BYTES];
    static uint8_t expected[4 * MAX_WEIGHTS];
    static _Alignas(PYE_LINE_BYTES) uint8_t memory[PYE_LINE_BYTES + 4 * MAX_WEIGHTS + 64];
    /* Types of one weight a block get rows that end inside a vector. */
    size_t n = type->n_weights == 1 ? 16 * ROW_BLOCKS + (size_t)(random_u64() % 16) : ROW_BLOCKS * type->n_weights;
    uint8_t *blocks = block_bytes + 1;
    if (type->id == PYE_TYPE_I64)
        random_longs(blocks, n);
    else
        random_bytes(blocks, n / type->n_weights * type->block_bytes);
    pye_kernels_portable.decode[type->id](blocks, (float *)(void *)expected, n);
    uint8_t *odd = memory + 1, *aligned = memory + PYE_LINE_BYTES;
    memset(memory, CANARY, sizeof memory);
    kernels->decode[type->id](blocks, (float *)(void *)odd, n);
    check_row(kernels, type->name, expected, odd, n);
    memset(memory, CANARY, sizeof memory);
    kernels->stream_row[type->id](blocks, (float *)(void *)aligned, n);
    kernels->fence();
    check_row(kernels, type->name, expected, aligned, n);
}

/* Copies past the caches, from and to any address. */
static void check_stream(const pye_kernels *kernels) {
    static uint8_t from[512], to[64 + 512 + 64];
    size_t n = (size_t)(random_u64() % 384), first = (size_t)(random_u64() % 64),
           at = 1 + (size_t)(random_u64() % 63);
    random_bytes(from, sizeof from);
    memset(to, CANARY, sizeof to);
    kernels->stream(from + first, to + at, n);
    kernels->fence();
    for (size_t i = 0; i < sizeof to; i++) {
        uint8_t expected = i >= at && i < at + n ? from[first + i - at] : CANARY;
        if (to[i] != expected)
            fail(kernels->isa, "copy", i, expected, to[i]);
    }
}

/* Every half, as a weight and as the scale of a block, against its definition. */
static void check_halves(const pye_kernels *kernels) {
    enum { ALL = 1 << 16, WEIGHTS = 32, BLOCK = 2 + WEIGHTS };
    static uint16_t halves[ALL];
    static float floats[ALL];
    uint8_t block[BLOCK];
    float scaled[WEIGHTS];
    for (uint32_t i = 0; i < ALL; i++)
        halves[i] = (uint16_t)(i * 40503u); /* odd, so that all come, and neighbours are of every kind */
    kernels->decode[PYE_TYPE_F16]((const uint8_t *)halves, floats, ALL);
    memset(block, 1, BLOCK);
    for (size_t i = 0; i < ALL; i++) {
        uint32_t expected = pye_float_bits(pye_half_to_float(halves[i])), got = pye_float_bits(floats[i]);
        if (expected != got)
            fail(kernels->isa, "F16", i, expected, got);
        memcpy(block, &halves[i], 2);
        kernels->decode[PYE_TYPE_Q8_0](block, scaled, WEIGHTS);
        got = pye_float_bits(scaled[i % WEIGHTS]);
        if (expected != got && !(is_nan(expected) && is_nan(got)))
            fail(kernels->isa, "scale", i, expected, got);
    }
}

/* Floats around everything that rounding can trip over. */
static float hard_float(void) {
    uint64_t r = random_u64();
    switch (r % 4) {
    case 0: /* any bits */
        return pye_float_from_bits((uint32_t)(r >> 32));
    case 1: /* next to a half */
        return pye_float_from_bits(pye_float_bits(pye_half_to_float((uint16_t)(r >> 48))) +
                                   (uint32_t)(r >> 40 & 7) - 3);
    case 2: /* halfway between halves, and next to that */
        return pye_float_from_bits(pye_float_bits(pye_half_to_float((uint16_t)(r >> 48))) + 0x1000u +
                                   (uint32_t)(r >> 40 & 7) - 3);
    default: /* halfway between bfloats, and next to that */
        return pye_float_from_bits((uint32_t)(r >> 48) << 16 | (0x8000u + (uint32_t)(r >> 40 & 7) - 3));
    }
}

static void check_narrowing(const pye_kernels *kernels, uint16_t (*narrow)(float), pye_narrow_row row,
                            const char *what) {
    float values[77];
    uint16_t expected[77], got[77 + 1];
    size_t n = 1 + (size_t)(random_u64() % 77);
    for (size_t i = 0; i < n; i++)
        values[i] = hard_float();
    got[n] = 0xCA;
    for (size_t i = 0; i < n; i++)
        expected[i] = narrow(values[i]);
    row(values, got, n);
    for (size_t i = 0; i < n; i++)
        if (expected[i] != got[i])
            fail(kernels->isa, what, i, expected[i], got[i]);
    if (got[n] != 0xCA)
        fail(kernels->isa, "write past the narrowed row", n, 0xCA, got[n]);
}

#if defined(__x86_64__)
__attribute__((target("fma"))) static float fused_by_instruction(float x, float y, float z) {
    return _mm_cvtss_f32(_mm_fmadd_ss(_mm_set_ss(x), _mm_set_ss(y), _mm_set_ss(z)));
}
#endif

/* x y + z, rounded once: not every C library's fmaf is that. */
static float fused(float x, float y, float z) {
#if defined(__x86_64__)
    static unsigned features; /* kept: under a hypervisor asking the processor takes long */
    if (features == 0)
        features = pye_cpu_features();
    if (features & PYE_CPU_AVX2)
        return fused_by_instruction(x, y, z);
#endif
    return fmaf(x, y, z);
}

/* A dot product of one block as simd/generic/dot.h words it, number by number. */
static float reference_dot(const float *row, const float *query, size_t n) {
    float lanes[64] = {0};
    for (size_t i = 0; i < n; i++)
        lanes[i % 64] = fused(row[i], query[i], lanes[i % 64]);
    float sums[16];
    for (size_t i = 0; i < 16; i++)
        sums[i] = (lanes[i] + lanes[i + 16]) + (lanes[i + 32] + lanes[i + 48]);
    for (size_t half = 8; half > 0; half /= 2)
        for (size_t i = 0; i < half; i++)
            sums[i] += sums[i + half];
    return sums[0];
}

static int is_same_double(double a, double b) { return memcmp(&a, &b, sizeof a) == 0 || (a != a && b != b); }

enum { MAX_QUERIES = 8, MAX_ROWS = 5 };

/* Small, or any bits now and then: then sums overflow, cancel and lose what is subnormal. */
static float dot_float(int is_wild) {
    uint64_t r = random_u64();
    if (is_wild)
        return pye_float_from_bits((uint32_t)(r >> 32));
    return (float)((double)(int64_t)r * 0x1p-63) * (r % 16 == 0 ? 1e-20f : 1.0f);
}

static void check_dot(const pye_kernels *kernels) {
    static float rows[MAX_ROWS * PYE_DOT_COLUMNS], queries[MAX_QUERIES * PYE_DOT_COLUMNS];
    double totals[MAX_ROWS * MAX_QUERIES];
    size_t n = PYE_DOT_STEP * (1 + (size_t)(random_u64() % (PYE_DOT_COLUMNS / PYE_DOT_STEP)));
    size_t n_rows = 1 + (size_t)(random_u64() % MAX_ROWS), n_queries = 1 + (size_t)(random_u64() % MAX_QUERIES);
    int is_wild = random_u64() % 4 == 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        rows[i] = dot_float(is_wild);
    for (size_t i = 0; i < sizeof queries / sizeof *queries; i++)
        queries[i] = dot_float(is_wild);
    for (size_t i = 0; i < MAX_ROWS * MAX_QUERIES; i++)
        totals[i] = 0.5;
    kernels->dot(rows, n_rows, queries, n_queries, n, totals);
    for (size_t row = 0; row < n_rows; row++)
        for (size_t query = 0; query < n_queries; query++) {
            float dot = reference_dot(rows + row * PYE_DOT_COLUMNS, queries + query * PYE_DOT_COLUMNS, n);
            if (!is_same_double(totals[row * n_queries + query], 0.5 + (double)dot))
                fail(kernels->isa, "dot product", row * n_queries + query, pye_float_bits(dot), 0);
        }
    double lanes[PYE_SQUARE_LANES] = {0}, expected[PYE_SQUARE_LANES] = {0};
    kernels->squares(rows, n, lanes);
    pye_kernels_portable.squares(rows, n, expected);
    for (size_t i = 0; i < PYE_SQUARE_LANES; i++)
        if (!is_same_double(lanes[i], expected[i]))
            fail(kernels->isa, "sum of squares", i, 0, 0);
}

/* Straight from stored floats, at an odd address, against decoding first. */
static void check_fused(const pye_kernels *kernels, const pye_type_info *type) {
    static uint8_t blocks[1 + PYE_DOT_COLUMNS * 8];
    static float row[PYE_DOT_COLUMNS], query[PYE_DOT_COLUMNS];
    size_t step = type->n_weights > PYE_DOT_STEP ? type->n_weights : PYE_DOT_STEP;
    size_t n = step * (1 + (size_t)(random_u64() % (PYE_DOT_COLUMNS / step)));
    if (kernels->fused[type->id] == NULL)
        return;
    random_bytes(blocks + 1, n / type->n_weights * type->block_bytes);
    for (size_t i = 0; i < n; i++)
        query[i] = dot_float(0);
    pye_kernels_portable.decode[type->id](blocks + 1, row, n);
    float expected = reference_dot(row, query, n), got = kernels->fused[type->id](blocks + 1, query, n);
    uint32_t a = pye_float_bits(expected), b = pye_float_bits(got);
    if (a != b && !(is_nan(a) && is_nan(b)))
        fail(kernels->isa, type->name, n, a, b);
}

enum { MOST_COLUMNS = 2 * PYE_CODED_COLUMNS + 256 };

/* The lanes of a row's products with all queries, straight from its codes or through tiles. */
static void coded_lanes(const pye_kernels *kernels, const pye_type_info *type, const uint8_t *row, size_t n,
                        const pye_coded_block *queries, size_t n_queries, int is_tiled,
                        double (*lanes)[PYE_CODED_LANES]) {
    static pye_coded_tile tile;
    const pye_coded_type *coded = &kernels->coded[type->id];
    for (size_t i = 0; i < n_queries; i++)
        for (size_t lane = 0; lane < PYE_CODED_LANES; lane++)
            lanes[i][lane] = 0.5;
    for (size_t i = 0; !is_tiled && i < n_queries; i++)
        coded->dot(row, n, queries + i, n_queries, lanes[i]);
    for (size_t column = 0; is_tiled && column < n; column += PYE_CODED_COLUMNS, queries += n_queries) {
        size_t part = n - column < PYE_CODED_COLUMNS ? n - column : PYE_CODED_COLUMNS;
        memset(&tile, CANARY, sizeof tile);
        coded->unpack(row + pye_type_bytes(type, column), part, &tile);
        kernels->dot_tiles(coded, &tile, 1, part, queries, n_queries, lanes);
    }
}

/* A row of random blocks at an odd address, both ways. Where a scale is not finite some lanes are not either. */
static void check_coded(const pye_kernels *kernels, const pye_type_info *type) {
    static uint8_t blocks[1 + MOST_COLUMNS * 2];
    static float queries[MAX_QUERIES * MOST_COLUMNS];
    static pye_coded_block packed[MAX_QUERIES * 3];
    double expected[MAX_QUERIES][PYE_CODED_LANES], got[MAX_QUERIES][PYE_CODED_LANES];
    if (kernels->coded[type->id].dot == NULL)
        return;
    size_t n = type->n_weights * (1 + (size_t)(random_u64() % (MOST_COLUMNS / type->n_weights)));
    size_t n_queries = 1 + (size_t)(random_u64() % MAX_QUERIES);
    random_bytes(blocks + 1, n / type->n_weights * type->block_bytes);
    for (size_t i = 0; i < n_queries * n; i++)
        queries[i] = dot_float(0);
    pye_pack_codes(queries, n_queries, n, packed);
    coded_lanes(&pye_kernels_portable, type, blocks + 1, n, packed, n_queries, 0, expected);
    for (int is_tiled = 0; is_tiled < 2; is_tiled++) {
        coded_lanes(kernels, type, blocks + 1, n, packed, n_queries, is_tiled, got);
        for (size_t i = 0; i < n_queries * PYE_CODED_LANES; i++)
            if (!is_same_double(expected[0][i], got[0][i])) {
                printf("%s: %s: lane %zu is %a, expected %a\n", kernels->isa, type->name, i, got[0][i],
                       expected[0][i]);
                exit(1);
            }
    }
}

enum { SUM_ROWS = 7, SUM_COLUMNS = 512, SUM_AT = 3 };

static void expect_floats(const pye_kernels *kernels, const char *what, const float *expected, const float *got,
                          size_t n) {
    for (size_t i = 0; i < n; i++) {
        uint32_t a = pye_float_bits(expected[i]), b = pye_float_bits(got[i]);
        if (a != b && !(is_nan(a) && is_nan(b)))
            fail(kernels->isa, what, i, a, b);
    }
    if (got[n] != 1234)
        fail(kernels->isa, what, n, 0, 0);
}

/* Sums of stored rows, at odd addresses, maxima and quotients against their definitions, and nothing behind them. */
static void check_sums(const pye_kernels *kernels, const pye_type_info *type) {
    static uint8_t stored[SUM_ROWS][SUM_AT + 8 * SUM_COLUMNS];
    static float rows[SUM_ROWS][SUM_COLUMNS], expected[SUM_COLUMNS], got[SUM_COLUMNS + 1], weights[SUM_ROWS];
    const uint8_t *starts[SUM_ROWS];
    size_t n = (1 + (size_t)(random_u64() % (SUM_COLUMNS / type->n_weights))) * type->n_weights;
    size_t n_rows = 1 + (size_t)(random_u64() % SUM_ROWS);
    int is_wild = random_u64() % 4 == 0, is_weighted = random_u64() % 2;
    if (kernels->add_rows[type->id] == NULL)
        return;
    for (size_t i = 0; i < n; i++)
        got[i] = expected[i] = dot_float(is_wild);
    got[n] = 1234;
    for (size_t row = 0; row < n_rows; row++) {
        starts[row] = stored[row];
        weights[row] = dot_float(is_wild);
        random_bytes(stored[row] + SUM_AT, n / type->n_weights * type->block_bytes);
        pye_kernels_portable.decode[type->id](stored[row] + SUM_AT, rows[row], n);
        for (size_t i = 0; i < n; i++) {
            float product = is_weighted ? weights[row] * rows[row][i] : rows[row][i];
            expected[i] = expected[i] + product;
        }
    }
    const pye_addends addends = {
        .rows = starts, .at = SUM_AT, .weights = is_weighted ? weights : NULL, .n = n_rows};
    kernels->add_rows[type->id](got, &addends, n);
    expect_floats(kernels, "sum of rows", expected, got, n);
    for (size_t i = 0; i < n; i++)
        expected[i] = rows[0][i] > expected[i] || isnan(rows[0][i]) ? rows[0][i] : expected[i];
    kernels->max_row(got, rows[0], n);
    expect_floats(kernels, "maximum", expected, got, n);
    for (size_t i = 0; i < n; i++)
        expected[i] = (float)((double)(expected[i] / 3) / 7.5);
    kernels->divide(got, n, 3);
    kernels->divide_by_double(got, n, 7.5);
    expect_floats(kernels, "quotient", expected, got, n);
}

static void check_back_end(const pye_kernels *kernels, long rounds) {
    check_halves(kernels);
    for (long round = 0; round < rounds; round++) {
        for (size_t i = 0; i < pye_n_types(); i++) {
            pye_type_info type;
            (void)pye_type_at(i, &type, NULL);
            check_decoder(kernels, &type);
            check_fused(kernels, &type);
            check_coded(kernels, &type);
            check_sums(kernels, &type);
        }
        check_dot(kernels);
        check_stream(kernels);
        check_narrowing(kernels, pye_half_from_float, kernels->to_half, "float16");
        check_narrowing(kernels, pye_bfloat_from_float, kernels->to_bfloat, "bfloat16");
    }
    printf("%s: equal to portable in %ld rounds of %zu types\n", kernels->isa, rounds, pye_n_types());
}

int main(int argc, char **argv) {
    long rounds = argc > 1 ? strtol(argv[1], NULL, 10) : 2000;
    const pye_kernels *found[FUZZ_MAX_BACK_ENDS];
    size_t n = fuzz_back_ends(found);
    for (size_t i = 0; i < n; i++)
        check_back_end(found[i], rounds);
    return 0;
}
