/* What the text of a token says by itself. */
#pragma once

#include "pyembed.h"

/* Fills all but `first_id`. */
void pye_text_facts(pye_string text, pye_token_facts *facts);
