/* A sort that takes n log n steps whatever the input. */
#pragma once

#include "pyembed.h"

/* Below, at or above 0, as strcmp. */
typedef int (*pye_compare)(const void *context, uint32_t a, uint32_t b);

/* The numbers 0 .. n - 1 in the order of `compare`, equal ones ascending, from pye_allocate. NULL if memory is short. */
uint32_t *pye_sorted_order(const pye_allocator *allocator, size_t n, pye_compare compare, const void *context);
