/* Dimensions as a file lists them, however many, into those of a pye_tensor. */
#pragma once

#include <stdbool.h>

#include "pyembed.h"

/* Appends a dimension, rows first. A tensor of more dimensions than a pye_tensor holds keeps its last ones, and the
 * leading ones are folded into the first: one such tensor must not make its whole file unreadable, and its rows, which
 * run along the last dimension, stay the same. False where the folded dimension does not fit 64 bits. */
static inline bool pye_shape_append(pye_tensor *tensor, uint64_t dimension) {
    uint64_t *shape = tensor->shape;
    if (tensor->n_dims == PYE_MAX_DIMS) {
        if (shape[0] != 0 && shape[1] > UINT64_MAX / shape[0])
            return false;
        shape[0] *= shape[1];
        for (uint32_t i = 1; i + 1 < PYE_MAX_DIMS; i++)
            shape[i] = shape[i + 1];
        tensor->n_dims--;
    }
    shape[tensor->n_dims++] = dimension;
    return true;
}

/* The number of weights times `unit`. A dimension of 0 counts as 1 for the bound of 63 bits, so that every product of
 * some of the dimensions keeps to it too. */
static inline bool pye_shape_size(const pye_tensor *tensor, uint64_t unit, uint64_t *size) {
    uint64_t product = unit;
    bool is_empty = false;
    for (uint32_t i = 0; i < tensor->n_dims; i++) {
        uint64_t factor = tensor->shape[i];
        is_empty = is_empty || factor == 0;
        if (factor > 1 && product > INT64_MAX / factor)
            return false;
        product *= factor > 0 ? factor : 1;
    }
    *size = is_empty ? 0 : product;
    return true;
}
