/* What the laws of a vocabulary's order are judged by: facts of texts, merges and cuts, worked out from one table. */
#include <inttypes.h>
#include <string.h>

#include "base/options.h"
#include "vocabulary/merges.h"
#include "vocabulary/splits.h"
#include "vocabulary/text_table.h"

static pye_status find_merges(const pye_vocabulary *vocabulary, uint64_t n_merges, pye_value *merges,
                              pye_error *error) {
    static const char key[] = "tokenizer.ggml.merges";
    pye_status status = pye_metadata_find(vocabulary->model, key, strlen(key), merges, NULL);
    if (status == PYE_ERROR_IO)
        return pye_model_intact(vocabulary->model, error);
    if (status == PYE_OK && merges->type == PYE_VALUE_ARRAY && merges->n_elements == n_merges &&
        (merges->element_type == PYE_VALUE_STRING || n_merges == 0))
        return PYE_OK;
    return pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET, "%s is not an array of %" PRIu64 " strings", key,
                    n_merges);
}

pye_status pye_vocabulary_examine(const pye_vocabulary *vocabulary, const pye_vocabulary_facts *facts,
                                  pye_error *error) {
    pye_vocabulary_facts wanted;
    pye_status status = pye_copy_options(&wanted, sizeof wanted, facts, "pye_vocabulary_facts", error);
    pye_value merges = {.element_type = -1};
    bool of_merges = wanted.products != NULL;
    if (status == PYE_OK &&
        ((wanted.merge_flags != NULL) != of_merges || (wanted.first_merges != NULL) != of_merges ||
         (wanted.n_first_merges != NULL) != of_merges || wanted.n_merges > UINT32_MAX))
        status =
            pye_fail(error, PYE_ERROR_ARGUMENT, PYE_NO_OFFSET,
                     "products, merge_flags, first_merges and n_first_merges must be given together, for fewer "
                     "than 2^32 merges");
    if (status == PYE_OK && of_merges)
        status = find_merges(vocabulary, wanted.n_merges, &merges, error);
    if (status != PYE_OK)
        return status;
    pye_text_table table;
    status = pye_text_table_build(&table, vocabulary, wanted.tokens, error);
    if (status == PYE_OK && of_merges)
        status = pye_merges_resolve(&table, vocabulary, &merges, &wanted, error);
    if (status == PYE_OK && of_merges)
        status = pye_merges_first(vocabulary, &wanted, error);
    if (status == PYE_OK && wanted.splits != NULL)
        status = pye_splits_count(&table, vocabulary, wanted.splits, error);
    pye_text_table_free(&table);
    return status == PYE_OK ? pye_model_intact(vocabulary->model, error) : status;
}
