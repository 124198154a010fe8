/* NumPy's .npy: magic, version, the header's length, the header as a Python dict, the array.
 *
 * Of Python's grammar such a header has only strings without escapes, True and False, and tuples of whole numbers. */
#include <inttypes.h>
#include <string.h>

#include "base/byte_order.h"
#include "base/cursor.h"
#include "base/status.h"
#include "base/text.h"
#include "format/model.h"
#include "format/parsers.h"
#include "format/shape.h"

#define BAD PYE_ERROR_NPY
#define MAGIC "\x93NUMPY"
#define MAGIC_BYTES 6

enum { HAS_DESCR = 1, HAS_ORDER = 2, HAS_SHAPE = 4 };

typedef struct npy_header {
    const uint8_t *base; /* byte 0 of the file */
    uint64_t position;
    uint64_t end;
    pye_error *error;
    pye_tensor tensor;
    uint64_t item_bytes;
    bool big_endian;
    bool fortran_order;
    unsigned has;
} npy_header;

static pye_status fail(const npy_header *header, const char *message) {
    return pye_fail(header->error, BAD, header->position, "%s", message);
}

static int peek(const npy_header *header) {
    return header->position < header->end ? header->base[header->position] : -1;
}

static bool accept(npy_header *header, char wanted) {
    if (peek(header) != wanted)
        return false;
    header->position++;
    return true;
}

static void skip_space(npy_header *header) {
    while (accept(header, ' ') || accept(header, '\n') || accept(header, '\r') || accept(header, '\t'))
        continue;
}

static bool is_digit(int c) { return c >= '0' && c <= '9'; }

/* False, and nothing moved, where no number begins or it does not fit 64 bits. */
static bool take_number(npy_header *header, uint64_t *value) {
    uint64_t first = header->position;
    *value = 0;
    for (int c; is_digit(c = peek(header)); header->position++) {
        uint64_t digit = (uint64_t)(c - '0');
        if (*value > (UINT64_MAX - digit) / 10) {
            header->position = first;
            return false;
        }
        *value = *value * 10 + digit;
    }
    return header->position > first;
}

static pye_status take_string(npy_header *header, pye_string *string) {
    char quote = (char)peek(header);
    if (!accept(header, '\'') && !accept(header, '"'))
        return fail(header, "a quoted string was expected");
    uint64_t first = header->position;
    for (int c; (c = peek(header)) != quote; header->position++)
        if (c < 0x20 || c > 0x7E || c == '\\')
            return fail(header, c < 0 ? "a string has no end"
                                      : "a string has an escape or a byte that is not printable ASCII");
    *string = (pye_string){(const char *)header->base + first, (size_t)(header->position - first)};
    header->position++;
    return PYE_OK;
}

/* ------------------------------------------------------------------------------------------- values */

static int32_t type_of(int kind, uint64_t size) {
    if (kind == 'f')
        return size == 2 ? PYE_TYPE_F16 : size == 4 ? PYE_TYPE_F32 : size == 8 ? PYE_TYPE_F64 : PYE_TYPE_UNKNOWN;
    if (kind == 'i')
        return size == 1   ? PYE_TYPE_I8
               : size == 2 ? PYE_TYPE_I16
               : size == 4 ? PYE_TYPE_I32
               : size == 8 ? PYE_TYPE_I64
                           : PYE_TYPE_UNKNOWN;
    return PYE_TYPE_UNKNOWN;
}

/* Takes the rest of a descr after its byte order: a kind and a size, for times also a unit. Kinds
 * that are not numbers to gather are listed without a type; a bfloat16 array arrives as one of these, V2. */
static pye_status take_kind(npy_header *header, char quote) {
    int kind = peek(header);
    if (kind == 'O')
        return fail(header, "an array of Python objects; save it as numbers, as in array.astype('float32')");
    if (kind < 0 || kind == '\0' || strchr("biufcVSUmM", kind) == NULL)
        return fail(header, "\"descr\" names an unknown data type");
    header->position++;
    uint64_t size;
    if (!take_number(header, &size) || size > UINT32_MAX)
        return fail(header, "the data type has an invalid size");
    header->tensor.type = type_of(kind, size);
    header->item_bytes = kind == 'U' ? size * 4 : size;
    if (kind == 'm' || kind == 'M')
        while (peek(header) != quote && peek(header) > 0x20 && peek(header) < 0x7F)
            header->position++;
    return PYE_OK;
}

