/* What the laws of a vocabulary's order are judged by, against a search for each text. The input: a byte of choices, the
 * number of tokens in a byte, and strings, each after its length in a byte: first the tokens, then merges. A merge of two
 * bytes stands for the tokens of these numbers, so that products are met with. */
#include "writer.h"

enum { MAX_STRINGS = 192, LONG_TEXT = 4 };

/* Bits of the first byte. */
enum {
    LONG_FIRST = 1, /* the first token is itself, four times over */
    HAS_SCORES = 2,
    FEW_NUMBERS = 4,  /* one score or type less than there are tokens */
    ODD_MERGES = 8,   /* merges are no strings, or another number than asked for */
    NO_TOKENS = 16,   /* nothing is asked of the tokens */
    NO_MERGES = 32,   /* nor of the merges */
    HALF_MERGES = 64, /* of which all or nothing can be asked */
    NO_SPLITS = 128
};

typedef struct vocabulary {
    uint8_t choices;
    pye_string tokens[MAX_STRINGS], merges[MAX_STRINGS];
    size_t n_tokens, n_merges;
    char first[LONG_TEXT * 256];
    char room[MAX_STRINGS][512];
    pye_token_facts facts[MAX_STRINGS];
    pye_token_splits splits[MAX_STRINGS];
    uint32_t products[MAX_STRINGS], first_merges[MAX_STRINGS];
    uint64_t n_first_merges;
    uint8_t merge_flags[MAX_STRINGS];
} vocabulary;

static pye_string join(char *to, pye_string a, const char *between, pye_string b) {
    size_t n = strlen(between);
    if (a.size > 0)
        memcpy(to, a.data, a.size);
    memcpy(to + a.size, between, n);
    if (b.size > 0)
        memcpy(to + a.size + n, b.data, b.size);
    return (pye_string){to, a.size + n + b.size};
}

static void read_input(vocabulary *it, const uint8_t *data, size_t size) {
    it->choices = data[0];
    size_t n = fuzz_split(data + 2, size - 2, it->tokens, MAX_STRINGS);
    it->n_tokens = data[1] % (n + 1);
    it->n_merges = n - it->n_tokens;
    memcpy(it->merges, it->tokens + it->n_tokens, it->n_merges * sizeof *it->merges);
    for (size_t i = 0; i < it->n_merges && it->n_tokens > 0; i++) {
        const uint8_t *pair = (const uint8_t *)it->merges[i].data;
        if (it->merges[i].size == 2)
            it->merges[i] =
                join(it->room[i], it->tokens[pair[0] % it->n_tokens], " ", it->tokens[pair[1] % it->n_tokens]);
    }
    if ((it->choices & LONG_FIRST) != 0 && it->n_tokens > 0) {
        pye_string one = it->tokens[0];
        for (size_t i = 0; i < LONG_TEXT && one.size > 0; i++)
            memcpy(it->first + i * one.size, one.data, one.size);
        it->tokens[0] = (pye_string){it->first, LONG_TEXT * one.size};
    }
}

static void write_model(const vocabulary *it, char path[FUZZ_PATH_BYTES]) {
    size_t n_numbers = it->n_tokens - ((it->choices & FEW_NUMBERS) != 0 && it->n_tokens > 0);
    fuzz_writer file = {0};
    fuzz_put_start(&file, 0, (it->choices & HAS_SCORES) != 0 ? 4 : 2);
    fuzz_put_strings(&file, "tokenizer.ggml.tokens", it->tokens, it->n_tokens);
    if ((it->choices & ODD_MERGES) != 0 && it->n_merges % 2 == 0) {
        fuzz_put_array(&file, "tokenizer.ggml.merges", PYE_VALUE_U8, it->n_merges);
        for (size_t i = 0; i < it->n_merges; i++)
            fuzz_put_number(&file, i, 1);
    } else {
        fuzz_put_strings(&file, "tokenizer.ggml.merges", it->merges, it->n_merges);
    }
    if ((it->choices & HAS_SCORES) != 0) {
        fuzz_put_array(&file, "tokenizer.ggml.scores", PYE_VALUE_F32, n_numbers);
        for (size_t i = 0; i < n_numbers; i++)
            fuzz_put_number(&file, 0x7F800000u + 7 * i, 4);
        fuzz_put_array(&file, "tokenizer.ggml.token_type", PYE_VALUE_I32, n_numbers);
        for (size_t i = 0; i < n_numbers; i++)
            fuzz_put_number(&file, i - 1, 4);
    }
    fuzz_save(&file, path, "l.gguf");
}

