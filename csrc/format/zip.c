/* The directory of a zip archive is at its end: anything may precede the archive, a program too. Reads are bounded: the last
 * 64 KiB, which say where the directory is, and at most 16 MiB of directory. */
#include "format/zip.h"

#include <inttypes.h>
#include <string.h>

#include "base/status.h"

#define END_BYTES UINT64_C(22) /* of the end record, without its comment */
#define MAX_COMMENT UINT64_C(65535)
#define LOCATOR_BYTES UINT64_C(20) /* of the record that locates the end record of a large archive */
#define LARGE_END_BYTES UINT64_C(56)
#define ENTRY_BYTES UINT64_C(46)
#define LOCAL_BYTES UINT64_C(30)
#define MAX_DIRECTORY (UINT64_C(16) << 20)
#define STORED 0
#define ENCRYPTED 1u
#define IN_EXTRA UINT32_MAX /* the number is in the extra field, with 64 bits */

/* Numbers are little-endian on any machine. */
static uint64_t number(const uint8_t *bytes, int n) {
    uint64_t value = 0;
    for (int i = n - 1; i >= 0; i--)
        value = value << 8 | bytes[i];
    return value;
}

static bool has_mark(const uint8_t *bytes, char third, char fourth) {
    return bytes[0] == 'P' && bytes[1] == 'K' && bytes[2] == (uint8_t)third && bytes[3] == (uint8_t)fourth;
}

/* Makes a part of the file readable. NULL if it is not inside the file, or if reading it fails, as `status` says. */
static const uint8_t *bytes_at(pye_map *map, uint64_t offset, uint64_t n_bytes, pye_status *status,
                               pye_error *error) {
    if (offset > map->size || n_bytes > map->size - offset)
        return NULL;
    static const pye_interrupt never = {0}; /* a short read */
    *status = pye_map_load(map, offset, n_bytes, NULL, NULL, &never, error);
    return *status == PYE_OK ? map->base + offset : NULL;
}

/* ----------------------------------------------------------------------------------------- directory */

typedef struct zip_directory {
    uint64_t offset;
    uint64_t n_bytes;
    uint64_t before; /* bytes before the archive, which its offsets do not count */
} zip_directory;

/* The end record of an archive whose size or entries exceed the numbers of the ordinary one. */
static bool read_large_end(pye_map *map, uint64_t end, uint64_t *end_of_directory, zip_directory *found,
                           pye_status *status, pye_error *error) {
    if (end < LOCATOR_BYTES + LARGE_END_BYTES)
        return false;
    const uint8_t *locator = bytes_at(map, end - LOCATOR_BYTES, LOCATOR_BYTES, status, error);
    if (locator == NULL || !has_mark(locator, 6, 7))
        return false;
    uint64_t latest = end - LOCATOR_BYTES - LARGE_END_BYTES;
    uint64_t stated = number(locator + 8, 8);
    uint64_t places[] = {stated < latest ? stated : latest, latest};
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++) {
        const uint8_t *record = bytes_at(map, places[i], LARGE_END_BYTES, status, error);
        if (record == NULL)
            return false;
        if (!has_mark(record, 6, 6))
            continue;
        found->n_bytes = number(record + 40, 8);
        found->offset = number(record + 48, 8);
        *end_of_directory = places[i];
        return true;
    }
    return false;
}

/* False if no archive ends with the file. What looks like an end record inside a comment does not end with the file. */
static bool find_end(pye_map *map, uint64_t *end, pye_status *status, pye_error *error) {
    uint64_t n = map->size < END_BYTES + MAX_COMMENT ? map->size : END_BYTES + MAX_COMMENT;
    uint64_t first = map->size - n;
    const uint8_t *tail = bytes_at(map, first, n, status, error);
    if (tail == NULL || n < END_BYTES)
        return false;
    for (uint64_t i = n - END_BYTES + 1; i-- > 0;) {
        if (has_mark(tail + i, 5, 6) && number(tail + i + 20, 2) == n - i - END_BYTES) {
            *end = first + i;
            return true;
        }
    }
    return false;
}

static bool begins_directory(pye_map *map, uint64_t offset, pye_status *status, pye_error *error) {
    const uint8_t *bytes = bytes_at(map, offset, 4, status, error);
    return bytes != NULL && has_mark(bytes, 1, 2);
}

/* The offsets of an archive count from its own first byte or, if its writer knew of a program before it, from the file's.
 * The directory ends where its end record begins, which shows which of the two. */
static bool find_directory(pye_map *map, zip_directory *found, pye_status *status, pye_error *error) {
    uint64_t end;
    if (!find_end(map, &end, status, error))
        return false;
    uint64_t end_of_directory = end;
    const uint8_t *record = map->base + end;
    found->n_bytes = number(record + 12, 4);
    found->offset = number(record + 16, 4);
    bool is_large =
        number(record + 10, 2) == UINT16_MAX || found->n_bytes == IN_EXTRA || found->offset == IN_EXTRA;
    if (is_large && !read_large_end(map, end, &end_of_directory, found, status, error) && *status != PYE_OK)
        return false;
    if (found->n_bytes == 0 || found->n_bytes > end_of_directory)
        return false;
    uint64_t place = end_of_directory - found->n_bytes;
    if (found->offset <= place && begins_directory(map, place, status, error)) {
        found->before = place - found->offset;
        found->offset = place;
        return true;
    }
    found->before = 0;
    return found->offset <= place && begins_directory(map, found->offset, status, error);
}

/* ------------------------------------------------------------------------------------------- entries */

typedef struct entry {
    pye_string name;
    uint64_t flags;
    uint64_t method;
    uint64_t packed_bytes;
    uint64_t n_bytes;
    uint64_t local; /* offset of its local header, as the archive counts */
} entry;

