/* A model: the index of files, tensors and metadata that every parser builds, and that is immutable once it is open. */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>

#include "base/counters.h"
#include "base/map.h"
#include "base/memory.h"
#include "base/pool.h"
#include "base/fetcher.h"
#include "base/types.h"

/* One file: the bytes, and the facts about it that pyembed.h hands out. */
typedef struct pye_file {
    pye_map map;
    pye_shard facts;
    bool swap;             /* big-endian file on a little-endian machine, or the reverse */
    uint64_t metadata_end; /* GGUF: where the descriptions of the tensors begin */
} pye_file;

/* A metadata entry: where its key begins, and for an array of strings the position of every
 * PYE_WAYPOINT_STRIDE-th one. Keys and values are taken from the file again when they are asked for. */
typedef struct pye_entry {
    uint64_t position;
    uint64_t *waypoints;
} pye_entry;

#define PYE_WAYPOINT_STRIDE 16

/* The metadata of one GGUF file. */
typedef struct pye_metadata {
    pye_entry *entries; /* in the file's order */
    size_t n;
    size_t max;
    uint32_t *by_key; /* sorted */
} pye_metadata;

struct pye_model {
    pye_allocator allocator;
    atomic_size_t n_references; /* the model handle itself and every table and vocabulary of it */
    pye_format format;
    bool is_guarded; /* its mappings are */
    bool has_budget; /* its mappings avoid large pages */
    pye_progress progress;
    void *progress_data;
    pye_interrupt interrupt;
    pye_pool_slot pool;  /* for gathers of any table of the model */
    pye_fetcher fetcher; /* of pages of mapped files that are not in memory */
    pye_counters counters;

    pye_file **files;
    size_t n_files;
    size_t max_files;

    pye_metadata metadata; /* of the first file; GGUF only */

    pye_tensor *tensors; /* in the files' order */
    size_t n_tensors;
    size_t max_tensors;
    uint32_t *tensors_by_name;

    char **texts; /* strings that are not in a file: unescaped names, shard paths */
    size_t n_texts;
    size_t max_texts;
};

void pye_model_retain(pye_model *model);
void pye_model_release(pye_model *model);

/* Opens `path` as the model's next file, which stays where it is until the model is freed. */
pye_status pye_model_add_file(pye_model *model, const char *path, pye_load_mode mode, pye_file **file,
                              pye_error *error);

/* Appends a copy of `tensor`. Its extent must have been checked by then. */
pye_status pye_model_add_tensor(pye_model *model, const pye_tensor *tensor, pye_error *error);

/* Takes `text`, from pye_allocate, and frees it with the model (at once if this fails). */
pye_status pye_model_keep_text(pye_model *model, char *text, pye_error *error);

/* The tensor whose name is `stem` and then `end`, NULL if there is none, without a look at the files. */
const pye_tensor *pye_model_tensor(const pye_model *model, pye_string stem, const char *end);

/* How many names are below `name`: its place among tensors_by_name. */
size_t pye_model_seek(const pye_model *model, pye_string name);

/* The status of what contradicts itself in a model's files. */
static inline pye_status pye_model_bad(const pye_model *model) {
    return model->format == PYE_FORMAT_SAFETENSORS ? PYE_ERROR_SAFETENSORS
           : model->format == PYE_FORMAT_NPY       ? PYE_ERROR_NPY
                                                   : PYE_ERROR_GGUF;
}

/* Notes in an error which file a tensor lies in; returns `status`. */
static inline pye_status pye_blame_file(const pye_tensor *tensor, pye_status status, pye_error *error) {
    if (error != NULL)
        error->shard = tensor->shard;
    return status;
}

/* Sorts tensors by name. `bad` is the format's status for a name that occurs twice. */
pye_status pye_model_sort_tensors(pye_model *model, pye_status bad, pye_error *error);

/* Fills n_bytes of a tensor from its type and shape and checks that this does not overflow. PYE_UNKNOWN_BYTES for
 * a type that is not live. False where the row does not divide into blocks, or the size does not fit 64 bits:
 * `reason` then says which. */
bool pye_tensor_measure(pye_tensor *tensor, const char **reason);

void pye_metadata_free(pye_metadata *metadata);

/* As pye_model_intact, without asking for the files' sizes: of what a file lost inside a page it says nothing. */
pye_status pye_model_undamaged(const pye_model *model, pye_error *error);
