/* Every decoder of every back end that runs here against the portable one, bit for bit. The input: a byte that chooses the
 * type, then blocks; what is left of the last one is zeros. A NaN must be met by a NaN, whatever its payload. Then the
 * row is added to itself, and the result is narrowed, also by all. */
#include <stdlib.h>
#include <string.h>

#include "back_ends.h"
#include "harness.h"

enum { MAX_BLOCKS = 4, CANARY_BYTES = 64 };

#define CANARY 0x5A

static void stream_alike(const pye_kernels *kernels, const pye_type_info *type, const uint8_t *blocks, size_t n,
                         const uint8_t *expected) {
    uint8_t *memory = malloc(PYE_LINE_BYTES + 4 * n);
    fuzz_require(memory != NULL, "there is memory");
    uint8_t *aligned = memory + PYE_LINE_BYTES - (uintptr_t)memory % PYE_LINE_BYTES;
    kernels->stream_row[type->id](blocks, (float *)(void *)aligned, n);
    kernels->fence();
    fuzz_require_alike(aligned, expected, n, "rows are the same past the caches");
    free(memory);
}

/* Sums of two rows, the same one twice, with weights and without, as sums.h defines them. */
static void add_alike(const pye_kernels *kernels, const pye_type_info *type, const uint8_t *blocks, size_t n,
                      const float *row) {
    static const float weights[] = {1.5F, -0.3F};
    const uint8_t *rows[] = {blocks - 1, blocks - 1};
    size_t most = type->n_weights > 1 && n > PYE_ADDED_COLUMNS ? PYE_ADDED_COLUMNS : n;
    float *sums = malloc(4 * most), *expected = malloc(4 * most);
    fuzz_require(sums != NULL && expected != NULL, "there is memory");
    for (int is_weighted = 0; is_weighted < 2; is_weighted++) {
        const pye_addends addends = {.rows = rows, .at = 1, .weights = is_weighted ? weights : NULL, .n = 2};
        memset(sums, 0, 4 * most);
        for (size_t i = 0; i < most; i++) {
            float first = is_weighted ? weights[0] * row[i] : row[i];
            float second = is_weighted ? weights[1] * row[i] : row[i];
            expected[i] = 0 + first;
            expected[i] = expected[i] + second;
        }
        kernels->add_rows[type->id](sums, &addends, most);
        fuzz_require_alike((const uint8_t *)sums, (const uint8_t *)expected, most, "sums are as defined");
    }
    free(sums);
    free(expected);
}

static void compare(const pye_kernels *kernels, const pye_type_info *type, const uint8_t *blocks, size_t n,
                    const float *expected) {
    /* Neither the blocks nor the row are aligned. */
    uint8_t *got = malloc(1 + 4 * n + CANARY_BYTES);
    uint16_t *narrow = malloc(4 * n);
    fuzz_require(got != NULL && narrow != NULL, "there is memory");
    memset(got, CANARY, 1 + 4 * n + CANARY_BYTES);
    kernels->decode[type->id](blocks, (float *)(void *)(got + 1), n);
    fuzz_require_alike(got + 1, (const uint8_t *)expected, n, "back ends decode alike");
    for (size_t i = 0; i < CANARY_BYTES; i++)
        fuzz_require(got[1 + 4 * n + i] == CANARY, "a decoder keeps to its row");
    stream_alike(kernels, type, blocks, n, (const uint8_t *)expected);
    if (kernels->add_rows[type->id] != NULL)
        add_alike(kernels, type, blocks, n, expected);
    kernels->to_half(expected, narrow, n);
    pye_kernels_portable.to_half(expected, narrow + n, n);
    fuzz_require(memcmp(narrow, narrow + n, 2 * n) == 0, "back ends narrow to half alike");
    kernels->to_bfloat(expected, narrow, n);
    pye_kernels_portable.to_bfloat(expected, narrow + n, n);
    fuzz_require(memcmp(narrow, narrow + n, 2 * n) == 0, "back ends narrow to bfloat alike");
    free(got);
    free(narrow);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2)
        return 0;
    pye_type_info type;
    (void)pye_type_at(data[0] % pye_n_types(), &type, NULL);
    size_t n_blocks = (size - 2) / type.block_bytes + 1;
    if (type.n_weights > 1 && n_blocks > MAX_BLOCKS)
        n_blocks = MAX_BLOCKS;
    size_t n_bytes = n_blocks * type.block_bytes, n = n_blocks * type.n_weights;
    /* Memory of just this size, so that a sanitizer sees one byte too many; its start is odd. */
    uint8_t *blocks = calloc(1, 1 + n_bytes);
    float *expected = malloc(4 * n);
    fuzz_require(blocks != NULL && expected != NULL, "there is memory");
    memcpy(blocks + 1, data + 1, size - 1 < n_bytes ? size - 1 : n_bytes);
    pye_kernels_portable.decode[type.id](blocks + 1, expected, n);
    const pye_kernels *back_ends[FUZZ_MAX_BACK_ENDS];
    for (size_t i = fuzz_back_ends(back_ends); i-- > 1;)
        compare(back_ends[i], &type, blocks + 1, n, expected);
    pye_type_swap(type.id, blocks + 1, n_blocks);
    pye_kernels_portable.decode[type.id](blocks + 1, expected, n);
    free(blocks);
    free(expected);
    return 0;
}
