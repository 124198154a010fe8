#if defined(__linux__)
#define _GNU_SOURCE /* syscall, MAP_ANONYMOUS, REG_CR2 */
#endif
#include "base/guard.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#if defined(__linux__)
#include <sys/syscall.h>
#include <ucontext.h>
#endif

#ifndef MAP_ANONYMOUS
#define MAP_ANONYMOUS MAP_ANON
#endif

/* A guarded range. The handler reads it without a lock while others change it: `version` is odd during a change, and a
 * range that changes cannot be the one that faulted, because that one is in use. */
struct pye_guard {
    atomic_size_t version;
    atomic_uintptr_t first; /* 0: the slot is free */
    atomic_uintptr_t end;
    _Atomic(atomic_bool *) damaged;
};

enum { CHUNK_SLOTS = 64 };

/* Chunks are appended and never freed, so that the handler can walk them at any time. */
typedef struct chunk {
    pye_guard slots[CHUNK_SLOTS];
    _Atomic(struct chunk *) next;
} chunk;

static chunk chunks;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* for changes of slots and of the handler */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static size_t n_guarded;
static bool is_installed;
static struct sigaction previous;
static uintptr_t page_bytes;

/* ------------------------------------------------------------------------------------------ handler */

typedef struct guarded_range {
    uintptr_t first;
    uintptr_t end;
    atomic_bool *damaged;
} guarded_range;

/* False for a free slot, and for one that changed meanwhile. */
static bool read_slot(pye_guard *slot, guarded_range *range) {
    size_t before = atomic_load_explicit(&slot->version, memory_order_acquire);
    range->first = atomic_load_explicit(&slot->first, memory_order_acquire);
    range->end = atomic_load_explicit(&slot->end, memory_order_acquire);
    range->damaged = atomic_load_explicit(&slot->damaged, memory_order_acquire);
    size_t after = atomic_load_explicit(&slot->version, memory_order_relaxed);
    return range->first != 0 && before % 2 == 0 && before == after;
}

typedef bool (*range_test)(const guarded_range *range, uintptr_t address);

static bool find_range(range_test test, uintptr_t address, guarded_range *range) {
    for (chunk *at = &chunks; at != NULL; at = atomic_load_explicit(&at->next, memory_order_acquire))
        for (size_t i = 0; i < CHUNK_SLOTS; i++)
            if (read_slot(&at->slots[i], range) && test(range, address))
                return true;
    return false;
}

static bool holds(const guarded_range *range, uintptr_t address) {
    return address >= range->first && address < range->end;
}

/* From the faulting page to the end: a truncated file has no page beyond it either, and one replacement instead of one a
 * page keeps the number of mappings small. */
