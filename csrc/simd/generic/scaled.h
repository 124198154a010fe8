/* Rows whose codes, scales and biases lie apart: simd/scaling.h defines their weights.
 *
 * Scales and biases are widened first, up to SCALED_GROUPS groups at a time. Then one loop, chosen once, goes over the
 * columns: there is one for each way of unpacking codes and each way in which a weight ends. Codes of up to four bits
 * choose from the sixteen weights of their group, which are computed once a group, as the definition words it. */
#pragma once

#include "base/half.h"
#include "simd/generic/decoder.h"
#include "simd/grids.h"
#include "simd/scaling.h"

enum {
    SCALED_GROUPS = 32,
    SCALED_COLUMNS = 512,       /* that are decoded before they are scaled */
    SCALED_LOOKED_AT = 8 * 512, /* for NaNs at a time: whoever finds one looks at most of them again */
    SCALED_MOST_BYTES = 8       /* of a code */
};

/* How a weight ends: q s, q s + b, (q s) g or (q s) / g. */
typedef enum scaled_end { PLUS_NOTHING, PLUS_BIAS, TIMES_FACTOR, OVER_FACTOR, N_SCALED_ENDS } scaled_end;

/* What a loop needs, beside columns: codes, and the groups that they are in. A vector of scales stays within a line: what was
 * stored across lines cannot be loaded at once. */
typedef struct scaled_run {
    _Alignas(PYE_LINE_BYTES) float scales[SCALED_GROUPS], biases[SCALED_GROUPS];
    const uint8_t *codes;
    float factor;
    size_t n_groups;
    size_t left;  /* columns of the first group, ... */
    size_t group; /* and of the others; both are multiples of 16 */
} scaled_run;

/* Computes n columns, a multiple of 16. */
typedef void (*scaled_loop)(const scaled_run *run, size_t n, float *to);

/* ---------------------------------------------------------------------------------- loops */

INLINE vf scaled_weight(vf q, vf scale, vf last, scaled_end end) {
    vf product = vf_mul(q, scale);
    switch (end) {
    case PLUS_BIAS:
        return vf_add(product, last);
    case TIMES_FACTOR:
        return vf_mul(product, last);
    case OVER_FACTOR:
        return vf_div(product, last);
    default:
        return product;
    }
}

/* What codes of two, three and four bits stand for, and E2M1. Those of fewer than four bits repeat themselves. */
static const float scaled_values[4][16] = {
    {0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3},
    {0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7},
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {0, 0.5f, 1, 1.5f, 2, 3, 4, 6, -0.0f, -0.5f, -1, -1.5f, -2, -3, -4, -6},
};

/* How codes of n_bits bits become numbers: by `load`, or they pick one of the `values`. Whole groups of `usual` columns have a
 * loop of their own, which knows their length; 0: no length is usual. */
typedef struct scaled_codes {
    int n_bits;
    size_t usual;
    vf (*load)(const void *);
    const float *values;
} scaled_codes;

/* Columns of one group. */
INLINE void scaled_group(const scaled_run *run, size_t group, scaled_codes how, const uint8_t *codes, size_t n,
                         float *to, scaled_end end, vf_put put) {
    vf scale = vf_set(run->scales[group]), last = vf_set(end == PLUS_BIAS ? run->biases[group] : run->factor);
    vf weights = how.load != NULL ? scale : scaled_weight(vf_load(how.values), scale, last, end);
    bool is_signed = how.values == scaled_values[3] && end != PLUS_BIAS;
    for (size_t i = 0; i < n; i += 16, codes += 2 * how.n_bits) {
        if (how.load != NULL)
            put(to + i, scaled_weight(how.load(codes), scale, last, end));
        else if (is_signed)
            put(to + i, vf_pick_signed(weights, vq_load(codes, 4)));
        else
            put(to + i, vf_pick(weights, vq_load(codes, how.n_bits), how.n_bits));
    }
}

INLINE void scaled_columns(const scaled_run *run, scaled_codes how, size_t n, float *to, scaled_end end,
                           vf_put put) {
    const uint8_t *codes = run->codes;
    size_t group = 0, columns = run->left;
    if (how.usual > 0 && run->group == how.usual && run->left == how.usual)
        for (; n >= how.usual; n -= how.usual, to += how.usual, codes += how.usual / 8 * (size_t)how.n_bits)
            scaled_group(run, group++, how, codes, how.usual, to, end, put);
    for (; n > 0; columns = run->group) {
        columns = columns < n ? columns : n;
        scaled_group(run, group++, how, codes, columns, to, end, put);
        n -= columns;
        to += columns;
        codes += columns / 8 * (size_t)how.n_bits;
    }
}

