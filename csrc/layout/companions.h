/* The tensors that lie beside codes: which scales, biases and factors a module has, by their names. */
#pragma once

#include <stdbool.h>

#include "format/model.h"
#include "simd/scaling.h"

typedef struct pye_companions {
    const pye_tensor *scales;
    const pye_tensor *biases;
    const pye_tensor *factor;
    pye_factor factor_kind;
} pye_companions;

/* The module that a tensor belongs to: its name without .weight or .weight_packed at its end. */
pye_string pye_module_of(pye_string tensor);

/* Whether a module has weights of this name: what else is in it, at any depth, is about them. Others have neighbours of their
 * own, whose modules are not looked into. What PyTorch's parametrisations are made of is called original. */
bool pye_is_weight(pye_string leaf);

/* What lies beside the weights of the module `stem`, which `holder` is the tensor of. The format's error if there are
 * two of a kind. */
pye_status pye_companions_find(const pye_model *model, pye_string stem, const pye_tensor *holder,
                               pye_companions *found, pye_error *error);

/* PYE_ERROR_TYPE if something lies beside them that nothing here knows how to use. Takes as long as there are names that begin
 * with the stem. */
pye_status pye_companions_refuse_unknown(const pye_model *model, pye_string stem, const pye_tensor *holder,
                                         pye_error *error);

/* Another tensor of the model that is of the type of `codes` and has scales, NULL if there is none. */
const pye_tensor *pye_companions_elsewhere(const pye_model *model, const pye_tensor *codes);

/* For codes that no scales were found for: PYE_ERROR_TYPE if something near them is named as scales are, in a way that is not
 * known here. Takes as long as the model has tensors. */
pye_status pye_companions_refuse_stray(const pye_model *model, const pye_tensor *codes, pye_error *error);

/* The same if the model is one file of a set, in whose others the scales may be. */
pye_status pye_companions_refuse_one_of_many(const pye_model *model, const pye_tensor *codes, pye_error *error);
