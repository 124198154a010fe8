/* What a system says went wrong: a number of its own, errno or another, 0 for nothing. Functions of files, mappings and pages
 * return it. */
#pragma once

#include <stddef.h>

/* Long enough for a system's words and what to do about it. */
#define PYE_SYSTEM_TEXT_BYTES 256

/* The errno that means the same; EIO where there is none. */
int pye_system_errno(int code);

/* What it means in words, without an end of line, as UTF-8. Returns `text`. */
const char *pye_system_text(int code, char text[PYE_SYSTEM_TEXT_BYTES]);