/* A small float as a half has the same exponent bits, less the difference of the biases: E4M3 is 2^8 too small then, which
 * goes into its scales. */
#define E4M3_UNIT 0x1p8f

INLINE vw halves_of_e4m3(const void *from) { return vw_and(vw_shift_left(vw_load_signed(from), 7), 0xBF80); }

/* But for the NaNs. */
INLINE vf load_e4m3(const void *from) { return vf_from_halves(halves_of_e4m3(from)); }

/* Those are seven bits of ones; one more in the last place carries into a bit that no number has, and with it the exponent is
 * that of a NaN. */
INLINE vf load_any_e4m3(const void *from) {
    vw half = halves_of_e4m3(from);
    vw nan = vw_or(half, vw_and(vw_minus(half, -0x80), 0x4000));
    return vf_mul(vf_from_halves(nan), vf_set(E4M3_UNIT));
}

/* The upper half of an IEEE half. */
INLINE vf load_e5m2(const void *from) { return vf_from_halves(vw_shift_left(vw_load_bytes(from), 8)); }

INLINE vf load_u8(const void *from) { return vf_from_u8(vb_load(from)); }
INLINE vf load_five_bits(const void *from) { return vf_from_vq(vq_load(from, 5), 5); }
INLINE vf load_six_bits(const void *from) { return vf_from_vq(vq_load(from, 6), 6); }

/* All ways of unpacking: name, bits a code, usual group, how numbers are loaded, values. */
#define SCALED_WAYS(WAY)                                                                                          \
    WAY(f32, 32, 0, vf_load, NULL)                                                                                \
    WAY(i8, 8, 0, vf_load_i8, NULL)                                                                               \
    WAY(e4m3, 8, 32, load_e4m3, NULL)                                                                             \
    WAY(e5m2, 8, 0, load_e5m2, NULL)                                                                              \
    WAY(e2m1_of_16, 4, 16, NULL, scaled_values[3])                                                                \
    WAY(e2m1, 4, 32, NULL, scaled_values[3])                                                                      \
    WAY(two_bits, 2, 0, NULL, scaled_values[0])                                                                   \
    WAY(three_bits, 3, 0, NULL, scaled_values[1])                                                                 \
    WAY(four_bits, 4, 0, NULL, scaled_values[2])                                                                  \
    WAY(five_bits, 5, 0, load_five_bits, NULL)                                                                    \
    WAY(six_bits, 6, 0, load_six_bits, NULL)                                                                      \
    WAY(u8, 8, 0, load_u8, NULL)

typedef enum scaled_way {
#define WAY(name, ...) SCALED_##name,
    SCALED_WAYS(WAY)
#undef WAY
        N_SCALED_WAYS
} scaled_way;

/* What a back end has for rows in parts: its loops, into the caches and past them, and its decoders of blocks. */
typedef struct scaled_kernels {
    const scaled_loop (*loops[2])[N_SCALED_ENDS];
    const pye_decode_row *decode[2];
    pye_decode_row decode_e4m3; /* NaNs too; n is a multiple of 16 */
} scaled_kernels;

/* -------------------------------------------------------------------------- scales and biases */

INLINE float float_of_e8m0(const uint8_t *from) {
    uint32_t e = *from, is_special = ((e + 1) & 0xFE) == 0; /* 0, which is subnormal, and 255, NaN */
    return pye_float_from_bits(e << 23 | is_special << 22);
}

INLINE float float_of_e4m3(const uint8_t *from) { return pye_e4m3[*from]; }

INLINE float float_of_f32(const uint8_t *from) { return pye_float_from_bits(load_u32(from)); }
INLINE float float_of_f16(const uint8_t *from) { return load_half(from); }
INLINE float float_of_bf16(const uint8_t *from) { return pye_float_from_bits((uint32_t)load_u16(from) << 16); }

INLINE float float_of_f64(const uint8_t *from) {
    double value;
    memcpy(&value, from, sizeof value);
    return (float)value;
}

INLINE vf load_e8m0(const void *from) {
    float values[16];
    for (int i = 0; i < 16; i++)
        values[i] = float_of_e8m0((const uint8_t *)from + i);
    return vf_load(values);
}

/* Sixteen at a time as far as that goes: most runs have a multiple of 16 groups, or a few, which are not worth a loop in
 * vectors. */
INLINE void widen_as(const uint8_t *from, size_t n, size_t item_bytes, vf (*load)(const void *),
                     float (*one)(const uint8_t *), float *to) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        vf_store(to + i, load(from + i * item_bytes));
    for (; i < n; i++) {
        to[i] = one(from + i * item_bytes);
        KEEP_IN_MEMORY(to + i, 1);
    }
}

