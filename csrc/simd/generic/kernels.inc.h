/* Instantiates every decoder for one instruction set. No include guard: a back end's .c file sets
 *
 *     ISA      the suffix of its names, such as avx2
 *     its simd/<isa>.h, the primitives of 16 lanes and of words, included before this
 *
 * and gets `pye_kernels_<isa>`. A type of types.def without a decoder does not compile. */
#include <stddef.h>

#include "simd/generic/codes.h"
#include "simd/generic/dot.h"
#include "simd/generic/float.h"
#include "simd/generic/iquant.h"
#include "simd/generic/kquant.h"
#include "simd/generic/legacy.h"
#include "simd/generic/micro.h"
#include "simd/generic/scaled.h"
#include "simd/generic/sums.h"
#include "simd/generic/ternary.h"

#define JOIN_(a, b, c) a##b##c
#define JOIN(a, b, c) JOIN_(a, b, c)

/* Types of several weights a block. */
#define BLOCK_TYPES(BLOCK)                                                                                        \
    BLOCK(Q4_0, q4_0, 32)                                                                                         \
    BLOCK(Q4_1, q4_1, 32)                                                                                         \
    BLOCK(Q5_0, q5_0, 32)                                                                                         \
    BLOCK(Q5_1, q5_1, 32)                                                                                         \
    BLOCK(Q8_0, q8_0, 32)                                                                                         \
    BLOCK(Q8_1, q8_1, 32)                                                                                         \
    BLOCK(Q2_K, q2_k, 256)                                                                                        \
    BLOCK(Q3_K, q3_k, 256)                                                                                        \
    BLOCK(Q4_K, q4_k, 256)                                                                                        \
    BLOCK(Q5_K, q5_k, 256)                                                                                        \
    BLOCK(Q6_K, q6_k, 256)                                                                                        \
    BLOCK(Q8_K, q8_k, 256)                                                                                        \
    BLOCK(IQ2_XXS, iq2_xxs, 256)                                                                                  \
    BLOCK(IQ2_XS, iq2_xs, 256)                                                                                    \
    BLOCK(IQ3_XXS, iq3_xxs, 256)                                                                                  \
    BLOCK(IQ1_S, iq1_s, 256)                                                                                      \
    BLOCK(IQ4_NL, iq4_nl, 32)                                                                                     \
    BLOCK(IQ3_S, iq3_s, 256)                                                                                      \
    BLOCK(IQ2_S, iq2_s, 256)                                                                                      \
    BLOCK(IQ4_XS, iq4_xs, 256)                                                                                    \
    BLOCK(IQ1_M, iq1_m, 256)                                                                                      \
    BLOCK(TQ1_0, tq1_0, 256)                                                                                      \
    BLOCK(TQ2_0, tq2_0, 256)                                                                                      \
    BLOCK(MXFP4, mxfp4, 32)                                                                                       \
    BLOCK(NVFP4, nvfp4, 64)                                                                                       \
    BLOCK(Q1_0, q1_0, 128)                                                                                        \
    BLOCK(Q2_0, q2_0, 64)

