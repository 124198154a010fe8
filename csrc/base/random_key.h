/* Keys of hashes. */
#pragma once

#include <stddef.h>

/* Fills `key` with bytes that the author of a file cannot know: the system's random bytes, or, where there are none, what a
 * clock and an address yield, which is weak. */
void pye_random_key(void *key, size_t n_bytes);
