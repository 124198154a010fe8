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

/* ids[first] .. ids[first + n - 1] likewise, which is quicker than one by one. */
static inline void pye_ids_at(const void *ids, pye_id_type type, size_t first, size_t n, uint64_t *to) {
    if (type == PYE_ID_I64 || type == PYE_ID_U64) {
        memcpy(to, (const uint8_t *)ids + first * sizeof *to, n * sizeof *to);
        return;
    }
    for (size_t i = 0; i < n; i++)
        to[i] = pye_id_at(ids, type, first + i);
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

/* The position of the first id that is not below n_rows; n_ids if there is none. */
size_t pye_find_outside(const void *ids, pye_id_type type, size_t n_ids, uint64_t n_rows);

/* PYE_ERROR_ARGUMENT if a number is not one of pye_id_type. */
pye_status pye_check_id_type(int32_t type, pye_error *error);

/* PYE_ERROR_ID: the id at `position` is not one of n_rows rows. */
pye_status pye_fail_id(uint64_t id, pye_id_type type, size_t position, uint64_t n_rows, pye_error *error);
