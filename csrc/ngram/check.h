/* Whether constants of hashed rows can be right. */
#pragma once

#include "pyembed.h"

/* Checks a description, whose struct is whole: counts first, so that every array is known to be as long as they say. */
pye_status pye_ngram_check(const pye_ngram_description *description, pye_error *error);