/* ------------------------------------------------------------------------------------------- texts */

/* The code point at `at`, and the place behind it; false where it is malformed. Written apart from base/utf8.h. */
static bool read_code_point(pye_string text, size_t *at, uint32_t *code_point) {
    const uint8_t *bytes = (const uint8_t *)text.data + *at;
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    size_t left = text.size - *at;
    size_t more = bytes[0] < 0x80       ? 0
                  : bytes[0] >> 5 == 6  ? 1
                  : bytes[0] >> 4 == 14 ? 2
                  : bytes[0] >> 3 == 30 ? 3
                                        : 4;
    if (more == 4 || more >= left)
        return false;
    uint32_t value = more == 0 ? bytes[0] : bytes[0] & (0x3Fu >> more);
    for (size_t i = 1; i <= more; i++) {
        if (bytes[i] >> 6 != 2)
            return false;
        value = value << 6 | (bytes[i] & 0x3Fu);
    }
    *code_point = value;
    *at += more + 1;
    return value >= least[more] && value <= 0x10FFFF && value >> 11 != 0xD800 >> 11;
}

static bool is_byte_token(pye_string text, uint32_t *byte) {
    static const char digits[] = "0123456789ABCDEFabcdef";
    if (text.size != 6 || memcmp(text.data, "<0x", 3) != 0 || text.data[5] != '>')
        return false;
    char hex[3] = {text.data[3], text.data[4], 0};
    *byte = (uint32_t)strtoul(hex, NULL, 16);
    return hex[0] != 0 && hex[1] != 0 && strchr(digits, hex[0]) != NULL && strchr(digits, hex[1]) != NULL;
}

/* Those flags that do not depend on words, each worked out by itself. */
static uint32_t flags_of(pye_string text) {
    uint32_t flags = text.size == 0 ? PYE_TEXT_EMPTY : 0, first = 0, byte;
    bool alphabet = true, repeated = true;
    for (size_t at = 0, n = 0; at < text.size; n++) {
        uint32_t c;
        if (!read_code_point(text, &at, &c))
            return PYE_TEXT_NOT_UTF8 | (memchr(text.data, 0, text.size) != NULL ? PYE_TEXT_NUL : 0u);
        first = n == 0 ? c : first;
        repeated = repeated && c == first;
        alphabet = alphabet && ((c >= 0x21 && c <= 0x7E) || (c >= 0xA1 && c <= 0x143 && c != 0xAD));
        flags |= c == 0 ? (uint32_t)PYE_TEXT_NUL : 0u;
    }
    if (text.size == 0)
        return flags;
    flags |= (alphabet ? (uint32_t)PYE_TEXT_ALPHABET : 0u) | (repeated ? (uint32_t)PYE_TEXT_REPEATED : 0u);
    char last = text.data[text.size - 1];
    if (first == 0x2581)
        return flags | PYE_TEXT_MARK;
    if (text.size > 2 && ((first == '<' && last == '>') || (first == '[' && last == ']')))
        flags |= PYE_TEXT_BRACKETED;
    return is_byte_token(text, &byte) ? flags | PYE_TEXT_BYTE : flags;
}

