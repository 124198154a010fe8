/* Facts of this machine and clocks and chance, which only its system knows. */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* A clock that only goes forward. */
uint64_t pye_clock_nanoseconds(void);

/* Bytes that a stranger cannot foresee: the system's random ones. */
void pye_random_key(void *key, size_t n_bytes);

/* Bytes of memory; UINT64_MAX if the system does not say. */
uint64_t pye_machine_memory(void);

/* Bytes of the first core's third cache; 0 if the system does not say. */
size_t pye_machine_cache_bytes(void);

/* Processors that this process may run on, at least 1. */
size_t pye_cpu_count(void);