/* n numbers from number `first` on. */
static void widen_numbers(pye_number kind, const uint8_t *from, size_t first, size_t n, float *to) {
#define WIDEN(NAME, bytes, load, one)                                                                             \
    case PYE_NUMBER_##NAME:                                                                                       \
        widen_as(from + first * (bytes), n, bytes, load, one, to);                                                \
        return;
    switch (kind) {
        WIDEN(F32, 4, vf_load, float_of_f32)
        WIDEN(F16, 2, vf_load_half, float_of_f16)
        WIDEN(BF16, 2, vf_load_bfloat, float_of_bf16)
        WIDEN(F64, 8, vf_load_f64, float_of_f64)
        WIDEN(E8M0, 1, load_e8m0, float_of_e8m0)
        WIDEN(E4M3, 1, load_any_e4m3, float_of_e4m3)
    case PYE_NUMBER_NONE: /* then scales are 1, which changes nothing; biases are not looked at */
        for (size_t i = 0; i < n; i++)
            to[i] = 1;
        break;
    }
#undef WIDEN
}

/* -------------------------------------------------------------------------------------- rows */

static const uint16_t scaled_block_bytes[PYE_TYPE_IDS] = {
#define PYE_TYPE(id, NAME, name, n_weights, block_bytes, words, scales) [id] = (block_bytes),
#include "base/types.def"
#undef PYE_TYPE
};

static const uint16_t scaled_block_weights[PYE_TYPE_IDS] = {
#define PYE_TYPE(id, NAME, name, n_weights, block_bytes, words, scales) [id] = (n_weights),
#include "base/types.def"
#undef PYE_TYPE
};

/* x / group; nearly all groups are powers of two. */
INLINE size_t scaled_groups(size_t x, size_t group) {
    return (group & (group - 1)) == 0 ? x >> __builtin_ctzll(group) : x / group;
}

/* Bytes that n columns are in. */
INLINE size_t scaled_code_bytes(const pye_scaling *how, size_t n) {
    switch (how->code) {
    case PYE_CODE_BLOCKS:
        return scaled_groups(n, scaled_block_weights[how->type]) * scaled_block_bytes[how->type];
    case PYE_CODE_E2M1:
        return n / 2 + n % 2;
    case PYE_CODE_BITS:
        return n / 8 * how->n_bits + (n % 8 * how->n_bits + 7) / 8;
    default:
        return n;
    }
}

INLINE scaled_way scaled_way_of(const pye_scaling *how) {
    switch (how->code) {
    case PYE_CODE_BLOCKS:
        return how->type == PYE_TYPE_I8 ? SCALED_i8 : SCALED_f32;
    case PYE_CODE_E4M3:
        return SCALED_e4m3;
    case PYE_CODE_E5M2:
        return SCALED_e5m2;
    case PYE_CODE_E2M1:
        return how->group == 16 ? SCALED_e2m1_of_16 : SCALED_e2m1;
    case PYE_CODE_BITS:
        break;
    }
    return how->n_bits == 8 ? SCALED_u8 : (scaled_way)(SCALED_two_bits + how->n_bits - 2);
}

INLINE scaled_end scaled_end_of(const pye_scaling *how) {
    if (how->biases != PYE_NUMBER_NONE)
        return PLUS_BIAS;
    if (how->factor_kind == PYE_FACTOR_NONE)
        return PLUS_NOTHING;
    return how->factor_kind == PYE_FACTOR_MULTIPLIES ? TIMES_FACTOR : OVER_FACTOR;
}

/* Multiplies scales by the unit of E4M3; false if one leaves the range of floats, or is out of it. */
INLINE bool raise_scales(float *scales, size_t n) {
    size_t i = 0;
    vf zero = vf_set(0), sum = zero, unit = vf_set(E4M3_UNIT);
    for (; i + 16 <= n; i += 16) {
        vf raised = vf_mul(vf_load(scales + i), unit);
        vf_store(scales + i, raised);
        sum = vf_add(sum, vf_mul(raised, zero)); /* a zero, or else no number */
    }
    float rest = i > 0 ? vf_sum(sum) : 0;
    for (; i < n; i++) {
        scales[i] *= E4M3_UNIT;
        rest += scales[i] * 0;
        KEEP_IN_MEMORY(scales + i, 1);
    }
    return rest == 0;
}

