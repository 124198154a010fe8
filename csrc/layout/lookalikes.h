/* Tensors that look like the scales of codes by their shape and their place, whatever they are called. */
#pragma once

#include "format/model.h"

/* False for numbers of 64 bits, truths and what is called ids, which are what they are: nothing is packed into them. */
bool pye_may_be_codes(const pye_tensor *tensor);

/* For codes that no scales were found for: PYE_ERROR_TYPE, which names both, if a tensor of their module, or of the whole table
 * `base` where they are a shard of one (else empty), has the shape of their scales. Takes as long as there are names that begin as
 * the module's does. */
pye_status pye_lookalikes_refuse(const pye_model *model, const pye_tensor *codes, pye_string base,
                                 pye_error *error);
