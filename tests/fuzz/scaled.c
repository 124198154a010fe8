/* Rows whose codes, scales and biases lie apart: every back end that runs here against the portable one, bit for bit. The
 * input: eight bytes that choose how the row is stored, two for its width, four for the factor; then the parts, codes first.
 * What the input is too short for is zeros. */
#include <stdlib.h>
#include <string.h>

#include "back_ends.h"
#include "harness.h"

enum { CHOICES = 14, MAX_COLUMNS = 2000, CANARY_BYTES = 64 };

#define CANARY 0x5A

static const size_t number_bytes[] = {0, 4, 2, 2, 8, 1, 1};

static size_t code_bytes(const pye_scaling *how, const pye_type_info *type, size_t n) {
    switch (how->code) {
    case PYE_CODE_BLOCKS:
        return pye_type_bytes(type, n);
    case PYE_CODE_E2M1:
        return (n + 1) / 2;
    case PYE_CODE_BITS:
        return (n * how->n_bits + 7) / 8;
    default:
        return n;
    }
}

static pye_scaling chosen(const uint8_t choices[CHOICES], pye_type_info *type) {
    static const uint32_t n_bits[] = {2, 3, 4, 5, 6, 8};
    static const uint64_t groups[] = {0, 16, 32, 48, 64, 128, 512, UINT64_C(1) << 60};
    static const pye_number biases[] = {PYE_NUMBER_NONE, PYE_NUMBER_F32, PYE_NUMBER_F16, PYE_NUMBER_BF16};
    pye_scaling how = {(pye_code)(choices[0] % 5), 0, n_bits[choices[2] % 6], (pye_number)(choices[3] % 7),
                       biases[choices[4] % 4],     0, PYE_FACTOR_NONE,        0};
    (void)pye_type_at(choices[1] % pye_n_types(), type, NULL);
    how.type = type->id;
    how.group = groups[choices[5] % 8];
    /* Neither comes without scales, and not both. */
    if (how.scales == PYE_NUMBER_NONE)
        how.biases = PYE_NUMBER_NONE;
    else if (how.biases == PYE_NUMBER_NONE)
        how.factor_kind = (pye_factor)(choices[6] % 3);
    memcpy(&how.factor, choices + 10, sizeof how.factor);
    return how;
}

/* Memory of just n_bytes, so that a sanitizer sees one byte too many; it begins `shift` bytes behind an aligned address. */
static uint8_t *part(size_t n_bytes, size_t shift, const uint8_t **data, size_t *size) {
    uint8_t *made = calloc(1, shift + n_bytes);
    fuzz_require(made != NULL, "there is memory");
    size_t n = n_bytes < *size ? n_bytes : *size;
    if (n > 0)
        memcpy(made + shift, *data, n);
    *data += n;
    *size -= n;
    return made;
}

static void compare(const pye_kernels *kernels, const pye_scaling *how, const uint8_t *const parts[PYE_N_PARTS],
                    size_t n, const float *expected) {
    uint8_t *got = malloc(1 + 4 * n + CANARY_BYTES), *memory = malloc(PYE_LINE_BYTES + 4 * n);
    fuzz_require(got != NULL && memory != NULL, "there is memory");
    memset(got, CANARY, 1 + 4 * n + CANARY_BYTES);
    kernels->decode_scaled(how, parts, 0, n, (float *)(void *)(got + 1));
    fuzz_require_alike(got + 1, (const uint8_t *)expected, n, "back ends decode alike");
    for (size_t i = 0; i < CANARY_BYTES; i++)
        fuzz_require(got[1 + 4 * n + i] == CANARY, "a decoder keeps to its row");
    for (size_t first = 0; first < n; first += 256)
        kernels->decode_scaled(how, parts, first, n - first < 256 ? n - first : 256,
                               (float *)(void *)(got + 1 + 4 * first));
    fuzz_require_alike(got + 1, (const uint8_t *)expected, n, "rows are the same in steps");
    uint8_t *aligned = memory + PYE_LINE_BYTES - (uintptr_t)memory % PYE_LINE_BYTES;
    kernels->stream_scaled(how, parts, 0, n, (float *)(void *)aligned);
    kernels->fence();
    fuzz_require_alike(aligned, (const uint8_t *)expected, n, "rows are the same past the caches");
    free(got);
    free(memory);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    uint8_t choices[CHOICES] = {0};
    pye_type_info type;
    memcpy(choices, data, size < CHOICES ? size : CHOICES);
    pye_scaling how = chosen(choices, &type);
    size_t n = 1 + (choices[8] + 256u * choices[9]) % MAX_COLUMNS, shift = choices[7] % 16;
    if (how.code == PYE_CODE_BLOCKS)
        n = (n + type.n_weights - 1) / type.n_weights * type.n_weights;
    data += size < CHOICES ? size : CHOICES;
    size -= size < CHOICES ? size : CHOICES;
    size_t n_groups = how.group == 0 ? 1 : (size_t)((n - 1) / how.group) + 1;
    uint8_t *made[PYE_N_PARTS] = {part(code_bytes(&how, &type, n), shift, &data, &size),
                                  part(n_groups * number_bytes[how.scales], shift, &data, &size),
                                  part(n_groups * number_bytes[how.biases], shift, &data, &size)};
    const uint8_t *parts[PYE_N_PARTS] = {made[0] + shift, made[1] + shift, made[2] + shift};
    float *expected = malloc(4 * n);
    fuzz_require(expected != NULL, "there is memory");
    pye_kernels_portable.decode_scaled(&how, parts, 0, n, expected);
    const pye_kernels *back_ends[FUZZ_MAX_BACK_ENDS];
    for (size_t i = fuzz_back_ends(back_ends); i-- > 0;)
        compare(back_ends[i], &how, parts, n, expected);
    for (int i = 0; i < PYE_N_PARTS; i++)
        free(made[i]);
    free(expected);
    return 0;
}
