/* What the text of a token says by itself. */
#ifndef PYE_VOCABULARY_TEXT_FACTS_H
#define PYE_VOCABULARY_TEXT_FACTS_H

#include "pyembed.h"

/* Fills all but `first_id`. */
void pye_text_facts(pye_string text, pye_token_facts *facts);

#endif