static void check_token(const vocabulary *it, size_t id) {
    static const uint32_t of_words = PYE_TEXT_PAD | PYE_TEXT_UNUSED | PYE_TEXT_RESERVED;
    const pye_token_facts *facts = &it->facts[id];
    pye_string text = it->tokens[id];
    uint32_t flags = flags_of(text), byte, n = 0, c, second = 0;
    /* Of malformed texts brackets are looked at too. */
    uint32_t compared = (flags & PYE_TEXT_NOT_UTF8) != 0 ? (uint32_t)PYE_TEXT_NOT_UTF8 | PYE_TEXT_NUL : ~of_words;
    fuzz_require(((facts->flags ^ flags) & compared) == 0, "a text has its flags");
    fuzz_require((facts->flags & PYE_TEXT_BYTE) == 0 || (is_byte_token(text, &byte) && facts->number == byte),
                 "a byte token has its byte");
    fuzz_require(facts->first_id == fuzz_search(it->tokens, it->n_tokens, text), "the first of equal texts");
    if ((flags & PYE_TEXT_NOT_UTF8) != 0) {
        fuzz_require(facts->n_code_points == text.size && facts->code_point == 0, "what is malformed is bytes");
        return;
    }
    uint32_t first = 0;
    for (size_t at = 0; at < text.size && read_code_point(text, &at, &c); n++) {
        first = n == 0 ? c : first;
        second = n == 1 ? c : second;
    }
    fuzz_require(facts->n_code_points == n, "code points are counted");
    fuzz_require(facts->code_point == (first == 0x2581 && n > 1 ? second : first), "the first code point");
}

/* ------------------------------------------------------------------------------- merges and splits */

static uint32_t id_of(const vocabulary *it, pye_string text) {
    size_t id = fuzz_search(it->tokens, it->n_tokens, text);
    return id == it->n_tokens ? PYE_NO_TOKEN : (uint32_t)id;
}

static void check_merge(const vocabulary *it, size_t i) {
    char room[512];
    pye_string merge = it->merges[i];
    uint32_t left_id = PYE_NO_TOKEN, right_id = PYE_NO_TOKEN, product = PYE_NO_TOKEN;
    size_t at = 1;
    while (at < merge.size && merge.data[at] != ' ')
        at++;
    if (at < merge.size) {
        pye_string left = {merge.data, at}, right = {merge.data + at + 1, merge.size - at - 1};
        left_id = id_of(it, left);
        right_id = id_of(it, right);
        product = id_of(it, join(room, left, "", right));
    }
    unsigned flags = (left_id == PYE_NO_TOKEN ? PYE_MERGE_LEFT_UNKNOWN : 0u) |
                     (right_id == PYE_NO_TOKEN ? PYE_MERGE_RIGHT_UNKNOWN : 0u) |
                     (product == PYE_NO_TOKEN ? PYE_MERGE_PRODUCT_UNKNOWN : 0u);
    if (flags == 0 && (left_id >= product || right_id >= product))
        flags = PYE_MERGE_LATE;
    fuzz_require(it->products[i] == product && it->merge_flags[i] == flags, "a merge has its product and flags");
}

static void check_first_merges(const vocabulary *it) {
    size_t n = 0;
    for (size_t i = 0; i < it->n_merges; i++) {
        bool is_first = it->products[i] != PYE_NO_TOKEN;
        for (size_t k = 0; k < i; k++)
            is_first = is_first && it->products[k] != it->products[i];
        if (is_first)
            fuzz_require(n < it->n_first_merges && it->first_merges[n++] == i, "the first merges, ascending");
    }
    fuzz_require(n == it->n_first_merges, "and no more");
}

static bool is_sooner(pye_string half, uint32_t half_id, size_t id) {
    size_t at = 0;
    uint32_t c;
    return half_id < id || (half.size > 0 && read_code_point(half, &at, &c) && at == half.size);
}

