#include "base/status.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "base/system_error.h"
#include "base/utf8.h"

#define PYE_STATUS(name, number, text) _Static_assert(name == (number), "status numbers are part of the ABI");
#include "base/status.def"
#undef PYE_STATUS

const char *pye_status_name(pye_status status) {
    switch (status) {
#define PYE_STATUS(name, number, text)                                                                            \
    case name:                                                                                                    \
        return text;
#include "base/status.def"
#undef PYE_STATUS
    }
    return "unknown status";
}

static void fill(pye_error *error, pye_status status, int number, uint64_t offset, const char *format,
                 va_list arguments) {
    error->status = status;
    error->system_errno = number;
    error->offset = offset;
    error->shard = 0;
    (void)vsnprintf(error->message, sizeof error->message, format, arguments);
}

pye_status pye_fail(pye_error *error, pye_status status, uint64_t offset, const char *format, ...) {
    if (error != NULL) {
        va_list arguments;
        va_start(arguments, format);
        fill(error, status, 0, offset, format, arguments);
        va_end(arguments);
    }
    return status;
}

pye_status pye_fail_system(pye_error *error, int code, const char *format, ...) {
    int number = pye_system_errno(code);
    pye_status status = number == ENOMEM ? PYE_ERROR_MEMORY : PYE_ERROR_IO;
    if (error != NULL) {
        va_list arguments;
        va_start(arguments, format);
        fill(error, status, number, PYE_NO_OFFSET, format, arguments);
        va_end(arguments);
        char words[PYE_SYSTEM_TEXT_BYTES];
        size_t used = strlen(error->message);
        (void)snprintf(error->message + used, sizeof error->message - used, ": %s", pye_system_text(code, words));
    }
    return status;
}

pye_status pye_fail_memory(pye_error *error, uint64_t n_bytes) {
    return pye_fail(error, PYE_ERROR_MEMORY, PYE_NO_OFFSET, "cannot allocate %" PRIu64 " bytes", n_bytes);
}

/* False for controls, and for what is invisible or turns the direction of a line: one character of n bytes of UTF-8. */
static bool is_plain(const uint8_t *bytes, size_t n) {
    switch (n) {
    case 1:
        return bytes[0] >= 0x20 && bytes[0] != 0x7F;
    case 2: /* U+0080 to U+009F, U+00AD, U+061C */
        return !(bytes[0] == 0xC2 && (bytes[1] < 0xA0 || bytes[1] == 0xAD)) &&
               !(bytes[0] == 0xD8 && bytes[1] == 0x9C);
    case 3: /* U+200B to U+200F, U+2028 to U+202E, U+2060 to U+206F, U+FEFF */
        if (bytes[0] == 0xE2 && bytes[1] == 0x80)
            return !((bytes[2] >= 0x8B && bytes[2] <= 0x8F) || (bytes[2] >= 0xA8 && bytes[2] <= 0xAE));
        return !(bytes[0] == 0xE2 && bytes[1] == 0x81 && bytes[2] >= 0xA0 && bytes[2] <= 0xAF) &&
               !(bytes[0] == 0xEF && bytes[1] == 0xBB && bytes[2] == 0xBF);
    default:
        return n == 4;
    }
}

const char *pye_quote(char buffer[PYE_QUOTE_BYTES], pye_string string) {
    static const char hex[] = "0123456789abcdef";
    const uint8_t *bytes = (const uint8_t *)string.data;
    size_t used = 0;
    buffer[used++] = '\'';
    /* 4 bytes for the longest piece, 3 for the dots, 2 for the closing quote and the NUL. */
    size_t limit = PYE_QUOTE_BYTES - 4 - 3 - 2;
    size_t i = 0;
    while (i < string.size && used <= limit) {
        size_t n = pye_utf8_length(bytes + i, string.size - i);
        if (!is_plain(bytes + i, n)) {
            buffer[used++] = '\\';
            buffer[used++] = 'x';
            buffer[used++] = hex[bytes[i] >> 4];
            buffer[used++] = hex[bytes[i] & 15];
            i++;
        } else {
            memcpy(buffer + used, bytes + i, n);
            used += n;
            i += n;
        }
    }
    if (i < string.size) {
        memcpy(buffer + used, "...", 3);
        used += 3;
    }
    buffer[used++] = '\'';
    buffer[used] = '\0';
    return buffer;
}
