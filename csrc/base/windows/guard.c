/* In place of a signal there is an exception, EXCEPTION_IN_PAGE_ERROR (Wine: an access violation), and a vectored handler that
 * is asked before any other. It replaces the mapping by address space that holds nothing, whose pages become zeros as they are
 * touched: all of them at once would count as memory in use.
 *
 * Between the two the range belongs to nobody. A thread that reads there meanwhile meets an access violation, as does one that
 * touches a page that is not zeros yet: it waits for the lock, and goes on. Whoever holds the lock touches no guarded mapping,
 * so that the handler never waits for its own thread. */
#include "base/guard.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/windows/system.h"

struct pye_guard {
    uintptr_t first, end;
    atomic_bool *damaged;
    bool is_replaced;
    pye_guard *next;
};

static SRWLOCK lock = SRWLOCK_INIT; /* of all below */
static pye_guard *guards;
static void *handler;

/* Zeros are made for this many bytes at a time: as much as address space is divided into. */
#define STEP ((uintptr_t)64 << 10)

/* False where another thread took the address first, or the system refuses: there is nothing to go on with then. */
static bool replace(pye_guard *guard) {
    atomic_store(guard->damaged, true);
    if (!UnmapViewOfFile((void *)guard->first))
        return false;
    void *space = VirtualAlloc((void *)guard->first, guard->end - guard->first, MEM_RESERVE, PAGE_READONLY);
    guard->is_replaced = space != NULL;
    return guard->is_replaced;
}

static bool make_zeros(const pye_guard *guard, uintptr_t at) {
    uintptr_t first = at - at % STEP;
    uintptr_t n_bytes = guard->end - first < STEP ? guard->end - first : STEP;
    return VirtualAlloc((void *)first, n_bytes, MEM_COMMIT, PAGE_READONLY) != NULL;
}

static bool cover(uintptr_t at) {
    for (pye_guard *guard = guards; guard != NULL; guard = guard->next) {
        if (at < guard->first || at >= guard->end)
            continue;
        return (guard->is_replaced || replace(guard)) && make_zeros(guard, at);
    }
    return false;
}

enum { IS_WRITE = 1 };

static LONG CALLBACK on_exception(EXCEPTION_POINTERS *exception) {
    const EXCEPTION_RECORD *record = exception->ExceptionRecord;
    DWORD code = record->ExceptionCode;
    if ((code != EXCEPTION_IN_PAGE_ERROR && code != EXCEPTION_ACCESS_VIOLATION) || record->NumberParameters < 2 ||
        record->ExceptionInformation[0] == IS_WRITE)
        return EXCEPTION_CONTINUE_SEARCH;
    DWORD last_error = GetLastError(); /* of the code that was interrupted */
    AcquireSRWLockExclusive(&lock);
    bool is_done = cover(record->ExceptionInformation[1]);
    ReleaseSRWLockExclusive(&lock);
    SetLastError(last_error);
    return is_done ? EXCEPTION_CONTINUE_EXECUTION : EXCEPTION_CONTINUE_SEARCH;
}

pye_guard *pye_guard_enter(const void *base, size_t n_bytes, atomic_bool *damaged) {
    pye_guard *guard = malloc(sizeof *guard);
    if (guard == NULL)
        return NULL;
    *guard = (pye_guard){.first = (uintptr_t)base, .end = (uintptr_t)base + n_bytes, .damaged = damaged};
    AcquireSRWLockExclusive(&lock);
    if (handler == NULL)
        handler = AddVectoredExceptionHandler(1, on_exception);
    bool is_installed = handler != NULL;
    if (is_installed) {
        guard->next = guards;
        guards = guard;
    }
    ReleaseSRWLockExclusive(&lock);
    if (!is_installed) {
        free(guard);
        return NULL;
    }
    return guard;
}

void pye_guard_leave(pye_guard *guard) {
    if (guard == NULL)
        return;
    AcquireSRWLockExclusive(&lock);
    pye_guard **at = &guards;
    while (*at != guard)
        at = &(*at)->next;
    *at = guard->next;
    if (guards == NULL) {
        (void)RemoveVectoredExceptionHandler(handler);
        handler = NULL;
    }
    ReleaseSRWLockExclusive(&lock);
    free(guard);
}

void pye_guard_renew(void) { /* nobody else can remove it */ }