static void check_splits(const vocabulary *it, size_t id) {
    pye_string text = it->tokens[id];
    pye_token_splits expected = {0, 0};
    uint32_t c;
    if (text.size > PYE_MAX_SPLIT_BYTES || (flags_of(text) & PYE_TEXT_NOT_UTF8) != 0)
        expected = (pye_token_splits){PYE_NO_TOKEN, PYE_NO_TOKEN};
    else
        for (size_t at = 0; at < text.size && read_code_point(text, &at, &c) && at < text.size;) {
            pye_string left = {text.data, at}, right = {text.data + at, text.size - at};
            uint32_t left_id = id_of(it, left);
            uint32_t right_id = left_id == PYE_NO_TOKEN ? PYE_NO_TOKEN : id_of(it, right);
            if (right_id == PYE_NO_TOKEN)
                continue;
            expected.n++;
            expected.n_sooner += is_sooner(left, left_id, id) && is_sooner(right, right_id, id);
        }
    fuzz_require(memcmp(&it->splits[id], &expected, sizeof expected) == 0, "a token has its cuts");
}

/* ---------------------------------------------------------------------------------------- a run */

static void examine(vocabulary *it, const pye_vocabulary *opened) {
    bool odd = (it->choices & ODD_MERGES) != 0, half = (it->choices & HALF_MERGES) != 0;
    bool wanted = (it->choices & NO_MERGES) == 0;
    pye_vocabulary_facts facts = {.struct_bytes = sizeof facts,
                                  .tokens = (it->choices & NO_TOKENS) != 0 ? NULL : it->facts,
                                  .splits = (it->choices & NO_SPLITS) != 0 ? NULL : it->splits,
                                  .n_merges = it->n_merges + (odd && it->n_merges % 2 != 0 ? 1 : 0)};
    /* As many as there are tokens or merges, and not one more. */
    size_t n_firsts = it->n_tokens < it->n_merges ? it->n_tokens : it->n_merges;
    uint32_t *first_merges = malloc(n_firsts * sizeof *first_merges + 1);
    fuzz_require(first_merges != NULL, "there is memory");
    if (wanted) {
        facts.products = it->products;
        facts.merge_flags = it->merge_flags;
        facts.first_merges = half ? NULL : first_merges;
        facts.n_first_merges = &it->n_first_merges;
    }
    pye_error error = {0};
    pye_status status = pye_vocabulary_examine(opened, &facts, &error);
    bool is_refused = wanted && (half || (odd && it->n_merges > 0));
    fuzz_require(status == (is_refused ? PYE_ERROR_ARGUMENT : PYE_OK) && error.status == status,
                 "examined, or not");
    if (status == PYE_OK && wanted)
        memcpy(it->first_merges, first_merges, n_firsts * sizeof *first_merges);
    free(first_merges);
    if (status != PYE_OK)
        return;
    for (size_t i = 0; i < it->n_tokens; i++) {
        if (facts.tokens != NULL)
            check_token(it, i);
        if (facts.splits != NULL)
            check_splits(it, i);
    }
    for (size_t i = 0; i < it->n_merges && wanted; i++)
        check_merge(it, i);
    if (wanted)
        check_first_merges(it);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static vocabulary it; /* too large for a stack */
    char path[FUZZ_PATH_BYTES];
    pye_model *model;
    pye_vocabulary *opened;
    if (size < 2)
        return 0;
    read_input(&it, data, size);
    write_model(&it, path);
    fuzz_require(pye_model_open(path, NULL, &model, NULL) == PYE_OK, "a list of tokens is a model");
    bool has_few = (it.choices & HAS_SCORES) != 0 && (it.choices & FEW_NUMBERS) != 0 && it.n_tokens > 0;
    pye_status status = pye_vocabulary_open(model, &opened, NULL);
    fuzz_require(status == (has_few ? PYE_ERROR_VOCABULARY : PYE_OK), "a vocabulary opens if it has all numbers");
    pye_model_close(model);
    if (status == PYE_OK) {
        examine(&it, opened);
        pye_vocabulary_close(opened);
    }
    return 0;
}
