/* Memory from the allocator that a model was opened with. Every block remembers where it came from, so that only the code
 * that allocates has to know it. */
#pragma once

#include "pyembed.h"

/* malloc, realloc and free. */
extern const pye_allocator pye_standard_allocator;

/* NULL on failure. Blocks are aligned as by malloc. */
void *pye_allocate(const pye_allocator *allocator, size_t n_bytes);
void *pye_allocate_zeros(const pye_allocator *allocator, size_t n_bytes);

/* `memory` may be NULL; otherwise its own allocator makes it larger. On failure it stays as it is. */
void *pye_resize(const pye_allocator *allocator, void *memory, size_t n_bytes);

/* Makes room for one more than the `n` items of an array, by doubling; `max` is how many there is room for. */
pye_status pye_grow(const pye_allocator *allocator, void **items, size_t *max, size_t n, size_t item_bytes,
                    pye_error *error);

void pye_release(void *memory); /* NULL is allowed */
