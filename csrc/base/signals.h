/* Which signals the library's own threads take: only those that an instruction of theirs causes. */
#pragma once

#include <signal.h>
#include <stddef.h>

/* Around the creation of threads, which inherit the mask. A thread that blocks a signal of its own instructions is not
 * spared: the system kills the process, without asking the handler that would have dealt with it. All others are left to
 * the threads that the program knows about. */
static inline void pye_signals_block(sigset_t *previous) {
    static const int caused_by_instructions[] = {SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGTRAP};
    sigset_t all;
    (void)sigfillset(&all);
    for (size_t i = 0; i < sizeof caused_by_instructions / sizeof caused_by_instructions[0]; i++)
        (void)sigdelset(&all, caused_by_instructions[i]);
    (void)pthread_sigmask(SIG_SETMASK, &all, previous);
}

static inline void pye_signals_restore(const sigset_t *previous) {
    (void)pthread_sigmask(SIG_SETMASK, previous, NULL);
}
