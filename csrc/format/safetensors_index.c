/* A set of safetensors files: a directory, or the index that says which file holds which tensor. */
#include <inttypes.h>
#include <string.h>

#include "base/cursor.h"
#include "base/files.h"
#include "base/sort.h"
#include "base/status.h"
#include "base/text.h"
#include "format/parsers.h"
#include "format/safetensors.h"

#define BAD PYE_ERROR_SAFETENSORS
#define INDEX_END ".index.json"
#define FILE_END ".safetensors"
#define SINGLE_NAME "model.safetensors"
#define INDEX_NAME SINGLE_NAME INDEX_END

/* One line of the index: the name of a tensor and of its file. */
typedef struct index_line {
    pye_string tensor;
    pye_string file;
    uint64_t offset;
    size_t first; /* the first line of the same file */
    uint32_t shard;
} index_line;

typedef struct index_reader {
    pye_model *model;
    pye_error *error;
    pye_map map;
    pye_string name;      /* of the index itself */
    pye_string directory; /* up to and with the last slash, or empty */
    index_line *lines;
    size_t n_lines;
    size_t max_lines;
} index_reader;

/* `directory` and `name` in one piece, from pye_allocate. */
static pye_status join(const pye_model *model, pye_string directory, pye_string name, char **path,
                       pye_error *error) {
    bool slash = directory.size > 0 && strchr(pye_path_separators, directory.data[directory.size - 1]) == NULL;
    size_t n = directory.size + slash;
    *path = pye_allocate(&model->allocator, n + name.size + 1);
    if (*path == NULL)
        return pye_fail_memory(error, (uint64_t)n + name.size + 1);
    memcpy(*path, directory.data, directory.size);
    if (slash)
        (*path)[directory.size] = pye_path_separators[0];
    memcpy(*path + n, name.data, name.size);
    (*path)[n + name.size] = '\0';
    return PYE_OK;
}

/* -------------------------------------------------------------------------------- reading the index */

/* The index may only name files beside itself: its author must not reach the rest of the disk. */
static bool is_plain_name(pye_string name) {
    if (name.size == 0 || memchr(name.data, '\0', name.size) != NULL)
        return false;
    for (size_t i = 0; i < name.size; i++)
        if (name.data[i] == '/' || name.data[i] == '\\' || strchr(pye_path_separators, name.data[i]) != NULL)
            return false;
    return !(name.data[0] == '.' && (name.size == 1 || (name.size == 2 && name.data[1] == '.')));
}

static pye_status read_line(index_reader *reader, pye_json *json, const pye_json_string *key) {
    pye_json_string value;
    pye_status status = pye_json_take_string(json, &value);
    if (status != PYE_OK)
        return status;
    index_line line = {.offset = key->offset};
    status = pye_safetensors_text(reader->model, key, &line.tensor, reader->error);
    if (status == PYE_OK)
        status = pye_safetensors_text(reader->model, &value, &line.file, reader->error);
    if (status != PYE_OK)
        return status;
    if (!is_plain_name(line.file)) {
        char name[PYE_QUOTE_BYTES];
        return pye_fail(reader->error, BAD, value.offset, "%s is not the name of a file beside the index",
                        pye_quote(name, line.file));
    }
    status = pye_grow(&reader->model->allocator, (void **)&reader->lines, &reader->max_lines, reader->n_lines,
                      sizeof line, reader->error);
    if (status == PYE_OK)
        reader->lines[reader->n_lines++] = line;
    return status;
}

static pye_status read_weight_map(index_reader *reader, pye_json *json) {
    pye_json_string key;
    bool more = false;
    pye_status status = pye_json_begin_object(json);
    while (status == PYE_OK && (status = pye_json_next_member(json, &key, &more)) == PYE_OK && more)
        status = read_line(reader, json, &key);
    return status;
}

/* Other members, such as sizes and the writer's version, are free text for people. */
static pye_status read_members(index_reader *reader, pye_json *json) {
    pye_json_string key;
    bool more = false;
    bool has_map = false;
    pye_status status = pye_json_begin_object(json);
    while (status == PYE_OK && (status = pye_json_next_member(json, &key, &more)) == PYE_OK && more) {
        if (!pye_json_equals(&key, "weight_map")) {
            status = pye_json_skip(json);
            continue;
        }
        if (has_map)
            return pye_fail(reader->error, BAD, key.offset, "\"weight_map\" occurs twice");
        has_map = true;
        status = read_weight_map(reader, json);
    }
    if (status == PYE_OK)
        status = pye_json_close(json);
    if (status == PYE_OK && reader->n_lines == 0)
        return pye_fail(reader->error, BAD, 0,
                        has_map ? "\"weight_map\" is empty"
                                : "there is no \"weight_map\"; not a safetensors index");
    return status;
}

