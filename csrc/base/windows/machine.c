#include "base/machine.h"

#include "base/windows/system.h"

#include <ntsecapi.h>

uint64_t pye_clock_nanoseconds(void) {
    LARGE_INTEGER now, frequency;
    (void)QueryPerformanceFrequency(&frequency);
    (void)QueryPerformanceCounter(&now);
    uint64_t ticks = (uint64_t)now.QuadPart, a_second = (uint64_t)frequency.QuadPart;
    return ticks / a_second * 1000000000u + ticks % a_second * 1000000000u / a_second;
}

bool pye_random_bytes(void *bytes, size_t n_bytes) { return RtlGenRandom(bytes, (ULONG)n_bytes); }

uint64_t pye_machine_memory(void) {
    MEMORYSTATUSEX status = {.dwLength = sizeof status};
    return GlobalMemoryStatusEx(&status) ? status.ullTotalPhys : UINT64_MAX;
}

size_t pye_machine_cache_bytes(void) {
    DWORD n_bytes = 0;
    (void)GetLogicalProcessorInformation(NULL, &n_bytes);
    SYSTEM_LOGICAL_PROCESSOR_INFORMATION *facts = n_bytes == 0 ? NULL : HeapAlloc(GetProcessHeap(), 0, n_bytes);
    size_t found = 0;
    if (facts != NULL && GetLogicalProcessorInformation(facts, &n_bytes))
        for (size_t i = 0; i < n_bytes / sizeof *facts && found == 0; i++)
            if (facts[i].Relationship == RelationCache && facts[i].Cache.Level == 3)
                found = facts[i].Cache.Size;
    if (facts != NULL)
        (void)HeapFree(GetProcessHeap(), 0, facts);
    return found;
}

size_t pye_cpu_count(void) {
    DWORD_PTR own, all;
    size_t n = 0;
    if (GetProcessAffinityMask(GetCurrentProcess(), &own, &all)) /* 0: in several groups of 64 */
        for (; own != 0; own &= own - 1)
            n++;
    if (n == 0)
        n = GetActiveProcessorCount(ALL_PROCESSOR_GROUPS);
    return n > 0 ? n : 1;
}
