#include "base/watch.h"

#include "base/machine.h"
#include "base/status.h"

#define INTERVAL_NANOSECONDS UINT64_C(100000000)

pye_watch pye_watch_begin(const pye_interrupt *interrupt) {
    return (pye_watch){
        .interrupt = interrupt,
        .caller = pye_thread_self(),
        .process = pye_process_self(),
        .next = interrupt->ask == NULL ? 0 : pye_clock_nanoseconds() + INTERVAL_NANOSECONDS,
    };
}

bool pye_watch_stops(pye_watch *watch) {
    if (watch->interrupt->ask == NULL || !pye_watch_is_caller(watch))
        return false;
    uint64_t now = pye_clock_nanoseconds();
    if (now < watch->next)
        return false;
    watch->next = now + INTERVAL_NANOSECONDS;
    return watch->interrupt->ask(watch->interrupt->data) != 0;
}

bool pye_watch_has_forked(const pye_watch *watch) { return watch->process != pye_process_self(); }

pye_status pye_fail_interrupted(pye_error *error) {
    return pye_fail(error, PYE_ERROR_CANCELLED, PYE_NO_OFFSET, "the call was interrupted");
}