static pye_status read_descr(npy_header *header) {
    if (peek(header) == '[')
        return fail(header, "a structured array has no rows of numbers; save one field of it, as in "
                            "np.ascontiguousarray(array['name'])");
    uint64_t first = header->position;
    pye_string text;
    pye_status status = take_string(header, &text);
    if (status != PYE_OK)
        return status;
    uint64_t after = header->position;
    header->position = first + 1;
    int order = peek(header);
    if (order != '<' && order != '>' && order != '=' && order != '|')
        return fail(header, "\"descr\" does not begin with a byte order: one of < > = |");
    header->position++;
    status = take_kind(header, (char)header->base[first]);
    if (status != PYE_OK)
        return status;
    if (header->position != after - 1)
        return fail(header, "\"descr\" holds more than a data type");
    if (order == '|' && header->item_bytes > 1 && header->tensor.type != PYE_TYPE_UNKNOWN)
        return fail(header, "\"descr\" does not give the byte order");
    header->position = after;
    header->tensor.type_name = text;
    header->big_endian = order == '>' || (order == '=' && pye_host_is_big_endian());
    return PYE_OK;
}

static bool accept_word(npy_header *header, const char *word) {
    size_t n = strlen(word);
    if (header->end - header->position < n || memcmp(header->base + header->position, word, n) != 0)
        return false;
    header->position += n;
    return true;
}

static pye_status read_order(npy_header *header) {
    header->fortran_order = accept_word(header, "True");
    if (!header->fortran_order && !accept_word(header, "False"))
        return fail(header, "\"fortran_order\" must be True or False");
    return PYE_OK;
}

static pye_status read_shape(npy_header *header) {
    if (!accept(header, '('))
        return fail(header, "\"shape\" must be a tuple");
    bool comma = true;
    size_t n = 0;
    for (skip_space(header); !accept(header, ')'); skip_space(header), n++) {
        uint64_t dimension;
        if (!comma)
            return fail(header, "a comma or the end of \"shape\" was expected");
        if (!take_number(header, &dimension))
            return fail(header, "\"shape\" must hold whole numbers of at most 64 bits");
        (void)accept(header, 'L'); /* Python 2 wrote long integers so */
        if (!pye_shape_append(&header->tensor, dimension))
            return fail(header, "the shape does not fit 64 bits");
        skip_space(header);
        comma = accept(header, ',');
    }
    if (n == 1 && !comma)
        return fail(header, "\"shape\" must be a tuple, which with one dimension ends in a comma");
    return PYE_OK;
}

/* ------------------------------------------------------------------------------------------- header */

static pye_status read_item(npy_header *header) {
    static const struct field {
        const char *name;
        unsigned bit;
        pye_status (*read)(npy_header *header);
    } fields[] = {
        {"descr", HAS_DESCR, read_descr},
        {"fortran_order", HAS_ORDER, read_order},
        {"shape", HAS_SHAPE, read_shape},
    };
    uint64_t offset = header->position;
    pye_string key;
    pye_status status = take_string(header, &key);
    if (status != PYE_OK)
        return status;
    skip_space(header);
    if (!accept(header, ':'))
        return fail(header, "a colon was expected");
    skip_space(header);
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++) {
        if (pye_string_compare(key, pye_text(fields[i].name)) != 0)
            continue;
        if (header->has & fields[i].bit)
            return pye_fail(header->error, BAD, offset, "\"%s\" occurs twice", fields[i].name);
        header->has |= fields[i].bit;
        return fields[i].read(header);
    }
    char name[PYE_QUOTE_BYTES];
    return pye_fail(header->error, BAD, offset, "the key %s is not part of the format", pye_quote(name, key));
}

static pye_status read_dict(npy_header *header) {
    skip_space(header);
    if (!accept(header, '{'))
        return fail(header, "the header does not begin with '{'");
    bool comma = true;
    for (skip_space(header); !accept(header, '}'); skip_space(header)) {
        if (!comma)
            return fail(header, "a comma or the end of the header was expected");
        pye_status status = read_item(header);
        if (status != PYE_OK)
            return status;
        skip_space(header);
        comma = accept(header, ',');
    }
    skip_space(header);
    if (header->position != header->end)
        return fail(header, "unexpected text after the dict");
    const char *missing = !(header->has & HAS_DESCR)   ? "descr"
                          : !(header->has & HAS_ORDER) ? "fortran_order"
                          : !(header->has & HAS_SHAPE) ? "shape"
                                                       : NULL;
    if (missing != NULL)
        return pye_fail(header->error, BAD, header->position, "the header has no \"%s\"", missing);
    return PYE_OK;
}

