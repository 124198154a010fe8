#include "base/mapping.h"

#include "base/windows/system.h"

size_t pye_page_bytes(void) {
    SYSTEM_INFO info;
    GetSystemInfo(&info);
    return info.dwPageSize;
}

static void *address(const uint8_t *base) { return (void *)(uintptr_t)base; }

/* The view keeps what it is a view of. */
int pye_view_open(const uint8_t **base, pye_handle file, size_t n_bytes) {
    HANDLE mapping = CreateFileMappingW((HANDLE)file, NULL, PAGE_READONLY, 0, 0, NULL);
    if (mapping == NULL)
        return (int)GetLastError();
    void *view = MapViewOfFile(mapping, FILE_MAP_READ, 0, 0, n_bytes);
    int code = view == NULL ? (int)GetLastError() : 0;
    (void)CloseHandle(mapping);
    if (code == 0)
        *base = view;
    return code;
}

void pye_view_close(const uint8_t *base, size_t n_bytes) {
    if (!UnmapViewOfFile(base))
        pye_memory_free(base, n_bytes); /* zeros in its place */
}

int pye_view_avoid_large_pages(const uint8_t **base, pye_handle file, size_t n_bytes) {
    (void)base, (void)file, (void)n_bytes; /* mapped files have none here */
    return 0;
}

int pye_memory_reserve(uint8_t **base, size_t n_bytes) {
    void *memory = VirtualAlloc(NULL, n_bytes, MEM_RESERVE, PAGE_READWRITE);
    if (memory == NULL)
        return (int)GetLastError();
    *base = memory;
    return 0;
}

int pye_memory_commit(uint8_t *base, size_t n_bytes) {
    return VirtualAlloc(base, n_bytes, MEM_COMMIT, PAGE_READWRITE) != NULL ? 0 : (int)GetLastError();
}

void pye_memory_free(const uint8_t *base, size_t n_bytes) {
    (void)n_bytes;
    (void)VirtualFree(address(base), 0, MEM_RELEASE);
}

/* A process may lock about as much as its working set is sure to have, which it may raise itself. */
int pye_memory_lock(const uint8_t *base, size_t n_bytes) {
    if (VirtualLock(address(base), n_bytes))
        return 0;
    DWORD code = GetLastError();
    HANDLE self = GetCurrentProcess();
    SIZE_T least, most;
    if (code != ERROR_WORKING_SET_QUOTA || !GetProcessWorkingSetSize(self, &least, &most) ||
        n_bytes > SIZE_MAX - most || !SetProcessWorkingSetSize(self, least + n_bytes, most + n_bytes))
        return (int)code;
    return VirtualLock(address(base), n_bytes) ? 0 : (int)GetLastError();
}

const char pye_memory_lock_advice[] =
    "give the user the right to increase a process working set, or do not ask for locked memory";

void pye_want_large_pages(void *memory, size_t n_bytes) {
    (void)memory, (void)n_bytes; /* they need a privilege, are never swapped, and cannot be asked for later */
}
