/* Keeps a process alive when a mapped file loses pages: a handler of SIGBUS.
 *
 * The system raises SIGBUS when a page of a mapping cannot be read: beyond the end of a truncated file, or where the disk
 * fails. The handler replaces the rest of that mapping by zeros and sets the mapping's flag. The read continues, and its
 * caller checks the flag when it is done. Nothing jumps, so that any code may read a guarded mapping with any lock held.
 *
 * Every other SIGBUS goes to the previous handler. The handler is installed only while a mapping is guarded. */
#pragma once

#include <stdatomic.h>
#include <stddef.h>

typedef struct pye_guard pye_guard;

/* Guards n_bytes from `base` on, a mapping's first byte, until pye_guard_leave. `damaged`, false at first, becomes true
 * before any byte reads as a zero that is not the file's. NULL if memory is short. */
pye_guard *pye_guard_enter(const void *base, size_t n_bytes, atomic_bool *damaged);

/* Before the mapping is unmapped. NULL is allowed. */
void pye_guard_leave(pye_guard *guard);

/* Reinstalls the handler where others removed it, as Python's faulthandler does when it is disabled. A handler that was
 * installed on top stays: it is expected to pass on what is not its own. */
void pye_guard_renew(void);
