/* Preloaded into a process: the n-th of the calls that change files fails, or ends the process as SIGKILL does. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <sys/types.h>
#include <unistd.h>

static long left;   /* calls until one fails; 0: none will */
static int is_kill; /* whether the process ends instead */
static long made;

void arm_failures(long n, int kill_process) {
    left = n;
    is_kill = kill_process;
    made = 0;
}

long calls_made(void) { return made; }

static int fails(void) {
    made++;
    if (left == 0 || --left > 0)
        return 0;
    if (is_kill)
        kill(getpid(), SIGKILL);
    errno = EIO;
    return 1;
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

ssize_t write(int fd, const void *data, size_t n) { return fails() ? -1 : NEXT(write)(fd, data, n); }
ssize_t pwrite(int fd, const void *data, size_t n, off_t at) { return fails() ? -1 : NEXT(pwrite)(fd, data, n, at); }
ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at) {
    return fails() ? -1 : NEXT(pwrite64)(fd, data, n, at);
}
ssize_t copy_file_range(int in, off64_t *in_at, int out, off64_t *out_at, size_t n, unsigned flags) {
    return fails() ? -1 : NEXT(copy_file_range)(in, in_at, out, out_at, n, flags);
}
int fsync(int fd) { return fails() ? -1 : NEXT(fsync)(fd); }
int rename(const char *from, const char *to) { return fails() ? -1 : NEXT(rename)(from, to); }
int renameat(int a, const char *from, int b, const char *to) { return fails() ? -1 : NEXT(renameat)(a, from, b, to); }
int link(const char *from, const char *to) { return fails() ? -1 : NEXT(link)(from, to); }
int linkat(int a, const char *from, int b, const char *to, int flags) {
    return fails() ? -1 : NEXT(linkat)(a, from, b, to, flags);
}
int fchmod(int fd, mode_t mode) { return fails() ? -1 : NEXT(fchmod)(fd, mode); }
int unlink(const char *path) { return fails() ? -1 : NEXT(unlink)(path); }
