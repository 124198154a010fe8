#include "format/config.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/status.h"
#include "base/text.h"
#include "format/json.h"
#include "format/safetensors.h"

#define BAD PYE_ERROR_SAFETENSORS
#define NAME "config.json"

/* Those of models with settings for each of many modules are a few MB. */
#define MAX_BYTES (UINT64_C(16) << 20)

typedef struct settings {
    uint64_t bits;  /* 0: it does not say */
    uint64_t group; /* likewise */
    char mode[16];  /* "": likewise */
    bool is_off;    /* `false` in place of settings: the module is not quantised */
} settings;

typedef struct config_reader {
    const pye_allocator *allocator;
    pye_json json;
    pye_string stem;
    pye_string table;
    settings common;
    settings own; /* of the modules that are asked for */
    bool has_quantization;
    bool has_own;
} config_reader;

/* The next value's first byte. */
static int first_byte(pye_json *json) {
    uint64_t at = pye_json_offset(json);
    return at < json->end ? json->base[at] : -1;
}

static pye_status take_mode(pye_json *json, settings *to) {
    pye_json_string text;
    pye_status status = pye_json_take_string(json, &text);
    if (status != PYE_OK)
        return status;
    if (text.escaped || text.raw.size >= sizeof to->mode)
        return pye_fail(json->error, BAD, text.offset, "the mode of a quantization is not one that is known");
    memcpy(to->mode, text.raw.data, text.raw.size);
    to->mode[text.raw.size] = '\0';
    return PYE_OK;
}

/* One of the three settings; others are skipped. */
static pye_status take_setting(pye_json *json, const pye_json_string *key, settings *to) {
    if (pye_json_equals(key, "bits"))
        return pye_json_take_u64(json, &to->bits);
    if (pye_json_equals(key, "group_size"))
        return pye_json_take_u64(json, &to->group);
    if (pye_json_equals(key, "mode") && first_byte(json) == '"')
        return take_mode(json, to);
    return pye_json_skip(json);
}

/* The settings of one module: an object, or a truth value. */
static pye_status take_module(pye_json *json, settings *to) {
    *to = (settings){.is_off = first_byte(json) == 'f'};
    if (first_byte(json) != '{')
        return pye_json_skip(json);
    pye_json_string key;
    bool more = false;
    pye_status status = pye_json_begin_object(json);
    while (status == PYE_OK && (status = pye_json_next_member(json, &key, &more)) == PYE_OK && more)
        status = take_setting(json, &key, to);
    return status;
}

/* Whether a module is the one that is asked for, its table, or another shard of that. */
static bool is_wanted(const config_reader *reader, pye_string module) {
    if (pye_string_compare(module, reader->stem) == 0)
        return true;
    if (reader->table.size == 0 || !pye_string_starts(module, reader->table))
        return false;
    pye_string rest = pye_string_after(module, reader->table.size);
    return rest.size == 0 || pye_string_starts(rest, pye_text(".shard_")) ||
           pye_string_starts(rest, pye_text(".shards."));
}

static bool is_same(const settings *a, const settings *b) {
    return a->bits == b->bits && a->group == b->group && a->is_off == b->is_off && strcmp(a->mode, b->mode) == 0;
}

static pye_status take_own(config_reader *reader, const pye_json_string *key) {
    settings found;
    pye_status status = take_module(&reader->json, &found);
    if (status != PYE_OK)
        return status;
    char name[PYE_QUOTE_BYTES];
    if (reader->has_own && !is_same(&found, &reader->own))
        return pye_fail(reader->json.error, BAD, key->offset,
                        "the quantization of %s is not that of other modules of the same table",
                        pye_quote(name, key->raw));
    reader->own = found;
    reader->has_own = true;
    return PYE_OK;
}

