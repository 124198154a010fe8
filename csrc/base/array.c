#include "base/array.h"

#include "base/memory.h"
#include "base/status.h"

pye_status pye_grow(const pye_allocator *allocator, void **items, size_t *max, size_t n, size_t item_bytes,
                    pye_error *error) {
    if (n < *max)
        return PYE_OK;
    size_t wanted = *max == 0 ? 16 : *max * 2;
    if (wanted > SIZE_MAX / item_bytes)
        return pye_fail_memory(error, UINT64_MAX);
    void *grown = pye_resize(allocator, *items, wanted * item_bytes);
    if (grown == NULL)
        return pye_fail_memory(error, (uint64_t)wanted * item_bytes);
    *items = grown;
    *max = wanted;
    return PYE_OK;
}
