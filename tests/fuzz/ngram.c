/* The input describes the constants of hashed rows, and then streams of ids: either the description is refused, or all names
 * are what the formulas make of whole sequences, however these are cut. The input, by bytes: scheme, n-grams, heads, layers,
 * tokens (two), mapped ids, stand-in, choices, what is asked for, sequences;
 * then a byte for each number of the description, which chooses one or takes the next eight bytes; lengths, kept ids, ids. */
#include <stdlib.h>
#include <string.h>

#include "harness.h"

enum { MAX_SEQUENCES = 8, MAX_IDS = 128, MAX_KEPT = PYE_NGRAM_MAX_SIZE - 1, EVERY = 0xFF };

/* Bits of the choices. */
enum { HAS_OFFSETS = 1, HAS_MULTIPLIERS = 2, HAS_MAP = 4, WRONG_IDS = 8, MANY_THREADS = 16 };

typedef struct input {
    const uint8_t *data;
    size_t size;
} input;

static uint8_t next(input *in) {
    if (in->size == 0)
        return 0;
    in->size--;
    return *in->data++;
}

static uint64_t next_word(input *in) {
    uint64_t word = 0;
    for (int i = 0; i < 8; i++)
        word = word << 8 | next(in);
    return word;
}

/* Primes and others, next to all that counts. */
static const uint64_t moduli[] = {2,
                                  3,
                                  5,
                                  101,
                                  65537,
                                  20000003,
                                  2147483647,
                                  4294967291,
                                  4294967311,
                                  1099511627689,
                                  576460752303423433,
                                  UINT64_C(9223372036854775783),
                                  UINT64_C(18446744073709551557),
                                  1,
                                  4,
                                  561,
                                  3215031751};
enum { N_MODULI = sizeof moduli / sizeof *moduli };

typedef struct problem {
    pye_ngram_description given;
    uint64_t *multipliers, *moduli, *offsets;
    uint32_t *token_map;
    size_t n_columns, n_kept, n_ids, n_sequences;
    uint64_t ends[MAX_SEQUENCES + 1];
    int64_t histories[MAX_SEQUENCES * MAX_KEPT];
    int64_t ids[MAX_IDS];
} problem;

static uint64_t choose_modulus(input *in) {
    uint8_t choice = next(in);
    return choice == EVERY ? next_word(in) : moduli[choice % N_MODULI];
}

static uint64_t choose_multiplier(input *in, uint64_t n_hashed) {
    uint8_t choice = next(in);
    uint64_t largest = n_hashed == 0 ? INT64_MAX : INT64_MAX / n_hashed;
    return choice == EVERY ? next_word(in) : choice > 0xF0 ? (largest - 1) | 1 : 2 * (uint64_t)choice + 1;
}

static bool is_whole(const pye_ngram_description *given) {
    return given->max_size >= 2 && given->max_size <= PYE_NGRAM_MAX_SIZE && given->n_heads >= 1 &&
           given->n_heads <= PYE_NGRAM_MAX_HEADS && given->n_layers >= 1 &&
           given->n_layers <= PYE_NGRAM_MAX_LAYERS;
}

static void *array(size_t n, size_t n_bytes) {
    void *memory = calloc(n + 1, n_bytes);
    fuzz_require(memory != NULL, "there is memory");
    return memory;
}

