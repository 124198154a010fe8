/* Size-prefixed option structs: a caller compiled against an older header passes a shorter one. */
#pragma once

#include <string.h>

#include "base/status.h"

/* Copies `given` (which begins with its own size and may be NULL) over zeros into `known`. A longer struct comes
 * from a newer header: it is refused if it sets anything that this library does not know. */
static inline pye_status pye_copy_options(void *known, size_t known_bytes, const void *given, const char *name,
                                          pye_error *error) {
    memset(known, 0, known_bytes);
    if (given == NULL)
        return PYE_OK;
    size_t given_bytes;
    memcpy(&given_bytes, given, sizeof given_bytes);
    if (given_bytes < sizeof given_bytes)
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET, "%s.struct_bytes is %zu: set it to sizeof(%s)",
                        name, given_bytes, name);
    for (size_t i = known_bytes; i < given_bytes; i++)
        if (((const unsigned char *)given)[i] != 0)
            return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET,
                            "%s sets a field that this version of the library does not know", name);
    memcpy(known, given, given_bytes < known_bytes ? given_bytes : known_bytes);
    return PYE_OK;
}
