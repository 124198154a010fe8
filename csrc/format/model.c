/* Opening, closing and asking a model: what all formats share. */
#include "format/model.h"

#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>

#include "base/status.h"
#include "format/zip.h"
#include "base/options.h"

pye_status pye_grow(const pye_allocator *allocator, void **items, size_t *max, size_t n, size_t item_bytes,
                    pye_error *error) {
    if (n < *max)
        return PYE_OK;
    size_t wanted = *max == 0 ? 16 : *max * 2;
    if (wanted > SIZE_MAX / item_bytes)
        return pye_fail_memory(error, UINT64_MAX);
    void *grown = pye_resize(allocator, *items, wanted * item_bytes);
    if (grown == NULL)
        return pye_fail_memory(error, (uint64_t)wanted * item_bytes);
    *items = grown;
    *max = wanted;
    return PYE_OK;
}

pye_status pye_model_add_file(pye_model *model, const char *path, pye_load_mode mode, pye_file **file,
                              pye_error *error) {
    pye_status status = pye_grow(&model->allocator, (void **)&model->files, &model->max_files, model->n_files,
                                 sizeof *model->files, error);
    if (status != PYE_OK)
        return status;
    pye_file *added = pye_allocate_zeros(&model->allocator, sizeof *added);
    if (added == NULL)
        return pye_fail_memory(error, sizeof *added);
    status = pye_map_open(&added->map, &model->allocator, path, mode, error);
    if (status == PYE_OK && model->is_guarded) {
        status = pye_map_protect(&added->map, error);
        if (status != PYE_OK)
            pye_map_close(&added->map);
    }
    if (status != PYE_OK) {
        pye_release(added);
        if (error != NULL)
            error->shard = (uint32_t)model->n_files;
        return status;
    }
    added->facts.path = added->map.path;
    added->facts.file_bytes = added->map.size;
    added->facts.end = added->map.size;
    model->files[model->n_files++] = added;
    *file = added;
    return PYE_OK;
}

pye_status pye_model_add_tensor(pye_model *model, const pye_tensor *tensor, pye_error *error) {
    pye_status status = pye_grow(&model->allocator, (void **)&model->tensors, &model->max_tensors,
                                 model->n_tensors, sizeof *model->tensors, error);
    if (status == PYE_OK)
        model->tensors[model->n_tensors++] = *tensor;
    return status;
}

pye_status pye_model_keep_text(pye_model *model, char *text, pye_error *error) {
    pye_status status = pye_grow(&model->allocator, (void **)&model->texts, &model->max_texts, model->n_texts,
                                 sizeof *model->texts, error);
    if (status == PYE_OK)
        model->texts[model->n_texts++] = text;
    else
        pye_release(text);
    return status;
}

int pye_string_compare(pye_string a, pye_string b) {
    size_t n = a.size < b.size ? a.size : b.size;
    int order = n == 0 ? 0 : memcmp(a.data, b.data, n);
    return order != 0 ? order : (a.size > b.size) - (a.size < b.size);
}

static void merge(const uint32_t *from, uint32_t *to, size_t first, size_t middle, size_t end, pye_compare compare,
                  const void *context) {
    size_t a = first;
    size_t b = middle;
    for (size_t i = first; i < end; i++) {
        bool take_a = a < middle && (b == end || compare(context, from[a], from[b]) <= 0);
        to[i] = take_a ? from[a++] : from[b++];
    }
}

uint32_t *pye_sorted_order(const pye_allocator *allocator, size_t n, pye_compare compare, const void *context) {
    if (n > UINT32_MAX)
        return NULL;
    uint32_t *order = pye_allocate(allocator, (n + 1) * sizeof *order);
    uint32_t *spare = pye_allocate(allocator, (n + 1) * sizeof *spare);
    if (order == NULL || spare == NULL) {
        pye_release(order);
        pye_release(spare);
        return NULL;
    }
    for (size_t i = 0; i < n; i++)
        order[i] = (uint32_t)i;
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t first = 0; first < n; first += 2 * width) {
            size_t middle = n - first < width ? n : first + width;
            size_t end = n - middle < width ? n : middle + width;
            merge(order, spare, first, middle, end, compare, context);
        }
        uint32_t *swap = order;
        order = spare;
        spare = swap;
    }
    pye_release(spare);
    return order;
}