static pye_status read_index(index_reader *reader) {
    pye_cursor cursor = {.map = &reader->map, .error = reader->error};
    uint64_t n_bytes = reader->map.size;
    if (n_bytes > PYE_SAFETENSORS_MAX_JSON)
        return pye_fail(reader->error, BAD, 0, "an index of %" PRIu64 " bytes; no more than %" PRIu64 " are read",
                        n_bytes, PYE_SAFETENSORS_MAX_JSON);
    if (!pye_cursor_has(&cursor, n_bytes))
        return cursor.status;
    pye_json json;
    pye_json_open(&json, &reader->map, 0, n_bytes, BAD, reader->error);
    return read_members(reader, &json);
}

/* -------------------------------------------------------------------------------- opening the files */

static int compare_files(const void *context, uint32_t a, uint32_t b) {
    const index_line *lines = context;
    return pye_string_compare(lines[a].file, lines[b].file);
}

/* Sorting brings the lines of a file together, earliest first since the sort is stable: it takes
 * n log n steps for any number of files. */
static pye_status group_lines(index_reader *reader) {
    index_line *lines = reader->lines;
    uint32_t *order = pye_sorted_order(&reader->model->allocator, reader->n_lines, compare_files, lines);
    if (order == NULL)
        return pye_fail_memory(reader->error, (uint64_t)reader->n_lines * 2 * sizeof *order);
    for (size_t i = 0; i < reader->n_lines; i++) {
        bool same = i > 0 && compare_files(lines, order[i - 1], order[i]) == 0;
        lines[order[i]].first = same ? lines[order[i - 1]].first : order[i];
    }
    pye_release(order);
    return PYE_OK;
}

static pye_status open_shard(index_reader *reader, pye_string name, pye_load_mode mode) {
    char *path;
    pye_status status = join(reader->model, reader->directory, name, &path, reader->error);
    if (status != PYE_OK)
        return status;
    status = pye_safetensors_add_file(reader->model, path, mode, reader->error);
    pye_release(path);
    return status == PYE_OK ? PYE_OK : pye_safetensors_blame(reader->error, status, "", name);
}

static pye_status open_shards(index_reader *reader, pye_load_mode mode) {
    for (size_t i = 0; i < reader->n_lines; i++) {
        index_line *line = &reader->lines[i];
        if (line->first == i) {
            line->shard = (uint32_t)reader->model->n_files;
            pye_status status = open_shard(reader, line->file, mode);
            if (status != PYE_OK)
                return status;
        } else {
            line->shard = reader->lines[line->first].shard;
        }
    }
    return PYE_OK;
}

/* ---------------------------------------------------------------------- holding the two side by side */

static int compare_tensors(const void *context, uint32_t a, uint32_t b) {
    const index_line *lines = context;
    return pye_string_compare(lines[a].tensor, lines[b].tensor);
}

/* The name a file has in the index. */
static const char *shard_name(const index_reader *reader, uint32_t shard, char buffer[PYE_QUOTE_BYTES]) {
    return pye_quote(buffer, pye_text(pye_file_name(reader->model->files[shard]->map.path)));
}

static pye_status fail_unlisted(const index_reader *reader, const pye_tensor *tensor) {
    char name[PYE_QUOTE_BYTES];
    char file[PYE_QUOTE_BYTES];
    return pye_fail(reader->error, BAD, PYE_NO_OFFSET, "tensor %s of %s is not listed",
                    pye_quote(name, tensor->name), shard_name(reader, tensor->shard, file));
}

static pye_status fail_absent(const index_reader *reader, const index_line *line) {
    char name[PYE_QUOTE_BYTES];
    char file[PYE_QUOTE_BYTES];
    return pye_fail(reader->error, BAD, line->offset, "%s holds no tensor %s", pye_quote(file, line->file),
                    pye_quote(name, line->tensor));
}

static pye_status fail_misplaced(const index_reader *reader, const index_line *line, const pye_tensor *tensor) {
    char name[PYE_QUOTE_BYTES];
    char listed[PYE_QUOTE_BYTES];
    char real[PYE_QUOTE_BYTES];
    return pye_fail(reader->error, BAD, line->offset, "tensor %s is listed in %s, but is in %s",
                    pye_quote(name, line->tensor), pye_quote(listed, line->file),
                    shard_name(reader, tensor->shard, real));
}

/* Both sides sorted by name: each line must meet its tensor, in its file, and each tensor its line. */
static pye_status compare_sides(const index_reader *reader, const uint32_t *order) {
    const pye_model *model = reader->model;
    size_t t = 0;
    for (size_t i = 0; i < reader->n_lines; i++) {
        const index_line *line = &reader->lines[order[i]];
        if (i > 0 && compare_tensors(reader->lines, order[i - 1], order[i]) == 0) {
            char name[PYE_QUOTE_BYTES];
            return pye_fail(reader->error, BAD, line->offset, "tensor %s is listed twice",
                            pye_quote(name, line->tensor));
        }
        const pye_tensor *tensor = t < model->n_tensors ? &model->tensors[model->tensors_by_name[t]] : NULL;
        int difference = tensor == NULL ? 1 : pye_string_compare(tensor->name, line->tensor);
        if (difference < 0)
            return fail_unlisted(reader, tensor);
        if (difference > 0)
            return fail_absent(reader, line);
        if (tensor->shard != line->shard)
            return fail_misplaced(reader, line, tensor);
        t++;
    }
    if (t < model->n_tensors)
        return fail_unlisted(reader, &model->tensors[model->tensors_by_name[t]]);
    return PYE_OK;
}

