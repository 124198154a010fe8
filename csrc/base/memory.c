#include "base/memory.h"

#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/status.h"

/* Precedes each block; its size keeps the block aligned. */
typedef struct header {
    alignas(max_align_t) pye_allocator from;
} header;

static void *standard_allocate(size_t n_bytes, void *context) {
    (void)context;
    return malloc(n_bytes);
}

static void *standard_resize(void *memory, size_t n_bytes, void *context) {
    (void)context;
    return realloc(memory, n_bytes);
}

static void standard_release(void *memory, void *context) {
    (void)context;
    free(memory);
}

const pye_allocator pye_standard_allocator = {standard_allocate, standard_resize, standard_release, NULL};

void *pye_allocate(const pye_allocator *allocator, size_t n_bytes) {
    if (n_bytes > SIZE_MAX - sizeof(header))
        return NULL;
    header *block = allocator->allocate(sizeof *block + n_bytes, allocator->context);
    if (block == NULL)
        return NULL;
    block->from = *allocator;
    return block + 1;
}

void *pye_allocate_zeros(const pye_allocator *allocator, size_t n_bytes) {
    void *memory = pye_allocate(allocator, n_bytes);
    return memory == NULL ? NULL : memset(memory, 0, n_bytes);
}

void *pye_resize(const pye_allocator *allocator, void *memory, size_t n_bytes) {
    if (memory == NULL)
        return pye_allocate(allocator, n_bytes);
    if (n_bytes > SIZE_MAX - sizeof(header))
        return NULL;
    header *block = (header *)memory - 1;
    pye_allocator from = block->from;
    header *resized = from.resize(block, sizeof *block + n_bytes, from.context);
    return resized == NULL ? NULL : resized + 1;
}

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

void pye_release(void *memory) {
    if (memory == NULL)
        return;
    header *block = (header *)memory - 1;
    pye_allocator from = block->from;
    from.release(block, from.context);
}
