/* Rows as MLX quantises them: codes in 32-bit words, lowest bits first, with scales, and biases in its mode "affine". How many
 * bits a code has the arrays show up to a factor of two: 4 bits in groups of 64 look like 8 bits in groups of 32. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "base/text.h"
#include "format/config.h"
#include "layout/finder.h"

#define WORD_BITS 32

static const uint32_t widths[] = {2, 3, 4, 5, 6, 8};
static const uint32_t groups[] = {32, 64, 128};

/* The modes without biases: each has its own product of bits and group. */
static const struct mode {
    const char *name;
    uint32_t bits;
    uint32_t group;
    pye_code code;
    pye_number scales;
} modes[] = {
    {"mxfp4", 4, 32, PYE_CODE_E2M1, PYE_NUMBER_E8M0},
    {"mxfp8", 8, 32, PYE_CODE_E4M3, PYE_NUMBER_E8M0},
    {"nvfp4", 4, 16, PYE_CODE_E2M1, PYE_NUMBER_E4M3},
};

static pye_status fail_config(pye_finder *f, const pye_quantization *config) {
    char name[PYE_QUOTE_BYTES], mode[PYE_QUOTE_BYTES];
    if (config->is_off)
        return pye_fail(f->error, f->bad, f->codes->offset,
                        "tensor %s: config.json says that it is not quantised, but scales lie beside it",
                        pye_quote(name, f->codes->name));
    pye_status status = pye_fail(f->error, f->bad, f->codes->offset,
                                 "tensor %s: config.json says mode %s, %" PRIu64 " bits in groups of %" PRIu64
                                 ", which its tensors' types and shapes contradict",
                                 pye_quote(name, f->codes->name), pye_quote(mode, pye_text(config->mode)),
                                 config->bits, config->group);
    return pye_blame_file(f->codes, status, f->error);
}

/* U8 scales: the shapes alone say which mode it is. */
static pye_status find_mode(pye_finder *f, const pye_quantization *config, uint64_t product) {
    if (f->beside.biases != NULL)
        return pye_finder_fail(f, f->beside.biases, "lies beside scales of type U8, which go without biases");
    uint64_t row_bytes = f->codes->shape[1] * sizeof(uint32_t);
    for (size_t i = 0; i < sizeof modes / sizeof modes[0]; i++) {
        const struct mode *mode = &modes[i];
        if ((uint64_t)mode->bits * mode->group != product)
            continue;
        if (config->is_known &&
            (strcmp(config->mode, mode->name) != 0 || config->bits != mode->bits || config->group != mode->group))
            return fail_config(f, config);
        pye_finder_codes(f, mode->code, row_bytes * 8 / mode->bits, row_bytes);
        return pye_finder_scales(f, mode->scales, mode->group);
    }
    return pye_finder_fail(f, f->beside.scales, "has not as many scales a row as MXFP4, MXFP8 or NVFP4 take");
}

static bool is_one_of(uint64_t number, const uint32_t *numbers, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (numbers[i] == number)
            return true;
    return false;
}

/* The only pair of bits and group of a product; false if there are none or several, which `text` then lists. */
static bool only_pair(uint64_t product, uint64_t *bits, uint64_t *group, char text[128]) {
    size_t n = 0, used = 0;
    text[0] = '\0';
    for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++) {
        uint64_t size = product % widths[i] == 0 ? product / widths[i] : 0;
        if (!is_one_of(size, groups, sizeof groups / sizeof groups[0]))
            continue;
        *bits = widths[i];
        *group = size;
        used += (size_t)snprintf(text + used, 128 - used, "%s%" PRIu32 " bits in groups of %" PRIu64,
                                 n++ > 0 ? " or " : "", widths[i], size);
    }
    return n == 1;
}

