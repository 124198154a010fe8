#if defined(__linux__)
#define _GNU_SOURCE /* O_DIRECT */
#endif
#include "base/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef O_DIRECT
#define O_DIRECT 0 /* opens as usual, which is the documented fallback */
#endif

const char pye_path_separators[] = "/";

/* O_NONBLOCK keeps a named pipe from blocking the open; it means nothing for a regular file. */
static int open_for_reading(const char *path, int flags) {
    int fd;
    do
        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | flags);
    while (fd < 0 && errno == EINTR);
    return fd;
}

static pye_identity identity_of(const struct stat *info) {
#if defined(__APPLE__)
    struct timespec changed = info->st_mtimespec;
#else
    struct timespec changed = info->st_mtim;
#endif
    return (pye_identity){
        .device = (uint64_t)info->st_dev,
        .inode = (uint64_t)info->st_ino,
        .size = (uint64_t)info->st_size,
        .seconds = (int64_t)changed.tv_sec,
        .nanoseconds = (int64_t)changed.tv_nsec,
        .kind = S_ISREG(info->st_mode)   ? PYE_FILE_REGULAR
                : S_ISDIR(info->st_mode) ? PYE_FILE_FOLDER
                                         : PYE_FILE_OTHER,
    };
}

int pye_file_identify(pye_handle file, pye_identity *identity) {
    struct stat info;
    if (fstat((int)file, &info) != 0)
        return errno;
    *identity = identity_of(&info);
    return 0;
}

int pye_file_open(pye_handle *file, pye_identity *identity, const char *path, bool direct) {
    int fd = open_for_reading(path, direct ? O_DIRECT : 0);
    if (fd < 0 && direct && errno == EINVAL)
        fd = open_for_reading(path, 0);
    if (fd < 0)
        return errno;
    int code = pye_file_identify(fd, identity);
    if (code == 0 && identity->kind == PYE_FILE_FOLDER)
        code = EISDIR;
    if (code != 0)
        (void)close(fd);
    else
        *file = fd;
    return code;
}

void pye_file_close(pye_handle file) { (void)close((int)file); }

int pye_path_identify(const char *path, pye_identity *identity) {
    struct stat info;
    if (stat(path, &info) != 0)
        return errno;
    *identity = identity_of(&info);
    return 0;
}

bool pye_path_exists(const char *path) {
    struct stat info;
    return lstat(path, &info) == 0;
}

int pye_file_read(pye_handle file, uint64_t offset, void *out, size_t n_bytes, size_t *n_read) {
    ssize_t n;
    do
        n = pread((int)file, out, n_bytes, (off_t)offset);
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return errno;
    *n_read = (size_t)n;
    return 0;
}

int pye_folder_list(const char *path, bool (*visit)(const char *name, void *context), void *context) {
    DIR *stream = opendir(path);
    if (stream == NULL)
        return errno;
    int code;
    struct dirent *item;
    do {
        errno = 0; /* NULL is both the end of the folder and an error */
        item = readdir(stream);
        code = item == NULL ? errno : 0;
    } while (item != NULL && visit(item->d_name, context));
    (void)closedir(stream);
    return code;
}

/* ---------------------------------------------------------------------------------------------- notices */

static int write_notice(int descriptor) {
    const uint64_t one = 1;
    ssize_t n;
    do
        n = write(descriptor, &one, sizeof one);
    while (n < 0 && errno == EINTR); /* a pipe that is full says the same */
    return n < 0 ? errno : 0;
}

/* A reader that has gone must not end the process by SIGPIPE. */
#if defined(F_SETNOSIGPIPE)
/* Here the signal may reach any thread: the descriptor itself has to send none. */
void pye_notify(int descriptor) {
    (void)fcntl(descriptor, F_SETNOSIGPIPE, 1);
    (void)write_notice(descriptor);
}
#else
static bool is_pending(int signal_number) {
    sigset_t pending;
    return sigpending(&pending) == 0 && sigismember(&pending, signal_number) == 1;
}

/* The signal comes to the thread that writes, which keeps it from arriving and takes it. */
void pye_notify(int descriptor) {
    sigset_t broken_pipe, previous;
    (void)sigemptyset(&broken_pipe);
    (void)sigaddset(&broken_pipe, SIGPIPE);
    (void)pthread_sigmask(SIG_BLOCK, &broken_pipe, &previous);
    bool was_pending = is_pending(SIGPIPE); /* from elsewhere, and stays */
    if (write_notice(descriptor) == EPIPE && !was_pending && is_pending(SIGPIPE)) {
        int taken;
        (void)sigwait(&broken_pipe, &taken);
    }
    (void)pthread_sigmask(SIG_SETMASK, &previous, NULL);
}
#endif
