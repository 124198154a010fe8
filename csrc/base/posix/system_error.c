#include "base/system_error.h"

#include <stdio.h>
#include <string.h>

int pye_system_errno(int code) { return code; }

const char *pye_system_text(int code, char text[PYE_SYSTEM_TEXT_BYTES]) {
    (void)snprintf(text, PYE_SYSTEM_TEXT_BYTES, "%s", strerror(code));
    return text;
}
