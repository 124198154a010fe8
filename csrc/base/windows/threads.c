#include "base/threads.h"

#include "base/windows/system.h"

#define STACK_BYTES ((size_t)256 << 10)

_Static_assert(sizeof(SRWLOCK) <= sizeof(pye_mutex), "a lock fits");
_Static_assert(sizeof(CONDITION_VARIABLE) <= sizeof(pye_condition), "a condition fits");

static SRWLOCK *lock_of(pye_mutex *mutex) { return (SRWLOCK *)(void *)mutex->storage; }

static CONDITION_VARIABLE *condition_of(pye_condition *condition) {
    return (CONDITION_VARIABLE *)(void *)condition->storage;
}

bool pye_mutex_init(pye_mutex *mutex) {
    InitializeSRWLock(lock_of(mutex));
    return true;
}

void pye_mutex_destroy(pye_mutex *mutex) { (void)mutex; /* holds nothing */ }

void pye_mutex_lock(pye_mutex *mutex) { AcquireSRWLockExclusive(lock_of(mutex)); }

void pye_mutex_unlock(pye_mutex *mutex) { ReleaseSRWLockExclusive(lock_of(mutex)); }

bool pye_condition_init(pye_condition *condition) {
    InitializeConditionVariable(condition_of(condition));
    return true;
}

void pye_condition_destroy(pye_condition *condition) { (void)condition; }

void pye_condition_signal(pye_condition *condition) { WakeConditionVariable(condition_of(condition)); }

void pye_condition_broadcast(pye_condition *condition) { WakeAllConditionVariable(condition_of(condition)); }

void pye_condition_wait(pye_condition *condition, pye_mutex *mutex) {
    (void)SleepConditionVariableSRW(condition_of(condition), lock_of(mutex), INFINITE, 0);
}

static DWORD milliseconds(uint64_t nanoseconds) {
    uint64_t whole = (nanoseconds + 999999) / 1000000;
    return whole < INFINITE ? (DWORD)whole : INFINITE - 1;
}

void pye_condition_wait_for(pye_condition *condition, pye_mutex *mutex, uint64_t nanoseconds) {
    (void)SleepConditionVariableSRW(condition_of(condition), lock_of(mutex), milliseconds(nanoseconds), 0);
}

static DWORD WINAPI run(void *argument) {
    const pye_thread *thread = argument;
    thread->work(thread->argument);
    return 0;
}

bool pye_thread_start(pye_thread *thread, void (*work)(void *argument), void *argument) {
    thread->work = work;
    thread->argument = argument;
    HANDLE handle = CreateThread(NULL, STACK_BYTES, run, thread, STACK_SIZE_PARAM_IS_A_RESERVATION, NULL);
    if (handle == NULL)
        return false;
    thread->handle = (uintptr_t)handle;
    return true;
}

void pye_thread_join(const pye_thread *thread) {
    HANDLE handle = (HANDLE)thread->handle;
    (void)WaitForSingleObject(handle, INFINITE);
    (void)CloseHandle(handle);
}

uintptr_t pye_thread_self(void) { return GetCurrentThreadId(); }

uint64_t pye_process_self(void) { return GetCurrentProcessId(); }

void pye_thread_pause(uint64_t nanoseconds) { Sleep(milliseconds(nanoseconds)); }
