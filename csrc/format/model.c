#include "format/model.h"

#include "base/sort.h"
#include "base/status.h"
#include "base/text.h"

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
    if (status == PYE_OK) {
        if (model->has_budget)
            status = pye_map_avoid_large_pages(&added->map, error);
        if (status == PYE_OK && model->is_guarded)
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
        pye_release(metadata->entries[i].waypoints);
    pye_release(metadata->entries);
    pye_release(metadata->by_key);
}

static void free_model(pye_model *model) {
    pye_fetcher_close(&model->fetcher); /* before the pool: what is still on its way may use it */
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

pye_status pye_model_metadata_end(const pye_model *model, size_t index, uint64_t *offset, pye_error *error) {
    if (index >= model->n_files)
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET, "shard %zu is not below %zu", index,
                        model->n_files);
    *offset = model->files[index]->metadata_end;
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

/* As pye_string_compare, with `stem` and then `end`. */
static int compare_joined(pye_string name, pye_string stem, pye_string end) {
    if (!pye_string_starts(name, stem))
        return pye_string_compare(name, stem);
    return pye_string_compare(pye_string_after(name, stem.size), end);
}

static size_t seek(const pye_model *model, pye_string stem, pye_string suffix) {
    size_t first = 0;
    size_t end = model->n_tensors;
    while (first < end) {
        size_t middle = first + (end - first) / 2;
        if (compare_joined(model->tensors[model->tensors_by_name[middle]].name, stem, suffix) < 0)
            first = middle + 1;
        else
            end = middle;
    }
    return first;
}

size_t pye_model_seek(const pye_model *model, pye_string name) { return seek(model, name, pye_text("")); }

const pye_tensor *pye_model_tensor(const pye_model *model, pye_string stem, const char *end) {
    size_t place = seek(model, stem, pye_text(end));
    if (place == model->n_tensors)
        return NULL;
    const pye_tensor *tensor = &model->tensors[model->tensors_by_name[place]];
    return compare_joined(tensor->name, stem, pye_text(end)) == 0 ? tensor : NULL;
}

pye_status pye_tensor_find(const pye_model *model, const char *name, size_t name_size, pye_tensor *tensor,
                           pye_error *error) {
    pye_string wanted = {name, name_size};
    const pye_tensor *found = pye_model_tensor(model, wanted, "");
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
