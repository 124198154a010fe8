/* Ids in a caller's memory, of any of the types that pyembed.h knows. */
#pragma once

#include <stddef.h>
#include <string.h>

#include "pyembed.h"

/* ids[i], widened. Negative ids become the largest numbers there are: nothing has 2^63 rows or tokens. */
static inline uint64_t pye_id_at(const void *ids, pye_id_type type, size_t i) {
    switch (type) {
#define PYE_ID_CASE(name, number)                                                                                 \
    case name: {                                                                                                  \
        number id;                                                                                                \
        memcpy(&id, (const uint8_t *)ids + i * sizeof id, sizeof id);                                             \
        return (uint64_t)id;                                                                                      \
    }
        PYE_ID_CASE(PYE_ID_I32, int32_t)
        PYE_ID_CASE(PYE_ID_I64, int64_t)
        PYE_ID_CASE(PYE_ID_U32, uint32_t)
        PYE_ID_CASE(PYE_ID_U64, uint64_t)
        PYE_ID_CASE(PYE_ID_I16, int16_t)
        PYE_ID_CASE(PYE_ID_U16, uint16_t)
        PYE_ID_CASE(PYE_ID_I8, int8_t)
        PYE_ID_CASE(PYE_ID_U8, uint8_t)
#undef PYE_ID_CASE
    }
    return UINT64_MAX;
}

static inline size_t pye_id_bytes(pye_id_type type) {
    switch (type) {
    case PYE_ID_I64:
    case PYE_ID_U64:
        return 8;
    case PYE_ID_I16:
    case PYE_ID_U16:
        return 2;
    case PYE_ID_I8:
    case PYE_ID_U8:
        return 1;
    default:
        return 4;
    }
}
