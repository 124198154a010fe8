/* Filling a pye_error, in one line, at the place where something is wrong. */
#pragma once

#include "pyembed.h"

#if defined(__clang__)
#define PYE_PRINTF(format_index, first) __attribute__((format(printf, format_index, first)))
#elif defined(__GNUC__) /* which takes another printf than C's for the usual one on some systems */
#define PYE_PRINTF(format_index, first) __attribute__((format(gnu_printf, format_index, first)))
#else
#define PYE_PRINTF(format_index, first)
#endif

/* Fills `error` (if any) and returns `status`, so that a check reads `return pye_fail(...)`. */
pye_status pye_fail(pye_error *error, pye_status status, uint64_t offset, const char *format, ...)
    PYE_PRINTF(4, 5);

/* PYE_ERROR_IO for a code of the system's; the message is `format` and the system's own words. Where memory is short it is
 * PYE_ERROR_MEMORY. */
pye_status pye_fail_system(pye_error *error, int code, const char *format, ...) PYE_PRINTF(3, 4);

pye_status pye_fail_memory(pye_error *error, uint64_t n_bytes);

#define PYE_QUOTE_BYTES 96

/* A string of the file as a person can read it: quoted, cut short, bytes that are not printable ASCII and
 * not part of a well-formed UTF-8 sequence as \xNN. Returns `buffer`. */
const char *pye_quote(char buffer[PYE_QUOTE_BYTES], pye_string string);