bool pye_tensor_measure(pye_tensor *tensor, const char **reason) {
    const pye_type_info *type = pye_type_info_of(tensor->type);
    if (type == NULL) {
        tensor->n_bytes = PYE_UNKNOWN_BYTES;
        return true;
    }
    uint64_t width = tensor->n_dims == 0 ? 1 : tensor->shape[tensor->n_dims - 1];
    *reason = "its rows do not divide into blocks of its type";
    if (width % type->n_weights != 0)
        return false;
    *reason = "its size does not fit 63 bits";
    /* A dimension of 0 makes the product 0 whatever the others are, so the factors are taken as at least 1. */
    uint64_t n_bytes = type->block_bytes;
    bool is_empty = width == 0;
    uint64_t n_blocks = width / type->n_weights;
    if (n_blocks > 0 && n_bytes > INT64_MAX / n_blocks)
        return false;
    n_bytes *= n_blocks > 0 ? n_blocks : 1;
    for (uint32_t i = 0; i + 1 < tensor->n_dims; i++) {
        is_empty = is_empty || tensor->shape[i] == 0;
        uint64_t factor = tensor->shape[i] > 0 ? tensor->shape[i] : 1;
        if (n_bytes > INT64_MAX / factor)
            return false;
        n_bytes *= factor;
    }
    tensor->n_bytes = is_empty ? 0 : n_bytes;
    return true;
}

static int compare_names(const void *context, uint32_t a, uint32_t b) {
    const pye_tensor *tensors = context;
    return pye_string_compare(tensors[a].name, tensors[b].name);
}

pye_status pye_model_sort_tensors(pye_model *model, pye_status bad, pye_error *error) {
    model->tensors_by_name = pye_sorted_order(&model->allocator, model->n_tensors, compare_names, model->tensors);
    if (model->tensors_by_name == NULL)
        return pye_fail_memory(error, (uint64_t)model->n_tensors * 2 * sizeof(uint32_t));
    for (size_t i = 1; i < model->n_tensors; i++) {
        const pye_tensor *tensor = &model->tensors[model->tensors_by_name[i]];
        if (compare_names(model->tensors, model->tensors_by_name[i - 1], model->tensors_by_name[i]) == 0) {
            char name[PYE_QUOTE_BYTES];
            pye_status status =
                pye_fail(error, bad, tensor->offset, "two tensors are named %s", pye_quote(name, tensor->name));
            if (error != NULL)
                error->shard = tensor->shard;
            return status;
        }
    }
    return PYE_OK;
}

void pye_metadata_free(pye_metadata *metadata) {
    for (size_t i = 0; i < metadata->n; i++)
        pye_release(metadata->entries[i].marks);
    pye_release(metadata->entries);
    pye_release(metadata->by_key);
}

static void free_model(pye_model *model) {
    pye_pool_close(&model->pool);
    for (size_t i = 0; i < model->n_files; i++) {
        pye_map_close(&model->files[i]->map);
        pye_release(model->files[i]);
    }
    pye_metadata_free(&model->metadata);
    for (size_t i = 0; i < model->n_texts; i++)
        pye_release(model->texts[i]);
    pye_release(model->files);
    pye_release(model->tensors);
    pye_release(model->tensors_by_name);
    pye_release(model->texts);
    pye_release(model);
}

void pye_model_retain(pye_model *model) {
    atomic_fetch_add_explicit(&model->n_references, 1, memory_order_relaxed);
}

void pye_model_release(pye_model *model) {
    if (atomic_fetch_sub_explicit(&model->n_references, 1, memory_order_acq_rel) == 1)
        free_model(model);
}

void pye_model_close(pye_model *model) {
    if (model != NULL)
        pye_model_release(model);
}

