/* What the test programs want of a system beyond the library's own headers. */
#ifndef PYE_TESTS_PROGRAMS_SYSTEM_H
#define PYE_TESTS_PROGRAMS_SYSTEM_H

#if !defined(_GNU_SOURCE)
#define _GNU_SOURCE
#endif
#include <stdint.h>
#include <stdio.h>

#include "base/mapping.h"

#if defined(_WIN32)

#include <winsock2.h> /* before windows.h */

#include <fcntl.h>
#include <io.h>

#include "base/windows/system.h"

/* Windows ends lines and files otherwise unless it is asked not to. */
static inline void binary_streams(void) {
    (void)_setmode(_fileno(stdin), _O_BINARY);
    (void)_setmode(_fileno(stdout), _O_BINARY);
}

static inline int forbid_pages(void *first, size_t n_bytes) {
    DWORD before;
    return VirtualProtect(first, n_bytes, PAGE_NOACCESS, &before);
}

/* Handles of threads, files and mappings. */
static inline int n_open_handles(void) {
    DWORD n = 0;
    return GetProcessHandleCount(GetCurrentProcess(), &n) ? (int)n : -1;
}

static inline void drop_page_cache(const char *path) { (void)path; /* only the system does that */ }

/* Once, before the first notice. */
static inline int notices_begin(void) {
    WSADATA data;
    return WSAStartup(MAKEWORD(2, 2), &data) == 0;
}

/* A socket that sends to itself. */
static inline int notice_open(void) {
    struct sockaddr_in self = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int n_bytes = sizeof self;
    SOCKET made = socket(AF_INET, SOCK_DGRAM, 0);
    if (made == INVALID_SOCKET || bind(made, (struct sockaddr *)&self, n_bytes) != 0 ||
        getsockname(made, (struct sockaddr *)&self, &n_bytes) != 0 ||
        connect(made, (struct sockaddr *)&self, n_bytes) != 0)
        return -1;
    return (int)made;
}

static inline int notice_read(int descriptor, uint64_t *count) {
    return recv((SOCKET)descriptor, (char *)count, sizeof *count, 0) == sizeof *count;
}

static inline void notice_close(int descriptor) { (void)closesocket((SOCKET)descriptor); }

#else

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#if defined(__linux__)
#include <sys/eventfd.h>
#endif

static inline void binary_streams(void) {}

static inline int forbid_pages(void *first, size_t n_bytes) { return mprotect(first, n_bytes, PROT_NONE) == 0; }

#if defined(__linux__)

static inline int n_entries(const char *folder) {
    DIR *opened = opendir(folder);
    int n = 0;
    if (opened == NULL)
        return -1;
    while (readdir(opened) != NULL)
        n++;
    (void)closedir(opened);
    return n;
}

/* Files and threads. */
static inline int n_open_handles(void) { return n_entries("/proc/self/fd") + n_entries("/proc/self/task"); }

static inline void drop_page_cache(const char *path) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    (void)close(fd);
}

static inline int notices_begin(void) { return 1; }

static inline int notice_open(void) { return eventfd(0, EFD_CLOEXEC); }

static inline int notice_read(int descriptor, uint64_t *count) {
    return read(descriptor, count, sizeof *count) == sizeof *count;
}

static inline void notice_close(int descriptor) { (void)close(descriptor); }

#endif
#endif
#endif
