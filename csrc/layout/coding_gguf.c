/* Rows of bytes that are codes, in GGUF files: the tables of DeepSeek's Engram, which llama.cpp has no type for.
 *
 * Two spellings are decoded. Rows of 264 bytes are 256 codes of E4M3 and then their 8 scales, where the key
 * ARCHITECTURE.engram.encoding says "e4m3_e8m0_32_row264". And engram_embd_scale beside engram_embd holds the scales. All other
 * types of GGUF are ggml's, decoded as ggml does. */
#include <inttypes.h>
#include <string.h>

#include "base/status.h"
#include "base/text.h"
#include "layout/finder.h"

#define TABLE "engram_embd"
#define ENCODING "e4m3_e8m0_32_row264"
#define ROW_CODES 256
#define ROW_BYTES (ROW_CODES + ROW_CODES / MX_GROUP)

/* The value of deepseek41.engram.encoding, or of the architecture that files had before; empty if there is none. */
static pye_status find_encoding(const pye_model *model, pye_string *encoding, pye_error *error) {
    static const char *const keys[] = {"deepseek41.engram.encoding", "deepseek4.engram.encoding"};
    *encoding = pye_text("");
    for (size_t i = 0; i < 2; i++) {
        pye_value value;
        pye_error why = {0};
        pye_status status = pye_metadata_find(model, keys[i], strlen(keys[i]), &value, &why);
        if (status == PYE_ERROR_NOT_FOUND)
            continue;
        if (status != PYE_OK) {
            if (error != NULL)
                *error = why;
            return status;
        }
        if (value.type == PYE_VALUE_STRING)
            *encoding = value.as.string;
        return PYE_OK;
    }
    return PYE_OK;
}

static pye_status find_joined(pye_finder *f) {
    pye_string encoding;
    pye_status status = find_encoding(f->model, &encoding, f->error);
    if (status != PYE_OK)
        return status;
    char name[PYE_QUOTE_BYTES], text[PYE_QUOTE_BYTES];
    if (encoding.size == 0)
        return pye_fail(f->error, f->bad, f->codes->offset,
                        "tensor %s holds bytes: no " TABLE
                        "_scale lies beside it, and no key engram.encoding says "
                        "what they are",
                        pye_quote(name, f->codes->name));
    if (pye_string_compare(encoding, pye_text(ENCODING)) != 0)
        return pye_fail(f->error, PYE_ERROR_TYPE, PYE_NO_OFFSET,
                        "tensor %s: its rows are of the encoding %s, which cannot be decoded; known is " ENCODING,
                        pye_quote(name, f->codes->name), pye_quote(text, encoding));
    if (f->codes->n_dims != 2 || f->codes->shape[1] != ROW_BYTES)
        return pye_finder_fail(f, f->codes, "does not have the rows of 264 bytes that engram.encoding says");
    pye_finder_codes(f, PYE_CODE_E4M3, ROW_CODES, ROW_CODES);
    pye_coding *coding = f->coding;
    coding->layout[PYE_CODES].stride = ROW_BYTES;
    coding->layout[PYE_SCALES] = (pye_part_layout){ROW_CODES / MX_GROUP, ROW_BYTES};
    coding->tensors[PYE_SCALES] = f->codes;
    coding->starts[PYE_SCALES] = ROW_CODES;
    coding->scaling.scales = PYE_NUMBER_E8M0;
    coding->scaling.group = MX_GROUP;
    return PYE_OK;
}

pye_status pye_finder_gguf(pye_finder *f) {
    char name[PYE_QUOTE_BYTES];
    if (f->codes->type != PYE_TYPE_I8)
        return PYE_OK;
    if (pye_string_ends(f->stem, pye_text(".engram.embed")))
        return pye_fail(
            f->error, PYE_ERROR_TYPE, PYE_NO_OFFSET,
            "tensor %s holds bytes that are blocks of 33, an exponent and 32 codes of E4M3, which cannot be "
            "decoded",
            pye_quote(name, f->codes->name));
    if (!pye_string_ends(f->stem, pye_text(TABLE)))
        return PYE_OK;
    const pye_tensor *scales = pye_model_tensor(f->model, f->stem, "_scale.weight");
    if (scales == NULL)
        scales = pye_model_tensor(f->model, f->stem, "_scale");
    if (scales == NULL)
        return find_joined(f);
    if (f->codes->n_dims != 2)
        return pye_finder_fail(f, scales, "lies beside it, though it does not have two dimensions");
    if (scales->type != PYE_TYPE_I8)
        return pye_finder_fail(f, scales, "does not hold exponents as I8");
    f->beside.scales = scales;
    pye_finder_codes(f, PYE_CODE_E4M3, f->codes->shape[1], f->codes->shape[1]);
    return pye_finder_scales(f, PYE_NUMBER_E8M0, MX_GROUP);
}
