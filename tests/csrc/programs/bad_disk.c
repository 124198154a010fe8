/* A disk and a system that fail, for LD_PRELOAD. BAD_DISK says how, in words:
 *
 *     eio=OFFSET   reads of one byte at or above OFFSET fail
 *     eintr        every other read of one byte is interrupted
 *     eagain=N     the first N reads of one byte do not want to wait
 *     threads      no thread can be made
 *     populate     pages cannot be entered into the page table ahead, as before Linux 5.14
 *     folders      the second name of any folder, and those after it, cannot be read
 *
 * Other reads than of one byte are left alone. Whether a byte is in memory is never known. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/uio.h>

#define POPULATE_READ 22

static atomic_int n_reads;

static const char *asked(const char *what) {
    const char *words = getenv("BAD_DISK");
    const char *found = words == NULL ? NULL : strstr(words, what);
    return found == NULL ? NULL : found + strlen(what);
}

static int fails_with(off_t offset) {
    int n = atomic_fetch_add(&n_reads, 1);
    const char *given = asked("eio=");
    if (given != NULL && offset >= atoll(given))
        return EIO;
    given = asked("eagain=");
    if (given != NULL && n < atoi(given))
        return EAGAIN;
    return asked("eintr") != NULL && n % 2 == 0 ? EINTR : 0;
}

ssize_t pread(int fd, void *out, size_t n, off_t offset) {
    static ssize_t (*real)(int, void *, size_t, off_t);
    if (real == NULL)
        real = (ssize_t (*)(int, void *, size_t, off_t))dlsym(RTLD_NEXT, "pread");
    int number = n == 1 ? fails_with(offset) : 0;
    if (number == 0)
        return real(fd, out, n, offset);
    errno = number;
    return -1;
}

ssize_t pread64(int fd, void *out, size_t n, off_t offset) { return pread(fd, out, n, offset); }

ssize_t preadv2(int fd, const struct iovec *parts, int n, off_t offset, int flags) {
    (void)fd, (void)parts, (void)n, (void)offset, (void)flags;
    errno = EOPNOTSUPP;
    return -1;
}

int pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument) {
    static int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *);
    if (real == NULL)
        real = (int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *))dlsym(RTLD_NEXT,
                                                                                              "pthread_create");
    return asked("threads") != NULL ? EAGAIN : real(thread, attributes, run, argument);
}

int madvise(void *from, size_t n_bytes, int advice) {
    static int (*real)(void *, size_t, int);
    if (real == NULL)
        real = (int (*)(void *, size_t, int))dlsym(RTLD_NEXT, "madvise");
    if (advice == POPULATE_READ && asked("populate") != NULL) {
        errno = EINVAL;
        return -1;
    }
    return real(from, n_bytes, advice);
}

struct dirent *readdir(DIR *stream) {
    static struct dirent *(*real)(DIR *);
    if (real == NULL)
        real = (struct dirent * (*)(DIR *)) dlsym(RTLD_NEXT, "readdir");
    if (asked("folders") == NULL || telldir(stream) == 0)
        return real(stream);
    errno = EIO;
    return NULL;
}