bool pye_ends_with(const char *text, const char *end) {
    size_t n = strlen(text);
    size_t m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* Tells the format by what the file begins with; its name decides only for a safetensors index, which is any JSON. */
static pye_status detect_format(const pye_allocator *allocator, const char *path, pye_format *format,
                                pye_error *error) {
    struct stat info;
    if (pye_ends_with(path, ".index.json") || (stat(path, &info) == 0 && S_ISDIR(info.st_mode))) {
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
            status = pye_fail(error, PYE_ERROR_FORMAT, 0,
                              "not a model file: it begins like no GGUF, safetensors or .npy file (a raw table is "
                              "opened with its shape and dtype)");
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
    opened->format = known.format;
    opened->is_guarded = known.guard != 0;
    opened->progress = known.progress;
    opened->progress_data = known.progress_data;
    opened->interrupt = (pye_interrupt){known.interrupted, known.interrupted_data};
    status = parse(opened, path, &known, error);
    /* What was found wrong with zeros in place of the file's bytes is not what is wrong with the file. */
    pye_status intact = pye_model_intact(opened, error);
    if (intact != PYE_OK)
        status = intact;
    if (status != PYE_OK) {
        free_model(opened);
        return status;
    }
    *model = opened;
    return PYE_OK;
}

pye_status pye_model_undamaged(const pye_model *model, pye_error *error) {
    for (size_t i = 0; i < model->n_files; i++) {
        pye_status status = pye_map_undamaged(&model->files[i]->map, (uint32_t)i, error);
        if (status != PYE_OK)
            return status;
    }
    return PYE_OK;
}

pye_status pye_model_intact(const pye_model *model, pye_error *error) {
    for (size_t i = 0; i < model->n_files; i++) {
        pye_status status = pye_map_intact(&model->files[i]->map, (uint32_t)i, error);
        if (status != PYE_OK)
            return status;
    }
    return PYE_OK;
}

pye_status pye_model_check(const pye_model *model, pye_change *change, uint32_t *shard, pye_error *error) {
    pye_change worst = PYE_CHANGE_NONE;
    uint32_t where = 0;
    if (model->is_guarded)
        pye_guard_renew();
    for (size_t i = 0; i < model->n_files; i++) {
        pye_change found;
        pye_status status = pye_map_compare(&model->files[i]->map, &found, error);
        if (status != PYE_OK) {
            if (error != NULL)
                error->shard = (uint32_t)i;
            return status;
        }
        if (found > worst) {
            worst = found;
            where = (uint32_t)i;
        }
    }
    *change = worst;
    *shard = where;
    return PYE_OK;
}

pye_format pye_model_format(const pye_model *model) { return model->format; }

pye_load_mode pye_model_load_mode(const pye_model *model) { return model->files[0]->map.mode; }

size_t pye_model_n_shards(const pye_model *model) { return model->n_files; }

pye_status pye_model_shard(const pye_model *model, size_t index, pye_shard *shard, pye_error *error) {
    if (index >= model->n_files)
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET, "shard %zu is not below %zu", index,
                        model->n_files);
    *shard = model->files[index]->facts;
    return PYE_OK;
}

size_t pye_model_n_tensors(const pye_model *model) { return model->n_tensors; }

pye_status pye_tensor_at(const pye_model *model, size_t index, pye_tensor *tensor, pye_error *error) {
    if (index >= model->n_tensors)
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET, "tensor %zu is not below %zu", index,
                        model->n_tensors);
    const pye_tensor *found = &model->tensors[index];
    pye_status status = pye_map_undamaged(&model->files[found->shard]->map, found->shard, error);
    if (status == PYE_OK)
        *tensor = *found;
    return status;
}

static const pye_tensor *find_tensor(const pye_model *model, pye_string name) {
    size_t first = 0;
    size_t end = model->n_tensors;
    while (first < end) {
        size_t middle = first + (end - first) / 2;
        const pye_tensor *candidate = &model->tensors[model->tensors_by_name[middle]];
        int order = pye_string_compare(candidate->name, name);
        if (order == 0)
            return candidate;
        if (order < 0)
            first = middle + 1;
        else
            end = middle;
    }
    return NULL;
}

pye_status pye_tensor_find(const pye_model *model, const char *name, size_t name_size, pye_tensor *tensor,
                           pye_error *error) {
    pye_string wanted = {name, name_size};
    const pye_tensor *found = find_tensor(model, wanted);
    pye_status status = pye_model_intact(model, error);
    if (status != PYE_OK)
        return status;
    if (found != NULL) {
        *tensor = *found;
        return PYE_OK;
    }
    char quoted[PYE_QUOTE_BYTES];
    return pye_fail(error, PYE_ERROR_NOT_FOUND, PYE_NO_OFFSET, "no tensor is named %s", pye_quote(quoted, wanted));
}