/* The groups of n columns from `first` on, or of as many of those as SCALED_GROUPS groups have. Returns how many columns. */
static size_t enter_groups(const pye_scaling *how, const uint8_t *const parts[PYE_N_PARTS], size_t first, size_t n,
                           scaled_run *run) {
    size_t group = how->group - 1 < SIZE_MAX / 2 ? (size_t)how->group : 0, index = 0, more = 0;
    run->left = SIZE_MAX;
    if (group > 0) {
        index = scaled_groups(first, group);
        run->left = group - (first - index * group);
        more = n > run->left ? scaled_groups(n - run->left - 1, group) + 1 : 0;
        if (more >= SCALED_GROUPS) {
            more = SCALED_GROUPS - 1;
            n = run->left + more * group;
        }
    }
    run->group = group;
    run->n_groups = 1 + more;
    widen_numbers(how->scales, parts[PYE_SCALES], index, run->n_groups, run->scales);
    if (how->biases != PYE_NUMBER_NONE)
        widen_numbers(how->biases, parts[PYE_BIASES], index, run->n_groups, run->biases);
    return n;
}

/* True if one of n E4M3 codes, a multiple of 16, is a NaN: seven bits of ones, and one more makes eight. */
INLINE bool has_e4m3_nan(const uint8_t *codes, size_t n) {
    _Alignas(32) uint64_t words[4];
    vw found = vw_load_bytes(codes); /* sixteen, with zeros between them */
    found = vw_minus_bytes(vw_and(found, 0x7F7F), -1);
    for (size_t i = n % 32; i < n; i += 32)
        found = vw_or(found, vw_minus_bytes(vw_and(vw_load(codes + i), 0x7F7F), -1));
    vw_store(words, found);
    return ((words[0] | words[1] | words[2] | words[3]) & UINT64_C(0x8080808080808080)) != 0;
}

/* Of the n columns from `first` on, a multiple of 16 whose codes are at `codes`, as many as one run can be. Returns how
 * many. */
static size_t scaled_piece(const pye_scaling *how, const uint8_t *const parts[PYE_N_PARTS], const uint8_t *codes,
                           size_t first, size_t n, float *to, bool past_caches, const scaled_kernels *kernels) {
    _Alignas(PYE_LINE_BYTES) float decoded[SCALED_COLUMNS];
    scaled_run run;
    scaled_way way = scaled_way_of(how);
    pye_decode_row decode_first = NULL;
    if (way == SCALED_e4m3 && n > SCALED_LOOKED_AT)
        n = SCALED_LOOKED_AT;
    n = enter_groups(how, parts, first, n, &run);
    run.codes = codes;
    run.factor = how->factor;
    if (way == SCALED_e4m3) {
        if (!raise_scales(run.scales, run.n_groups) || has_e4m3_nan(codes, n)) {
            decode_first = kernels->decode_e4m3;
            n = enter_groups(how, parts, first, n, &run);
        }
    } else if (way == SCALED_f32 && how->type != PYE_TYPE_F32) {
        decode_first = kernels->decode[0][how->type];
    }
    if (decode_first != NULL) {
        n = n < SCALED_COLUMNS ? n : SCALED_COLUMNS;
        decode_first(codes, decoded, n);
        run.codes = (const uint8_t *)decoded;
        way = SCALED_f32;
    }
    kernels->loops[past_caches][way][scaled_end_of(how)](&run, n, to);
    return n;
}

/* The last columns, fewer than 16, go through padded copies, so that no load and no store leaves the row. */
INLINE void scaled_row(const pye_scaling *how, const uint8_t *const parts[PYE_N_PARTS], size_t first, size_t n,
                       float *to, bool past_caches, const scaled_kernels *kernels) {
    const uint8_t *codes = parts[PYE_CODES];
    if (how->code == PYE_CODE_BLOCKS && how->scales == PYE_NUMBER_NONE && how->biases == PYE_NUMBER_NONE &&
        how->factor_kind == PYE_FACTOR_NONE) {
        kernels->decode[past_caches][how->type](codes + scaled_code_bytes(how, first), to, n);
        return;
    }
    size_t end = first + n, whole = end - n % 16;
    while (first < whole) {
        size_t done = scaled_piece(how, parts, codes + scaled_code_bytes(how, first), first, whole - first, to,
                                   past_caches, kernels);
        first += done;
        to += done;
    }
    if (first < end) {
        uint8_t padded[16 * SCALED_MOST_BYTES] = {0};
        float weights[16];
        memcpy(padded, codes + scaled_code_bytes(how, first), scaled_code_bytes(how, end - first));
        scaled_piece(how, parts, padded, first, 16, weights, false, kernels);
        memcpy(to, weights, (end - first) * sizeof *to);
    }
}
