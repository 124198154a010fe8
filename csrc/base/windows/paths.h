/* Paths in UTF-8, as this library has them, and in UTF-16, as the system has them. */
#pragma once

#include "base/windows/system.h"

/* A path of any length, absolute and in the form that the system takes as it is; to be freed with pye_wide_free. Returns 0, or
 * ERROR_NO_UNICODE_TRANSLATION for what is not UTF-8, or another of the system's codes. `end`, which may be empty, is put behind it. */
int pye_wide_path(const char *path, const wchar_t *end, wchar_t **wide);
void pye_wide_free(wchar_t *wide);
