#include "base/ids.h"

#include <inttypes.h>

#include "base/status.h"

/* One loop a type, and no early end inside a block, so that compilers make vectors of it. */
#define BLOCK_IDS 64
#define FIND_OUTSIDE(number)                                                                                      \
    static size_t find_##number(const uint8_t *ids, size_t n_ids, uint64_t n_rows) {                              \
        for (size_t i = 0; i < n_ids; i += BLOCK_IDS) {                                                           \
            size_t n = n_ids - i < BLOCK_IDS ? n_ids - i : BLOCK_IDS;                                             \
            number block[BLOCK_IDS];                                                                              \
            memcpy(block, ids + i * sizeof *block, n * sizeof *block);                                            \
            unsigned n_outside = 0;                                                                               \
            for (size_t j = 0; j < n; j++)                                                                        \
                n_outside += (uint64_t)block[j] >= n_rows;                                                        \
            for (size_t j = 0; n_outside > 0; j++)                                                                \
                if ((uint64_t)block[j] >= n_rows)                                                                 \
                    return i + j;                                                                                 \
        }                                                                                                         \
        return n_ids;                                                                                             \
    }
FIND_OUTSIDE(int32_t)
FIND_OUTSIDE(int64_t)
FIND_OUTSIDE(uint32_t)
FIND_OUTSIDE(uint64_t)
FIND_OUTSIDE(int16_t)
FIND_OUTSIDE(uint16_t)
FIND_OUTSIDE(int8_t)
FIND_OUTSIDE(uint8_t)
#undef FIND_OUTSIDE

size_t pye_find_outside(const void *ids, pye_id_type type, size_t n_ids, uint64_t n_rows) {
    static size_t (*const finders[])(const uint8_t *, size_t, uint64_t) = {
        [PYE_ID_I32] = find_int32_t,  [PYE_ID_I64] = find_int64_t, [PYE_ID_U32] = find_uint32_t,
        [PYE_ID_U64] = find_uint64_t, [PYE_ID_I16] = find_int16_t, [PYE_ID_U16] = find_uint16_t,
        [PYE_ID_I8] = find_int8_t,    [PYE_ID_U8] = find_uint8_t};
    return finders[type](ids, n_ids, n_rows);
}

pye_status pye_check_id_type(int32_t type, pye_error *error) {
    if (type >= PYE_ID_I32 && type <= PYE_ID_U8)
        return PYE_OK;
    return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET, "%" PRId32 " is not an id type", type);
}

pye_status pye_fail_id(uint64_t id, pye_id_type type, size_t position, uint64_t n_rows, pye_error *error) {
    if (type != PYE_ID_U64 && id > INT64_MAX)
        return pye_fail(error, PYE_ERROR_ID, position,
                        "the id at position %zu is %" PRId64
                        ": ids are at least 0 and below the number of rows, %" PRIu64,
                        position, (int64_t)id, n_rows);
    return pye_fail(error, PYE_ERROR_ID, position,
                    "the id at position %zu is %" PRIu64 ": ids are below the number of rows, %" PRIu64, position,
                    id, n_rows);
}
