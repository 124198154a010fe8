/* Arrays that grow one item at a time. */
#ifndef PYE_BASE_ARRAY_H
#define PYE_BASE_ARRAY_H

#include "pyembed.h"

/* Makes room for one more than `n` items, by doubling; `max` is how many there is room for. */
pye_status pye_grow(const pye_allocator *allocator, void **items, size_t *max, size_t n, size_t item_bytes,
                    pye_error *error);

#endif