/* The numbers that do not fit 32 bits, in the order of their definition. False if the field is missing or too short. */
static bool read_large_numbers(const uint8_t *extra, uint64_t n_bytes, entry *found) {
    uint64_t *const numbers[] = {&found->n_bytes, &found->packed_bytes, &found->local};
    bool is_needed = false;
    for (size_t i = 0; i < 3; i++)
        is_needed = is_needed || *numbers[i] == IN_EXTRA;
    if (!is_needed)
        return true;
    while (n_bytes >= 4) {
        uint64_t size = number(extra + 2, 2);
        if (size > n_bytes - 4)
            return false;
        if (number(extra, 2) != 1) {
            extra += 4 + size;
            n_bytes -= 4 + size;
            continue;
        }
        extra += 4;
        for (size_t i = 0; i < 3; i++) {
            if (*numbers[i] != IN_EXTRA)
                continue;
            if (size < 8)
                return false;
            *numbers[i] = number(extra, 8);
            extra += 8;
            size -= 8;
        }
        return true;
    }
    return false;
}

/* The entry at `*at`, which moves past it. False at the end of the directory, or if that is damaged. */
static bool next_entry(const uint8_t *bytes, uint64_t n_bytes, uint64_t *at, entry *found) {
    uint64_t left = n_bytes - *at;
    if (left < ENTRY_BYTES || !has_mark(bytes + *at, 1, 2))
        return false;
    const uint8_t *fields = bytes + *at;
    uint64_t name_bytes = number(fields + 28, 2);
    uint64_t extra_bytes = number(fields + 30, 2);
    uint64_t comment_bytes = number(fields + 32, 2);
    if (name_bytes + extra_bytes + comment_bytes > left - ENTRY_BYTES)
        return false;
    *found = (entry){
        .name = {(const char *)fields + ENTRY_BYTES, (size_t)name_bytes},
        .flags = number(fields + 8, 2),
        .method = number(fields + 10, 2),
        .packed_bytes = number(fields + 20, 4),
        .n_bytes = number(fields + 24, 4),
        .local = number(fields + 42, 4),
    };
    *at += ENTRY_BYTES + name_bytes + extra_bytes + comment_bytes;
    return read_large_numbers(fields + ENTRY_BYTES + name_bytes, extra_bytes, found);
}

static bool is_named_gguf(pye_string name) {
    static const char end[] = ".gguf";
    size_t n = sizeof end - 1;
    if (name.size < n)
        return false;
    for (size_t i = 0; i < n; i++) {
        char c = name.data[name.size - n + i];
        if ((c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c) != end[i])
            return false;
    }
    return true;
}

/* The range of a stored entry's bytes. */
static pye_status place_entry(pye_map *map, const zip_directory *directory, const entry *found, pye_range *place,
                              pye_error *error) {
    char name[PYE_QUOTE_BYTES];
    pye_status status = PYE_OK;
    (void)pye_quote(name, found->name);
    uint64_t room = directory->offset - directory->before; /* by the archive's own count */
    if (found->local <= room && room - found->local >= LOCAL_BYTES) {
        uint64_t offset = found->local + directory->before;
        const uint8_t *header = bytes_at(map, offset, LOCAL_BYTES, &status, error);
        if (status != PYE_OK)
            return status;
        if (header != NULL && has_mark(header, 3, 4)) {
            uint64_t header_bytes = LOCAL_BYTES + number(header + 26, 2) + number(header + 28, 2);
            uint64_t left = directory->offset - offset;
            if (header_bytes <= left && found->n_bytes <= left - header_bytes) {
                *place = (pye_range){offset + header_bytes, found->n_bytes};
                return PYE_OK;
            }
        }
    }
    return pye_fail(error, PYE_ERROR_GGUF, directory->offset,
                    "the zip archive is damaged: its entry %s is not where its directory says; is the file "
                    "truncated?",
                    name);
}

pye_status pye_zip_find_gguf(pye_map *map, pye_range *place, pye_error *error) {
    pye_status status = PYE_OK;
    zip_directory directory = {0};
    if (!find_directory(map, &directory, &status, error))
        return status != PYE_OK ? status : PYE_ERROR_NOT_FOUND;
    if (directory.n_bytes > MAX_DIRECTORY)
        return pye_fail(error, PYE_ERROR_GGUF, directory.offset,
                        "the directory of the zip archive takes %" PRIu64 " bytes; at most %" PRIu64 " are read",
                        directory.n_bytes, MAX_DIRECTORY);
    const uint8_t *bytes = bytes_at(map, directory.offset, directory.n_bytes, &status, error);
    if (bytes == NULL)
        return status != PYE_OK ? status : PYE_ERROR_NOT_FOUND;
    entry found = {0};
    entry chosen = {0};
    size_t n = 0;
    for (uint64_t at = 0; next_entry(bytes, directory.n_bytes, &at, &found);)
        if (is_named_gguf(found.name) && n++ == 0)
            chosen = found;
    if (n == 0)
        return PYE_ERROR_NOT_FOUND;
    char name[PYE_QUOTE_BYTES];
    (void)pye_quote(name, chosen.name);
    if (n > 1)
        return pye_fail(error, PYE_ERROR_GGUF, directory.offset,
                        "the zip archive holds %zu GGUF files, %s and others: unpack the one you want", n, name);
    if (chosen.method != STORED || (chosen.flags & ENCRYPTED) != 0 || chosen.packed_bytes != chosen.n_bytes)
        return pye_fail(error, PYE_ERROR_GGUF, directory.offset,
                        "the zip archive holds %s compressed or encrypted: unpack it", name);
    return place_entry(map, &directory, &chosen, place, error);
}
