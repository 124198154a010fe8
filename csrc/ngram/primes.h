/* Whether a number is prime. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* Exact for all of 64 bits; takes microseconds. */
bool pye_is_prime(uint64_t n);