static bool cover(uintptr_t address) {
    guarded_range range;
    if (!find_range(holds, address, &range))
        return false;
    atomic_store(range.damaged, true);
    uintptr_t first = address - address % page_bytes;
    void *zeros =
        mmap((void *)first, range.end - first, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    return zeros != MAP_FAILED;
}

/* True if the last page of a range that counts as whole is not there. */
static bool is_cut_short(const guarded_range *range, uintptr_t unused) {
    (void)unused;
#if defined(__linux__)
    /* The system copies the set before it looks at the first argument, which is none that it knows: it answers EFAULT
     * where the set cannot be read, EINVAL otherwise, and changes nothing. */
    uintptr_t last_page = (range->end - 1) / page_bytes * page_bytes;
    return !atomic_load(range->damaged) && syscall(SYS_rt_sigprocmask, ~0, last_page, NULL, (size_t)8) != 0 &&
           errno == EFAULT;
#else
    (void)range;
    return false;
#endif
}

/* Where this thread's last fault was that became a signal; 0 where the system does not say. The processor's own record
 * of it stands in the context of every signal that follows, also of one that was raised. */
static uintptr_t last_fault(void *context) {
#if defined(__linux__) && defined(__x86_64__)
    return (uintptr_t)((ucontext_t *)context)->uc_mcontext.gregs[REG_CR2];
#elif defined(__linux__) && defined(__aarch64__)
    return (uintptr_t)((ucontext_t *)context)->uc_mcontext.fault_address;
#else
    (void)context;
    return 0;
#endif
}

/* A handler on top of this one passes a fault on by raising the signal anew, which loses the address, and goes. If the
 * fault was in a guarded mapping, or one of these did lose its end, the instruction is left to fault again: this handler
 * is on top by then. */
static bool is_passed_on(const siginfo_t *info, void *context) {
    guarded_range range;
    if (info->si_pid != getpid())
        return false;
    return find_range(holds, last_fault(context), &range) || find_range(is_cut_short, 0, &range);
}

/* What would have happened without this handler. */
static void chain(int number, siginfo_t *info, void *context) {
    struct sigaction earlier = previous;
    bool was_raised = info->si_code <= 0;
    if ((earlier.sa_flags & SA_SIGINFO) != 0) {
        earlier.sa_sigaction(number, info, context);
    } else if (earlier.sa_handler == SIG_IGN && was_raised) {
        return;
    } else if (earlier.sa_handler == SIG_IGN || earlier.sa_handler == SIG_DFL) {
        /* The end: the instruction faults again, or the signal that is raised here comes when the handler returns. */
        earlier.sa_handler = SIG_DFL;
        (void)sigaction(number, &earlier, NULL);
        if (was_raised)
            (void)raise(number);
    } else {
        earlier.sa_handler(number);
    }
}

static void on_bus_error(int number, siginfo_t *info, void *context) {
    int saved = errno;
    bool is_done = info->si_code == BUS_ADRERR ? cover((uintptr_t)info->si_addr)
                                               : info->si_code <= 0 && is_passed_on(info, context);
    if (!is_done)
        chain(number, info, context);
    errno = saved;
}

/* ------------------------------------------------------------------------- installing and removing it */

static bool is_ours(const struct sigaction *action) {
    return (action->sa_flags & SA_SIGINFO) != 0 && action->sa_sigaction == on_bus_error;
}

static bool is_simple(const struct sigaction *action) {
    return (action->sa_flags & SA_SIGINFO) == 0 &&
           (action->sa_handler == SIG_DFL || action->sa_handler == SIG_IGN);
}

static bool is_previous(const struct sigaction *action) {
    bool with_info = (action->sa_flags & SA_SIGINFO) != 0;
    if (with_info != ((previous.sa_flags & SA_SIGINFO) != 0))
        return false;
    return with_info ? action->sa_sigaction == previous.sa_sigaction : action->sa_handler == previous.sa_handler;
}

/* Installed before and not there: either it was removed, and what was below is seen again, or another is on top. */
static void install(void) {
    struct sigaction current;
    (void)sigaction(SIGBUS, NULL, &current);
    if (is_ours(&current) || (is_installed && !is_simple(&current) && !is_previous(&current)))
        return;
    previous = current;
    struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO | SA_ONSTACK};
    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGBUS, &action, NULL);
    is_installed = true;
}

/* Under another's handler it has to stay: that one may call it. It then passes everything on. */
static void uninstall(void) {
    struct sigaction current;
    (void)sigaction(SIGBUS, NULL, &current);
    if (!is_ours(&current))
        return;
    (void)sigaction(SIGBUS, &previous, NULL);
    is_installed = false;
}

static void lock_all(void) { (void)pthread_mutex_lock(&lock); }

static void unlock_all(void) { (void)pthread_mutex_unlock(&lock); }

/* The child of a fork must not find the lock held by a thread that it does not have. */
static void prepare(void) {
    page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
    (void)pthread_atfork(lock_all, unlock_all, unlock_all);
}

static pye_guard *free_slot(void) {
    for (chunk *at = &chunks;;) {
        for (size_t i = 0; i < CHUNK_SLOTS; i++)
            if (atomic_load_explicit(&at->slots[i].first, memory_order_relaxed) == 0)
                return &at->slots[i];
        chunk *next = atomic_load_explicit(&at->next, memory_order_relaxed);
        if (next == NULL) {
            next = calloc(1, sizeof *next);
            if (next == NULL)
                return NULL;
            atomic_store_explicit(&at->next, next, memory_order_release);
        }
        at = next;
    }
}

static void change_slot(pye_guard *slot, uintptr_t first, uintptr_t end, atomic_bool *damaged) {
    atomic_fetch_add(&slot->version, 1);
    atomic_store(&slot->first, first);
    atomic_store(&slot->end, end);
    atomic_store(&slot->damaged, damaged);
    atomic_fetch_add(&slot->version, 1);
}

pye_guard *pye_guard_enter(const void *base, size_t n_bytes, atomic_bool *damaged) {
    (void)pthread_once(&once, prepare);
    (void)pthread_mutex_lock(&lock);
    pye_guard *slot = free_slot();
    if (slot != NULL) {
        change_slot(slot, (uintptr_t)base, (uintptr_t)base + n_bytes, damaged);
        n_guarded++;
        install();
    }
    (void)pthread_mutex_unlock(&lock);
    return slot;
}

void pye_guard_leave(pye_guard *guard) {
    if (guard == NULL)
        return;
    (void)pthread_mutex_lock(&lock);
    change_slot(guard, 0, 0, NULL);
    if (--n_guarded == 0)
        uninstall();
    (void)pthread_mutex_unlock(&lock);
}

void pye_guard_renew(void) {
    (void)pthread_mutex_lock(&lock);
    if (n_guarded > 0)
        install();
    (void)pthread_mutex_unlock(&lock);
}
