#include "base/types.h"

#include <string.h>

#include "base/status.h"

static const pye_type_info types[] = {
#define PYE_TYPE(id, NAME, name, n_weights, block_bytes, words, scales) {(id), #NAME, (n_weights), (block_bytes)},
#include "base/types.def"
#undef PYE_TYPE
};

static const char *const words_of[PYE_TYPE_IDS] = {
#define PYE_TYPE(id, NAME, name, n_weights, block_bytes, words, scales) [id] = (words),
#include "base/types.def"
#undef PYE_TYPE
};

static const char *const scales_of[PYE_TYPE_IDS] = {
#define PYE_TYPE(id, NAME, name, n_weights, block_bytes, words, scales) [id] = (scales),
#include "base/types.def"
#undef PYE_TYPE
};

#define PYE_TYPE(id, NAME, name, n_weights, block_bytes, words, scales)                                           \
    _Static_assert((block_bytes) <= PYE_MAX_BLOCK_BYTES && (n_weights) <= PYE_MAX_BLOCK_WEIGHTS,                  \
                   "block buffers hold every type");                                                              \
    _Static_assert((id) < PYE_TYPE_IDS, "tables by id hold every type");
#include "base/types.def"
#undef PYE_TYPE

enum { N_TYPES = sizeof types / sizeof types[0] };

size_t pye_n_types(void) { return N_TYPES; }

pye_status pye_type_at(size_t index, pye_type_info *info, pye_error *error) {
    if (index >= N_TYPES)
        return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET, "type index %zu is not below %d", index,
                        (int)N_TYPES);
    *info = types[index];
    return PYE_OK;
}

const pye_type_info *pye_type_info_of(int32_t id) {
    for (size_t i = 0; i < N_TYPES; i++)
        if (types[i].id == id)
            return &types[i];
    return NULL;
}

const char *pye_foreign_type(int32_t id) {
    switch (id) {
#define PYE_FOREIGN_TYPE(id, name)                                                                                \
    case (id):                                                                                                    \
        return (name);
#include "base/foreign_types.def"
#undef PYE_FOREIGN_TYPE
    default:
        return NULL;
    }
}

static size_t word_bytes(char code) {
    switch (code) {
    case 'h':
        return 2;
    case 'w':
        return 4;
    case 'd':
        return 8;
    default:
        return 1;
    }
}

static void reverse(uint8_t *bytes, size_t n) {
    for (size_t i = 0; i < n / 2; i++) {
        uint8_t byte = bytes[i];
        bytes[i] = bytes[n - 1 - i];
        bytes[n - 1 - i] = byte;
    }
}

static uint8_t *swap_block(const char *words, uint8_t *p) {
    while (*words != '\0') {
        size_t count = 0;
        for (; *words >= '0' && *words <= '9'; words++)
            count = count * 10 + (size_t)(*words - '0');
        size_t n_bytes = word_bytes(*words++);
        for (size_t i = 0; i < count; i++, p += n_bytes)
            reverse(p, n_bytes);
        while (*words == ' ')
            words++;
    }
    return p;
}

void pye_type_swap(int32_t id, uint8_t *blocks, size_t n_blocks) {
    for (size_t i = 0; i < n_blocks; i++)
        blocks = swap_block(words_of[id], blocks);
}

bool pye_type_is_bytes(int32_t id) { return strpbrk(words_of[id], "hwd") == NULL; }

size_t pye_type_scales(int32_t id, pye_scale scales[PYE_MAX_SCALES]) {
    size_t n = 0;
    for (const char *at = scales_of[id]; *at != '\0'; n++) {
        scales[n] = (pye_scale){.kind = *at++};
        for (; *at >= '0' && *at <= '9'; at++)
            scales[n].offset = scales[n].offset * 10 + (uint32_t)(*at - '0');
        while (*at == ' ')
            at++;
    }
    return n;
}
