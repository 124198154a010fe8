#include "base/sort.h"

#include <stdbool.h>

#include "base/memory.h"

static void merge(const uint32_t *from, uint32_t *to, size_t first, size_t middle, size_t end, pye_compare compare,
                  const void *context) {
    size_t a = first;
    size_t b = middle;
    for (size_t i = first; i < end; i++) {
        bool take_a = a < middle && (b == end || compare(context, from[a], from[b]) <= 0);
        to[i] = take_a ? from[a++] : from[b++];
    }
}

uint32_t *pye_sorted_order(const pye_allocator *allocator, size_t n, pye_compare compare, const void *context) {
    if (n > UINT32_MAX)
        return NULL;
    uint32_t *order = pye_allocate(allocator, (n + 1) * sizeof *order);
    uint32_t *spare = pye_allocate(allocator, (n + 1) * sizeof *spare);
    if (order == NULL || spare == NULL) {
        pye_release(order);
        pye_release(spare);
        return NULL;
    }
    for (size_t i = 0; i < n; i++)
        order[i] = (uint32_t)i;
    for (size_t width = 1; width < n; width *= 2) {
        for (size_t first = 0; first < n; first += 2 * width) {
            size_t middle = n - first < width ? n : first + width;
            size_t end = n - middle < width ? n : middle + width;
            merge(order, spare, first, middle, end, compare, context);
        }
        uint32_t *swap = order;
        order = spare;
        spare = swap;
    }
    pye_release(spare);
    return order;
}
