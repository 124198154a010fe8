/* Facts of this machine and clocks and chance, which only its system knows. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A clock that only goes forward. */
uint64_t pye_clock_nanoseconds(void);

/* Bytes that a stranger cannot foresee. False if the system has none; what is written then may be anything. */
bool pye_random_bytes(void *bytes, size_t n_bytes);

/* Bytes of memory; UINT64_MAX if the system does not say. */
uint64_t pye_machine_memory(void);

/* Bytes of the first core's third cache; 0 if the system does not say. */
size_t pye_machine_cache_bytes(void);

/* Processors that this process may run on, at least 1. */
size_t pye_cpu_count(void);