/* The arrays are as long as the counts say, if these can be right. */
static void fill_arrays(problem *it, input *in, uint8_t choices) {
    pye_ngram_description *given = &it->given;
    it->n_columns = is_whole(given) ? (size_t)(given->max_size - 1) * given->n_heads : 0;
    it->n_kept = is_whole(given) ? given->max_size - 1 : 0;
    size_t n_layers = is_whole(given) ? given->n_layers : 0, n = n_layers * it->n_columns;
    uint64_t n_hashed = (choices & HAS_MAP) != 0 ? given->n_compressed : given->n_vocab;
    it->moduli = array(n, sizeof *it->moduli);
    it->offsets = array(n, sizeof *it->offsets);
    it->multipliers = array(n_layers * (it->n_kept + 1), sizeof *it->multipliers);
    it->token_map = array((size_t)given->n_vocab, sizeof *it->token_map);
    for (size_t i = 0; i < n; i++) {
        it->moduli[i] = choose_modulus(in);
        uint64_t before =
            i % (it->n_columns ? it->n_columns : 1) == 0 ? 0 : it->offsets[i - 1] + it->moduli[i - 1];
        uint8_t choice = next(in);
        it->offsets[i] = choice == EVERY ? next_word(in) : before + choice % 4;
    }
    for (size_t i = 0; i < n_layers * (it->n_kept + 1); i++)
        it->multipliers[i] = choose_multiplier(in, n_hashed);
    for (size_t i = 0; i < given->n_vocab; i++) {
        uint8_t choice = next(in);
        it->token_map[i] = choice == EVERY ? PYE_NGRAM_DEAD : (uint32_t)(choice % (given->n_compressed + 1));
    }
    given->moduli = it->moduli;
    given->offsets = (choices & HAS_OFFSETS) != 0 ? it->offsets : NULL;
    given->multipliers = (choices & HAS_MULTIPLIERS) != 0 ? it->multipliers : NULL;
    given->token_map = (choices & HAS_MAP) != 0 ? it->token_map : NULL;
}

static void fill_sequences(problem *it, input *in, size_t n_sequences) {
    it->n_sequences = n_sequences;
    for (size_t i = 0; i < n_sequences; i++) {
        size_t length = next(in) % (MAX_IDS / MAX_SEQUENCES);
        it->ends[i + 1] = it->ends[i] + length;
    }
    it->n_ids = (size_t)it->ends[n_sequences];
    for (size_t i = 0; i < n_sequences; i++) {
        size_t n_known = it->n_kept == 0 ? 0 : next(in) % (it->n_kept + 1);
        for (size_t k = 0; k < it->n_kept; k++)
            it->histories[i * it->n_kept + k] =
                k < it->n_kept - n_known ? -1 : (int64_t)(next(in) % (it->given.n_vocab ? it->given.n_vocab : 1));
    }
}

/* -------------------------------------------------------------------------------------- the formulas */

/* What is hashed of the token `back` places before number i of a sequence; UINT64_MAX if none is there, or it is dead. */
static uint64_t number_at(const problem *it, size_t sequence, size_t i, size_t back) {
    uint64_t start = it->ends[sequence];
    int64_t id = -1;
    if (i >= start + back)
        id = it->ids[i - back];
    else if (start + back - i <= it->n_kept && it->given.max_size > 0)
        id = it->histories[sequence * it->n_kept + it->n_kept - (size_t)(start + back - i)];
    if (id == -1)
        return UINT64_MAX;
    if (it->given.token_map == NULL)
        return (uint64_t)id;
    return it->token_map[id] == PYE_NGRAM_DEAD ? UINT64_MAX : it->token_map[id];
}

static uint64_t name_of(const problem *it, size_t layer, size_t sequence, size_t i, size_t column) {
    const pye_ngram_description *given = &it->given;
    size_t at = layer * it->n_columns + column, last = column / given->n_heads + 1;
    uint64_t mix = 0, power = 1;
    bool is_cut = false;
    for (size_t back = 0; back <= last; back++) {
        uint64_t number = number_at(it, sequence, i, back);
        bool ends = given->scheme == PYE_NGRAM_PLE && back > 0 && number == given->stand_in;
        is_cut = is_cut || number == UINT64_MAX || ends;
        if (is_cut)
            number = given->scheme == PYE_NGRAM_LONGCAT ? 0 : given->stand_in;
        if (given->scheme == PYE_NGRAM_LONGCAT) {
            mix = (mix + number * power) % it->moduli[at];
            power = power * given->n_vocab % it->moduli[at];
        } else {
            mix ^= number * it->multipliers[layer * given->max_size + back];
        }
    }
    uint64_t offset = 0;
    for (size_t c = 0; c < column && given->scheme != PYE_NGRAM_LONGCAT; c++)
        offset += it->moduli[layer * it->n_columns + c];
    return mix % it->moduli[at] + (given->offsets != NULL ? it->offsets[at] : offset);
}