static pye_status fail_short(const pye_cursor *cursor) {
    if (cursor->status != PYE_OK)
        return cursor->status;
    return pye_fail(cursor->error, BAD, cursor->map->size, "the file ends inside its header");
}

/* Finds the header and makes it readable. The version and the length are little-endian in every file. */
static pye_status locate_header(pye_file *file, npy_header *header, pye_error *error) {
    pye_cursor cursor = {.map = &file->map, .error = error};
    const uint8_t *bytes;
    const uint8_t *length;
    uint64_t n_bytes = 0;
    if (!pye_cursor_bytes(&cursor, MAGIC_BYTES + 2, &bytes))
        return fail_short(&cursor);
    if (memcmp(bytes, MAGIC, MAGIC_BYTES) != 0)
        return pye_fail(error, BAD, 0, "not a .npy file: it does not begin with its magic");
    uint8_t major = bytes[MAGIC_BYTES];
    uint8_t minor = bytes[MAGIC_BYTES + 1];
    if (major < 1 || major > 3 || minor != 0)
        return pye_fail(error, BAD, MAGIC_BYTES,
                        "version %u.%u of the .npy format is not supported; 1.0 to 3.0 are", (unsigned)major,
                        (unsigned)minor);
    unsigned length_bytes = major == 1 ? 2 : 4;
    if (!pye_cursor_bytes(&cursor, length_bytes, &length))
        return fail_short(&cursor);
    for (unsigned i = 0; i < length_bytes; i++)
        n_bytes |= (uint64_t)length[i] << (8 * i);
    header->position = cursor.position;
    if (!pye_cursor_bytes(&cursor, n_bytes, &header->base))
        return fail_short(&cursor);
    header->base = file->map.base;
    header->end = cursor.position;
    header->error = error;
    file->facts.version = major;
    return PYE_OK;
}

static pye_status check_array(npy_header *header, uint64_t left) {
    pye_tensor *tensor = &header->tensor;
    if (header->fortran_order && tensor->n_dims > 1)
        return pye_fail(header->error, BAD, header->end,
                        "the array is in Fortran order, so its rows are not contiguous; save "
                        "np.ascontiguousarray(array) instead");
    if (!pye_shape_size(tensor, header->item_bytes, &tensor->n_bytes))
        return pye_fail(header->error, BAD, header->end, "the array's size does not fit 63 bits");
    if (tensor->n_bytes > left)
        return pye_fail(header->error, BAD, header->end,
                        "the array takes %" PRIu64 " bytes, but only %" PRIu64 " follow; the file was cut short",
                        tensor->n_bytes, left);
    return PYE_OK;
}

static pye_status read_array(pye_model *model, pye_file *file, pye_error *error) {
    npy_header header = {.tensor = {.name = {"data", 4}}};
    pye_status status = locate_header(file, &header, error);
    if (status == PYE_OK)
        status = read_dict(&header);
    if (status == PYE_OK)
        status = check_array(&header, file->map.size - header.end);
    if (status != PYE_OK)
        return status;
    const pye_type_info *type = pye_type_info_of(header.tensor.type);
    if (type != NULL)
        header.tensor.type_name = pye_text(type->name);
    header.tensor.offset = header.end;
    file->swap = header.big_endian != pye_host_is_big_endian();
    file->facts.big_endian = header.big_endian;
    file->facts.data_offset = header.end;
    file->facts.n_tensors = 1;
    return pye_model_add_tensor(model, &header.tensor, error);
}

pye_status pye_npy_open(pye_model *model, const char *path, const pye_open_options *options, pye_error *error) {
    pye_file *file;
    pye_status status = pye_model_add_file(model, path, options->load_mode, &file, error);
    if (status == PYE_OK)
        status = read_array(model, file, error);
    if (status == PYE_OK)
        status = pye_model_sort_tensors(model, BAD, error);
    return status == PYE_OK ? pye_map_settle(&file->map, file->facts.data_offset, error) : status;
}