static pye_status check_sides(const index_reader *reader) {
    uint32_t *order = pye_sorted_order(&reader->model->allocator, reader->n_lines, compare_tensors, reader->lines);
    if (order == NULL)
        return pye_fail_memory(reader->error, (uint64_t)reader->n_lines * 2 * sizeof *order);
    pye_status status = compare_sides(reader, order);
    pye_release(order);
    return status;
}

/* ------------------------------------------------------------------------------------------ opening */

/* The index is read into memory whatever the mode: it is small, and nothing of it is needed afterwards. */
static pye_status open_with_index(index_reader *reader, pye_load_mode mode) {
    pye_error *error = reader->error;
    pye_status status = read_index(reader);
    if (status == PYE_OK)
        status = group_lines(reader);
    if (status != PYE_OK)
        return pye_safetensors_blame(error, status, "", reader->name);
    status = open_shards(reader, mode);
    if (status == PYE_OK)
        status = pye_model_sort_tensors(reader->model, BAD, error);
    if (status != PYE_OK)
        return status;
    status = check_sides(reader);
    return status == PYE_OK ? PYE_OK : pye_safetensors_blame(error, status, "", reader->name);
}

static pye_status open_index(pye_model *model, const char *path, pye_load_mode mode, pye_error *error) {
    const char *name = pye_file_name(path);
    index_reader reader = {
        .model = model,
        .error = error,
        .name = pye_text(name),
        .directory = {path, (size_t)(name - path)},
    };
    pye_status status = pye_map_open(&reader.map, &model->allocator, path, PYE_LOAD_NONE, error);
    if (status != PYE_OK)
        return pye_safetensors_blame(error, status, "", reader.name);
    status = open_with_index(&reader, mode);
    pye_release(reader.lines);
    pye_map_close(&reader.map);
    return status;
}

static pye_status open_single(pye_model *model, const char *path, pye_load_mode mode, pye_error *error) {
    pye_status status = pye_safetensors_add_file(model, path, mode, error);
    return status == PYE_OK ? pye_model_sort_tensors(model, BAD, error) : status;
}

typedef struct only_file {
    const pye_model *model;
    const char *directory;
    char **path;
    pye_status status;
    pye_error *error;
    size_t n;
} only_file;

static bool look_at(const char *name, void *context) {
    only_file *only = context;
    if (pye_ends_with(name, FILE_END) && only->n++ == 0)
        only->status = join(only->model, pye_text(only->directory), pye_text(name), only->path, only->error);
    return only->status == PYE_OK;
}

/* The only *.safetensors file of a directory; *path stays NULL without an error if there is none. */
static pye_status find_only_file(const pye_model *model, const char *directory, char **path, pye_error *error) {
    only_file only = {model, directory, path, PYE_OK, error, 0};
    int code = pye_folder_list(directory, look_at, &only);
    if (code != 0)
        return pye_fail_system(error, code, "cannot list the directory");
    if (only.status == PYE_OK && only.n != 1)
        only.status = pye_fail(error, PYE_ERROR_FORMAT, PYE_NO_OFFSET,
                               "the directory has no " INDEX_NAME " and no " SINGLE_NAME ", and %s *" FILE_END
                               "; name the file or the *" INDEX_END " to open",
                               only.n == 0 ? "no other" : "more than one");
    return only.status;
}

static pye_status open_directory(pye_model *model, const char *directory, pye_load_mode mode, pye_error *error) {
    static const char *const names[] = {INDEX_NAME, SINGLE_NAME};
    char *path = NULL;
    pye_status status = PYE_OK;
    for (size_t i = 0; status == PYE_OK && i < sizeof names / sizeof names[0]; i++) {
        pye_release(path);
        path = NULL;
        status = join(model, pye_text(directory), pye_text(names[i]), &path, error);
        if (status == PYE_OK && pye_path_exists(path)) /* a link that leads nowhere: opening it says more */
            break;
    }
    if (status == PYE_OK && !pye_path_exists(path)) {
        pye_release(path);
        path = NULL;
        status = find_only_file(model, directory, &path, error);
    }
    if (status == PYE_OK)
        status = pye_ends_with(path, INDEX_END) ? open_index(model, path, mode, error)
                                                : open_single(model, path, mode, error);
    pye_release(path);
    return status;
}

pye_status pye_safetensors_open(pye_model *model, const char *path, const pye_open_options *options,
                                pye_error *error) {
    pye_identity found;
    if (pye_path_identify(path, &found) == 0 && found.kind == PYE_FILE_FOLDER)
        return open_directory(model, path, options->load_mode, error);
    if (pye_ends_with(path, INDEX_END))
        return open_index(model, path, options->load_mode, error);
    return open_single(model, path, options->load_mode, error);
}