static pye_status settle_affine(pye_finder *f, const pye_quantization *config, uint64_t product, uint64_t *bits,
                                uint64_t *group) {
    char pairs[128], name[PYE_QUOTE_BYTES];
    if (f->first != NULL && f->first->scaling.n_bits != 0) {
        *bits = f->first->scaling.n_bits;
        *group = f->first->scaling.group;
        return PYE_OK;
    }
    if (config->is_known) {
        *bits = config->bits;
        *group = config->group;
        bool is_valid = strcmp(config->mode, "affine") == 0 &&
                        is_one_of(*bits, widths, sizeof widths / sizeof widths[0]) &&
                        is_one_of(*group, groups, sizeof groups / sizeof groups[0]) && *bits * *group == product;
        return is_valid ? PYE_OK : fail_config(f, config);
    }
    if (only_pair(product, bits, group, pairs))
        return PYE_OK;
    if (pairs[0] == '\0')
        return pye_finder_fail(f, f->beside.scales, "has not as many scales a row as any quantisation of MLX");
    pye_status status =
        pye_fail(f->error, f->bad, f->codes->offset,
                 "tensor %s: its shapes are those of %s, and config.json, whose \"quantization\" says which, does "
                 "not lie beside the file or does not say it",
                 pye_quote(name, f->codes->name), pairs);
    return pye_blame_file(f->codes, status, f->error);
}

static pye_status find_affine(pye_finder *f, const pye_quantization *config, uint64_t product) {
    const pye_tensor *scales = f->beside.scales, *biases = f->beside.biases;
    pye_number number = pye_number_of(scales);
    if (number != PYE_NUMBER_F32 && number != PYE_NUMBER_F16 && number != PYE_NUMBER_BF16)
        return pye_finder_fail(f, scales, "does not hold scales of a type that goes with words of codes");
    if (biases == NULL)
        return pye_finder_fail(f, scales, "lies beside it, and the biases that go with it are missing");
    if (pye_number_of(biases) != number || biases->n_dims != 2 || biases->shape[0] != scales->shape[0] ||
        biases->shape[1] != scales->shape[1])
        return pye_finder_fail(f, biases, "is not of the type and shape of the scales");
    uint64_t bits = 0, group = 0;
    pye_status status = settle_affine(f, config, product, &bits, &group);
    if (status != PYE_OK)
        return status;
    uint64_t row_bytes = f->codes->shape[1] * sizeof(uint32_t);
    if (row_bytes * 8 % bits != 0)
        return pye_finder_fail(f, f->codes, "has rows that do not hold a whole number of codes");
    pye_finder_codes(f, PYE_CODE_BITS, row_bytes * 8 / bits, row_bytes);
    f->coding->scaling.n_bits = (uint32_t)bits;
    status = pye_finder_scales(f, number, 0);
    if (status != PYE_OK)
        return status;
    f->coding->scaling.biases = number;
    f->coding->tensors[PYE_BIASES] = biases;
    f->coding->layout[PYE_BIASES] = f->coding->layout[PYE_SCALES];
    return PYE_OK;
}

pye_status pye_finder_mlx(pye_finder *f) {
    const pye_tensor *scales = f->beside.scales;
    if (scales == NULL && f->beside.biases != NULL)
        return pye_finder_fail(f, f->beside.biases, "lies beside it, and the scales that go with it are missing");
    if (scales == NULL)
        return PYE_OK; /* not MLX: whole numbers without a sign */
    if (f->beside.factor != NULL)
        return pye_finder_fail(f, f->beside.factor, "is of no use to words of codes");
    uint64_t words = f->codes->shape[1];
    if (scales->n_dims != 2 || scales->shape[0] != f->codes->shape[0] || scales->shape[1] == 0 ||
        words * WORD_BITS % scales->shape[1] != 0)
        return pye_finder_fail(f, scales, "does not have the same number of scales in each of its rows");
    uint64_t product = words * WORD_BITS / scales->shape[1]; /* bits times group */
    pye_quantization config = {0};
    pye_status status = PYE_OK;
    if (f->first == NULL)
        status = pye_config_quantization(f->model, f->codes->shard, f->stem, f->base, &config, f->error);
    if (status != PYE_OK)
        return status;
    if (config.is_off)
        return fail_config(f, &config);
    return pye_is_dtype(scales, "U8") ? find_mode(f, &config, product) : find_affine(f, &config, product);
}
