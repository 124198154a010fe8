/* Preloaded: lets calls that write files fail, the n-th from when it was asked for, once or from then on. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <unistd.h>

static int countdown = -1, for_ever, error_number, n_failed;

/* After `n` calls the next one fails with `number`, 0 for a write that writes half; all that follow too if `sticks`. */
void faulty_arm(int n, int number, int sticks) {
    countdown = n;
    error_number = number;
    for_ever = sticks;
    n_failed = 0;
}

int faulty_failed(void) {
    countdown = -1;
    return n_failed;
}

static int fails(void) {
    if (countdown < 0)
        return 0;
    if (countdown > 0) {
        countdown--;
        return 0;
    }
    if (!for_ever)
        countdown = -1;
    n_failed++;
    return 1;
}

#define REAL(name, ...)                                                                                           \
    static __typeof__(name) *real;                                                                                \
    if (real == NULL)                                                                                             \
        real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name);

#define FAILING(name, parameters, arguments)                                                                      \
    int name parameters {                                                                                         \
        REAL(name)                                                                                                \
        if (fails()) {                                                                                            \
            errno = error_number != 0 ? error_number : EIO;                                                       \
            return -1;                                                                                            \
        }                                                                                                         \
        return real arguments;                                                                                    \
    }

FAILING(fsync, (int fd), (fd))
FAILING(rename, (const char *from, const char *to), (from, to))
FAILING(renameat, (int a, const char *from, int b, const char *to), (a, from, b, to))
FAILING(link, (const char *from, const char *to), (from, to))
FAILING(linkat, (int a, const char *from, int b, const char *to, int flags), (a, from, b, to, flags))
FAILING(fchmod, (int fd, mode_t mode), (fd, mode))
FAILING(unlink, (const char *path), (path))
FAILING(unlinkat, (int fd, const char *path, int flags), (fd, path, flags))

ssize_t write(int fd, const void *data, size_t n) {
    REAL(write)
    if (fd > 2 && fails()) {
        if (error_number == 0 && n > 1)
            return real(fd, data, n / 2);
        errno = error_number != 0 ? error_number : EIO;
        return -1;
    }
    return real(fd, data, n);
}
