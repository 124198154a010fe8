/* Opening a model: its format is detected, and a fresh model is filled by that format's parser. */
#include <inttypes.h>
#include <string.h>

#include "base/options.h"
#include "base/text.h"
#include "format/model.h"
#include "format/parsers.h"
#include "format/zip.h"

/* Detects the format from the first bytes; from the name only for a safetensors index, which may be any JSON. */
static pye_status detect_format(const pye_allocator *allocator, const char *path, pye_format *format,
                                pye_error *error) {
    pye_identity found;
    if (pye_ends_with(path, ".index.json") ||
        (pye_path_identify(path, &found) == 0 && found.kind == PYE_FILE_FOLDER)) {
        *format = PYE_FORMAT_SAFETENSORS;
        return PYE_OK;
    }
    pye_map map;
    pye_status status = pye_map_open(&map, allocator, path, PYE_LOAD_NONE, error);
    if (status != PYE_OK)
        return status;
    pye_range place;
    uint64_t n = map.size < 9 ? map.size : 9;
    status = pye_map_reveal(&map, n, error);
    if (status == PYE_OK) {
        if (n >= 4 && memcmp(map.base, "GGUF", 4) == 0)
            *format = PYE_FORMAT_GGUF;
        else if (n >= 6 && memcmp(map.base, "\x93NUMPY", 6) == 0)
            *format = PYE_FORMAT_NPY;
        else if (n >= 9 && map.base[8] == '{') /* after the 8 bytes of the header's length */
            *format = PYE_FORMAT_SAFETENSORS;
        else if ((status = pye_zip_find_gguf(&map, &place, error)) == PYE_OK)
            *format = PYE_FORMAT_GGUF;
        else if (status == PYE_ERROR_NOT_FOUND)
            status =
                pye_fail(error, PYE_ERROR_FORMAT, 0,
                         "not a model file: it does not begin like a GGUF, safetensors or .npy file (for a raw "
                         "table, give its shape and dtype)");
    }
    pye_map_close(&map);
    return status;
}

static pye_status parse(pye_model *model, const char *path, const pye_open_options *options, pye_error *error) {
    switch (model->format) {
    case PYE_FORMAT_GGUF:
        return pye_gguf_open(model, path, options, error);
    case PYE_FORMAT_SAFETENSORS:
        return pye_safetensors_open(model, path, options, error);
    case PYE_FORMAT_NPY:
        return pye_npy_open(model, path, options, error);
    case PYE_FORMAT_RAW:
        return pye_raw_open(model, path, options, error);
    default:
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET, "%d is not a format", (int)model->format);
    }
}

/* Every mapped file gets a fetcher, and all of them together the budget. */
static pye_status begin_reading(pye_model *model, uint64_t memory_budget, pye_error *error) {
    if (memory_budget > 0 && model->files[0]->map.mode != PYE_LOAD_MMAP)
        return pye_fail(
            error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET,
            "a memory budget is for files that are mapped: this load mode keeps all of a table in memory");
    pye_status status = PYE_OK;
    if (memory_budget > 0)
        status = pye_fetcher_limit(&model->fetcher, memory_budget, error);
    for (size_t i = 0; i < model->n_files && status == PYE_OK; i++)
        status = pye_fetcher_add(&model->fetcher, &model->files[i]->map, error);
    return status;
}

pye_status pye_model_open(const char *path, const pye_open_options *options, pye_model **model, pye_error *error) {
    pye_open_options known;
    pye_status status = pye_copy_options(&known, sizeof known, options, "pye_open_options", error);
    if (status != PYE_OK)
        return status;
    if (known.load_mode < PYE_LOAD_AUTO || known.load_mode > PYE_LOAD_DIRECT_IO)
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET, "%d is not a load mode", (int)known.load_mode);
    if (known.paths != NULL && (known.n_paths == 0 || known.format > PYE_FORMAT_GGUF))
        return pye_fail(
            error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET,
            "pye_open_options.paths names the files of a split GGUF set: at least one, and no other format");
    if (known.paths != NULL)
        known.format = PYE_FORMAT_GGUF;
    const pye_allocator *allocator = known.allocator != NULL ? known.allocator : &pye_standard_allocator;
    if (known.format == PYE_FORMAT_AUTO)
        status = detect_format(allocator, path, &known.format, error);
    if (status != PYE_OK)
        return status;
    pye_model *opened = pye_allocate_zeros(allocator, sizeof *opened);
    if (opened == NULL)
        return pye_fail_memory(error, sizeof *opened);
    opened->allocator = *allocator;
    atomic_init(&opened->n_references, 1);
    atomic_init(&opened->pool, NULL);
    opened->fetcher.allocator = &opened->allocator;
    opened->format = known.format;
    opened->is_guarded = known.guard != 0;
    opened->has_budget = known.memory_budget > 0;
    opened->progress = known.progress;
    opened->progress_data = known.progress_data;
    opened->interrupt = (pye_interrupt){known.interrupted, known.interrupted_data};
    status = parse(opened, path, &known, error);
    /* An error found among zeros in place of the file's bytes is not the file's. */
    pye_status intact = pye_model_intact(opened, error);
    if (intact != PYE_OK)
        status = intact;
    if (status == PYE_OK)
        status = begin_reading(opened, known.memory_budget, error);
    if (status != PYE_OK) {
        pye_model_release(opened);
        return status;
    }
    *model = opened;
    return PYE_OK;
}