static void check_names(const problem *it, const pye_ngram *ngram, size_t layer, bool has_threads) {
    int64_t *names = array(it->n_ids * it->n_columns, sizeof *names);
    pye_ngram_options options = {.struct_bytes = sizeof options,
                                 .id_type = PYE_ID_I64,
                                 .offsets = it->ends,
                                 .n_sequences = it->n_sequences,
                                 .histories = it->histories,
                                 .n_threads = has_threads ? 2 : 1};
    fuzz_require(pye_ngram_rows(ngram, layer, it->ids, it->n_ids, names, &options, NULL) == PYE_OK,
                 "tokens have names");
    for (size_t sequence = 0; sequence < it->n_sequences; sequence++)
        for (size_t i = it->ends[sequence]; i < it->ends[sequence + 1]; i++)
            for (size_t c = 0; c < it->n_columns; c++)
                fuzz_require((uint64_t)names[i * it->n_columns + c] == name_of(it, layer, sequence, i, c),
                             "a name is what the formula makes of a whole sequence");
    free(names);
}

/* An id that is not a token is found before anything is written. */
static void check_refusal(problem *it, const pye_ngram *ngram, size_t layer, size_t which) {
    int64_t *names = array(it->n_ids * it->n_columns, sizeof *names), before = it->ids[which];
    pye_ngram_options options = {.struct_bytes = sizeof options, .id_type = PYE_ID_I64};
    pye_error error;
    it->ids[which] = which % 2 == 0 ? -1 : (int64_t)it->given.n_vocab;
    fuzz_require(pye_ngram_rows(ngram, layer, it->ids, it->n_ids, names, &options, &error) == PYE_ERROR_ID &&
                     error.offset == which && names[0] == 0,
                 "an id outside the vocabulary is named, and nothing is written");
    it->ids[which] = before;
    free(names);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    input in = {data, size};
    problem it = {.given = {.struct_bytes = sizeof it.given}};
    pye_ngram_description *given = &it.given;
    given->scheme = next(&in) % 4;
    given->max_size = next(&in) % 10;
    given->n_heads = next(&in) % 66;
    given->n_layers = next(&in) % 4;
    given->n_vocab = (uint64_t)next(&in) << 8 | next(&in);
    given->n_compressed = next(&in);
    given->stand_in = next(&in);
    uint8_t choices = next(&in), asked = next(&in);
    size_t n_sequences = next(&in) % (MAX_SEQUENCES + 1);
    fill_arrays(&it, &in, choices);
    fill_sequences(&it, &in, n_sequences);
    pye_ngram *ngram = NULL;
    pye_error error;
    if (pye_ngram_open(given, &ngram, &error) == PYE_OK) {
        for (size_t i = 0; i < it.n_ids; i++)
            it.ids[i] = (int64_t)(next(&in) % given->n_vocab);
        fuzz_require(pye_ngram_n_columns(ngram) == it.n_columns, "there are as many columns as heads make");
        check_names(&it, ngram, asked % given->n_layers, (choices & MANY_THREADS) != 0);
        if ((choices & WRONG_IDS) != 0 && it.n_ids > 0)
            check_refusal(&it, ngram, asked % given->n_layers, asked % it.n_ids);
        pye_ngram_close(ngram);
    } else {
        fuzz_require(error.message[0] != '\0', "what is refused is explained");
    }
    free(it.multipliers);
    free(it.moduli);
    free(it.offsets);
    free(it.token_map);
    return 0;
}