static pye_status take_entry(config_reader *reader, const pye_json_string *key) {
    char *copy = NULL;
    pye_string name = key->raw;
    if (key->escaped) {
        copy = pye_allocate(reader->allocator, key->raw.size);
        if (copy == NULL)
            return pye_fail_memory(reader->json.error, key->raw.size);
        name = (pye_string){copy, pye_json_unescape(key, copy)};
    }
    bool is_own = is_wanted(reader, name);
    pye_release(copy);
    return is_own ? take_own(reader, key) : take_setting(&reader->json, key, &reader->common);
}

static pye_status take_quantization(config_reader *reader, const pye_json_string *key) {
    pye_json *json = &reader->json;
    if (reader->has_quantization)
        return pye_fail(json->error, BAD, key->offset, "\"quantization\" occurs twice");
    if (first_byte(json) != '{')
        return pye_json_skip(json);
    reader->has_quantization = true;
    pye_json_string name;
    bool more = false;
    pye_status status = pye_json_begin_object(json);
    while (status == PYE_OK && (status = pye_json_next_member(json, &name, &more)) == PYE_OK && more)
        status = take_entry(reader, &name);
    return status;
}

static pye_status read_config(config_reader *reader, pye_map *map, pye_error *error) {
    if (map->size > MAX_BYTES)
        return pye_fail(error, BAD, 0, "%" PRIu64 " bytes; no more than %" PRIu64 " are read", map->size,
                        MAX_BYTES);
    pye_status status = pye_map_reveal(map, map->size, error);
    if (status != PYE_OK)
        return status;
    pye_json *json = &reader->json;
    pye_json_open(json, map, 0, map->size, BAD, error);
    pye_json_string key;
    bool more = false;
    status = pye_json_begin_object(json);
    while (status == PYE_OK && (status = pye_json_next_member(json, &key, &more)) == PYE_OK && more)
        status = pye_json_equals(&key, "quantization") ? take_quantization(reader, &key) : pye_json_skip(json);
    return status == PYE_OK ? pye_json_close(json) : status;
}

/* A module's own settings replace the common ones as a whole. */
static void settle(const config_reader *reader, pye_quantization *found) {
    const settings *from = reader->has_own && reader->own.bits != 0 ? &reader->own : &reader->common;
    found->is_off = reader->has_own && reader->own.is_off;
    found->is_known = !found->is_off && from->bits != 0 && from->group != 0;
    found->bits = from->bits;
    found->group = from->group;
    (void)snprintf(found->mode, sizeof found->mode, "%s", from->mode[0] != '\0' ? from->mode : "affine");
}

static pye_status join(const pye_model *model, uint32_t file, char **path, pye_error *error) {
    const char *beside = model->files[file]->map.path;
    size_t n = (size_t)(pye_file_name(beside) - beside);
    *path = pye_allocate(&model->allocator, n + sizeof NAME);
    if (*path == NULL)
        return pye_fail_memory(error, n + sizeof NAME);
    memcpy(*path, beside, n);
    memcpy(*path + n, NAME, sizeof NAME);
    return PYE_OK;
}

pye_status pye_config_quantization(const pye_model *model, uint32_t file, pye_string stem, pye_string table,
                                   pye_quantization *found, pye_error *error) {
    memset(found, 0, sizeof *found);
    char *path;
    pye_status status = join(model, file, &path, error);
    if (status != PYE_OK)
        return status;
    pye_map map;
    pye_error why;
    status = pye_map_open(&map, &model->allocator, path, PYE_LOAD_NONE, &why);
    pye_release(path);
    if (status == PYE_ERROR_IO && why.system_errno == ENOENT)
        return PYE_OK;
    if (status != PYE_OK) {
        if (error != NULL)
            *error = why;
        return pye_safetensors_blame(error, status, "", pye_text(NAME));
    }
    config_reader reader = {.allocator = &model->allocator, .stem = stem, .table = table};
    status = read_config(&reader, &map, error);
    pye_map_close(&map);
    if (status != PYE_OK)
        return pye_safetensors_blame(error, status, "", pye_text(NAME));
    settle(&reader, found);
    return PYE_OK;
}