/* Their rows are rows of blocks; the others decode a row at a time. */
#define DECODE_BLOCKS(NAME, name, n_weights)                                                                      \
    INLINE void decode_row_##name(const uint8_t *from, float *to, size_t n, vf_put put) {                         \
        for (size_t i = 0; i < n; i += (n_weights), from += sizeof(block_##name))                                 \
            decode_##name((const block_##name *)(const void *)from, to + i, put);                                 \
    }
BLOCK_TYPES(DECODE_BLOCKS)
#undef DECODE_BLOCKS

/* decode_<type>_<isa> and stream_<type>_<isa>, so that a line of a profile explains itself. */
#define PYE_TYPE(id, NAME, name, n_weights, block_bytes, words, scales)                                           \
    static void JOIN(decode_##name, _, ISA)(const uint8_t *from, float *to, size_t n) {                           \
        decode_row_##name(from, to, n, vf_store);                                                                 \
    }                                                                                                             \
    static void JOIN(stream_##name, _, ISA)(const uint8_t *from, float *to, size_t n) {                           \
        decode_row_##name(from, to, n, vf_stream);                                                                \
    }
#include "base/types.def"
#undef PYE_TYPE

/* Types whose rows are codes: how they are multiplied (simd/generic/coded.h), and what shares a minimum. */
#define CODED_TYPES(CODED)                                                                                        \
    CODED(Q4_0, q4_0, 32, WORDS, NO_MINIMA)                                                                       \
    CODED(Q4_1, q4_1, 32, WORDS, MINIMA_OF_32)                                                                    \
    CODED(Q5_0, q5_0, 32, BYTES, NO_MINIMA)                                                                       \
    CODED(Q5_1, q5_1, 32, BYTES, MINIMA_OF_32)                                                                    \
    CODED(Q8_0, q8_0, 32, WIDE_WORDS, NO_MINIMA)                                                                  \
    CODED(Q2_K, q2_k, 256, BYTES, MINIMA_OF_16)                                                                   \
    CODED(Q3_K, q3_k, 256, BYTES, NO_MINIMA)                                                                      \
    CODED(Q4_K, q4_k, 256, WORDS, MINIMA_OF_32)                                                                   \
    CODED(Q5_K, q5_k, 256, BYTES, MINIMA_OF_32)                                                                   \
    CODED(Q6_K, q6_k, 256, BYTES, NO_MINIMA)                                                                      \
    CODED(IQ4_NL, iq4_nl, 32, WIDE_WORDS, NO_MINIMA)                                                              \
    CODED(MXFP4, mxfp4, 32, WORDS, NO_MINIMA)

#define CODED(NAME, name, n_weights, order, minima)                                                               \
    static void JOIN(coded_##name, _, ISA)(const uint8_t *row, size_t n, const pye_coded_block *query,            \
                                           size_t stride, double totals[PYE_CODED_LANES]) {                       \
        coded_dot(unpack_##name, n_weights, sizeof(block_##name), PYE_##minima, row, n, query, stride, totals);   \
    }                                                                                                             \
    static void JOIN(unpack_##name, _, ISA)(const uint8_t *from, size_t n, pye_coded_tile *to) {                  \
        coded_unpack(unpack_##name, PYE_##minima, from, n, to);                                                   \
    }
CODED_TYPES(CODED)
#undef CODED

static void JOIN(dot_tiles, _, ISA)(const pye_coded_type *type, const pye_coded_tile *rows, size_t n_rows,
                                    size_t n, const pye_coded_block *queries, size_t n_queries,
                                    double (*totals)[PYE_CODED_LANES]) {
#define TILES(order, minima) dot_tiles_of(order, minima, rows, n_rows, n, queries, n_queries, totals)
    switch (type->order) {
    case PYE_CODED_WORDS:
        TILES(PYE_CODED_WORDS, type->minima);
        break;
    case PYE_CODED_WIDE_WORDS:
        TILES(PYE_CODED_WIDE_WORDS, PYE_NO_MINIMA);
        break;
    case PYE_CODED_BYTES:
        TILES(PYE_CODED_BYTES, type->minima);
        break;
    }
#undef TILES
}

/* Floats go into a dot product as they are loaded. */
#define FUSE_LANES(name, load)                                                                                    \
    static float JOIN(fused_##name, _, ISA)(const uint8_t *from, const float *query, size_t n) {                  \
        sums all = {vf_set(0), vf_set(0), vf_set(0), vf_set(0)};                                                  \
        for (size_t i = 0; i < n; i += 64) {                                                                      \
            UNROLL                                                                                                \
            for (int part = 0; part < 64; part += 16, from += 16 * sizeof(block_##name))                          \
                add_product(&all, part, load(from), vf_load(query + i + part));                                   \
        }                                                                                                         \
        return sums_total(all);                                                                                   \
    }
FUSE_LANES(f32, vf_load)
FUSE_LANES(f16, vf_load_half)
FUSE_LANES(bf16, vf_load_bfloat)
#undef FUSE_LANES

/* Floats are added as they are loaded, too. */
#define ADD_FLOATS(name, load)                                                                                    \
    static void JOIN(add_##name, _, ISA)(float *to, const pye_addends *from, size_t n) {                          \
        if (from->weights == NULL)                                                                                \
            add_floats(to, from, n, sizeof(block_##name), load, false);                                           \
        else                                                                                                      \
            add_floats(to, from, n, sizeof(block_##name), load, true);                                            \
    }
ADD_FLOATS(f32, vf_load)
ADD_FLOATS(f16, vf_load_half)
ADD_FLOATS(bf16, vf_load_bfloat)
#undef ADD_FLOATS

/* Blocks are added as they are decoded. A product with a weight is one more step, and such rows are few. */
#define ADD_BLOCKS(NAME, name, n_weights)                                                                         \
    static void JOIN(add_##name, _, ISA)(float *to, const pye_addends *from, size_t n) {                          \
        _Alignas(64) float row[PYE_ADDED_COLUMNS];                                                                \
        for (size_t i = 0; i < from->n; i++) {                                                                    \
            if (from->weights == NULL) {                                                                          \
                decode_row_##name(from->rows[i] + from->at, to, n, vf_put_sum);                                   \
            } else {                                                                                              \
                JOIN(decode_##name, _, ISA)(from->rows[i] + from->at, row, n);                                    \
                add_scaled(to, row, from->weights[i], n);                                                         \
            }                                                                                                     \
        }                                                                                                         \
    }
BLOCK_TYPES(ADD_BLOCKS)
#undef ADD_BLOCKS

static void JOIN(max_row, _, ISA)(float *to, const float *row, size_t n) { max_row(to, row, n); }
static void JOIN(divide, _, ISA)(float *to, size_t n, float by) { divide(to, n, by); }
static void JOIN(divide_by_double, _, ISA)(float *to, size_t n, double by) { divide_by_double(to, n, by); }

INLINE void narrow_lanes(const float *from, uint8_t *to, size_t n, void (*store)(void *, vf)) {
    size_t whole = n - n % 16;
    for (size_t i = 0; i < whole; i += 16)
        store(to + 2 * i, vf_load(from + i));
    if (whole < n) {
        float padded[16] = {0};
        uint8_t values[2 * 16];
        memcpy(padded, from + whole, (n - whole) * sizeof *from);
        store(values, vf_load(padded));
        memcpy(to + 2 * whole, values, (n - whole) * 2);
    }
}

static void JOIN(to_half, _, ISA)(const float *from, void *to, size_t n) {
    narrow_lanes(from, to, n, vf_store_half);
}

static void JOIN(to_bfloat, _, ISA)(const float *from, void *to, size_t n) {
    narrow_lanes(from, to, n, vf_store_bfloat);
}

/* Whole lines past the caches; the parts of lines at both ends are copied as usual. */
static void JOIN(stream, _, ISA)(const void *from, void *to, size_t n_bytes) {
    const uint8_t *source = (const uint8_t *)from;
    uint8_t *target = (uint8_t *)to;
    size_t before = -(uintptr_t)to % PYE_LINE_BYTES;
    size_t done = before < n_bytes ? before : n_bytes;
    memcpy(target, source, done);
    for (; n_bytes - done >= 64; done += 64)
        vf_stream(target + done, vf_load(source + done));
    memcpy(target + done, source + done, n_bytes - done);
}

static void JOIN(fence, _, ISA)(void) { stream_fence(); }

static void JOIN(dot, _, ISA)(const float *rows, size_t n_rows, const float *queries, size_t n_queries, size_t n,
                              double *totals) {
    dot_rows(rows, n_rows, queries, n_queries, n, totals);
}

static void JOIN(squares, _, ISA)(const float *row, size_t n, double lanes[PYE_SQUARE_LANES]) {
    add_squares(row, n, lanes);
}

/* Rows in parts: the loops of scaled.h by way of unpacking and end of a weight, scaled_<way>_<end>_<isa>, and the same past
 * the caches. */
#define SCALED_LOOP(name, end, ...)                                                                               \
    static void JOIN(scaled_##name##_##end, _, ISA)(const scaled_run *run, size_t n, float *to) {                 \
        scaled_columns(run, (scaled_codes){__VA_ARGS__}, n, to, end, vf_store);                                   \
    }                                                                                                             \
    static void JOIN(scaled_stream_##name##_##end, _, ISA)(const scaled_run *run, size_t n, float *to) {          \
        scaled_columns(run, (scaled_codes){__VA_ARGS__}, n, to, end, vf_stream);                                  \
    }
#define SCALED_LOOP_OF_EACH_END(name, ...)                                                                        \
    SCALED_LOOP(name, PLUS_NOTHING, __VA_ARGS__)                                                                  \
    SCALED_LOOP(name, PLUS_BIAS, __VA_ARGS__)                                                                     \
    SCALED_LOOP(name, TIMES_FACTOR, __VA_ARGS__)                                                                  \
    SCALED_LOOP(name, OVER_FACTOR, __VA_ARGS__)
SCALED_WAYS(SCALED_LOOP_OF_EACH_END)

#define LOOPS_OF(prefix, name)                                                                                    \
    [SCALED_##name] = {JOIN(prefix##name##_PLUS_NOTHING, _, ISA), JOIN(prefix##name##_PLUS_BIAS, _, ISA),         \
                       JOIN(prefix##name##_TIMES_FACTOR, _, ISA), JOIN(prefix##name##_OVER_FACTOR, _, ISA)},
static const scaled_loop JOIN(scaled_loops, _, ISA)[2][N_SCALED_WAYS][N_SCALED_ENDS] = {
#define LOOPS(name, ...) LOOPS_OF(scaled_, name)
    {SCALED_WAYS(LOOPS)},
#undef LOOPS
#define LOOPS(name, ...) LOOPS_OF(scaled_stream_, name)
    {SCALED_WAYS(LOOPS)},
#undef LOOPS
};

static void JOIN(decode_e4m3, _, ISA)(const uint8_t *from, float *to, size_t n) {
    decode_lanes(from, to, n, 1, load_any_e4m3, vf_store);
}

extern const pye_kernels JOIN(pye_kernels, _, ISA);

static const scaled_kernels JOIN(scaled_kernels, _, ISA) = {
    {JOIN(scaled_loops, _, ISA)[0], JOIN(scaled_loops, _, ISA)[1]},
    {JOIN(pye_kernels, _, ISA).decode, JOIN(pye_kernels, _, ISA).stream_row},
    JOIN(decode_e4m3, _, ISA),
};

static void JOIN(decode_scaled, _, ISA)(const pye_scaling *how, const uint8_t *const parts[PYE_N_PARTS],
                                        size_t first, size_t n, float *to) {
    scaled_row(how, parts, first, n, to, false, &JOIN(scaled_kernels, _, ISA));
}

static void JOIN(stream_scaled, _, ISA)(const pye_scaling *how, const uint8_t *const parts[PYE_N_PARTS],
                                        size_t first, size_t n, float *to) {
    scaled_row(how, parts, first, n, to, true, &JOIN(scaled_kernels, _, ISA));
}

#define TEXT_(text) #text
#define TEXT(text) TEXT_(text)

const pye_kernels JOIN(pye_kernels, _, ISA) = {
    .isa = TEXT(ISA),
    .decode =
        {
#define PYE_TYPE(id, NAME, name, n_weights, block_bytes, words, scales) [id] = JOIN(decode_##name, _, ISA),
#include "base/types.def"
#undef PYE_TYPE
        },
    .stream_row =
        {
#define PYE_TYPE(id, NAME, name, n_weights, block_bytes, words, scales) [id] = JOIN(stream_##name, _, ISA),
#include "base/types.def"
#undef PYE_TYPE
        },
    .decode_scaled = JOIN(decode_scaled, _, ISA),
    .stream_scaled = JOIN(stream_scaled, _, ISA),
    .to_half = JOIN(to_half, _, ISA),
    .to_bfloat = JOIN(to_bfloat, _, ISA),
    .stream = JOIN(stream, _, ISA),
    .fence = JOIN(fence, _, ISA),
    .fused =
        {
#define FUSED(NAME, name) [PYE_TYPE_##NAME] = JOIN(fused_##name, _, ISA)
            FUSED(F32, f32),
            FUSED(F16, f16),
            FUSED(BF16, bf16),
#undef FUSED
        },
    .coded =
        {
#define CODED(NAME, name, n_weights, order, minima)                                                               \
    [PYE_TYPE_##NAME] = {PYE_CODED_##order, PYE_##minima, JOIN(coded_##name, _, ISA), JOIN(unpack_##name, _, ISA)},
            CODED_TYPES(CODED)
#undef CODED
        },
    .dot_tiles = JOIN(dot_tiles, _, ISA),
    .dot = JOIN(dot, _, ISA),
    .squares = JOIN(squares, _, ISA),
    .add_rows =
        {
#define ADDED(NAME, name, ...) [PYE_TYPE_##NAME] = JOIN(add_##name, _, ISA),
            ADDED(F32, f32) ADDED(F16, f16) ADDED(BF16, bf16) BLOCK_TYPES(ADDED)
#undef ADDED
        },
    .max_row = JOIN(max_row, _, ISA),
    .divide = JOIN(divide, _, ISA),
    .divide_by_double = JOIN(divide_by_double, _, ISA),
};
