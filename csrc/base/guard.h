/* What keeps a process alive when a mapped file loses pages under it: a handler of SIGBUS.
 *
 * The system raises SIGBUS where a page of a mapping cannot be had: behind the end of a file that was truncated, or where
 * the disk fails. The handler puts zeros in place of the rest of that mapping and raises the mapping's flag; the read goes
 * on, and whoever asked for it finds the flag when it is done. No jump leaves a half-done piece of work, so that any code
 * may read a guarded mapping, holding whatever it holds.
 *
 * Everything else that SIGBUS may mean is left to the handler that was there before. The handler is there while a mapping
 * is guarded, and only then. */
#pragma once

#include <stdatomic.h>
#include <stddef.h>

typedef struct pye_guard pye_guard;

/* Guards n_bytes from `base` on, a mapping's first byte, until pye_guard_leave. `damaged`, false at first, becomes true
 * before anybody reads a byte that is not the file's. NULL if memory is short. */
pye_guard *pye_guard_enter(const void *base, size_t n_bytes, atomic_bool *damaged);

/* Before the mapping goes. NULL is allowed. */
void pye_guard_leave(pye_guard *guard);

/* Puts the handler back where others removed it, as Python's faulthandler does when it is switched off. A handler that
 * was put on top is left there: it is expected to pass on what is not its own. */
void pye_guard_renew(void);
