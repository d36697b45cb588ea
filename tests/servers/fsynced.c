/* Preloaded into a store: notes how much of each file has reached the disk.
 *
 * What fdatasync promises covers what was written before it was called, so the size is taken before,
 * and noted after it succeeded: "size path" per line in the file that FSYNCED_LOG names. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static int noted(const char *name, int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    struct stat before;
    int is_known = fstat(fd, &before) == 0 && S_ISREG(before.st_mode);
    int result = real(fd);
    const char *log_path = getenv("FSYNCED_LOG");
    if (result == 0 && is_known && log_path != NULL) {
        char link[64], path[4096], line[4200];
        snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        ssize_t n = readlink(link, path, sizeof path - 1);
        int log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
        if (n > 0 && log >= 0) {
            path[n] = '\0';
            int length = snprintf(line, sizeof line, "%lld %s\n", (long long)before.st_size, path);
            if (write(log, line, length) != length) abort();
        }
        if (log >= 0) close(log);
    }
    return result;
}

int fsync(int fd) { return noted("fsync", fd); }
int fdatasync(int fd) { return noted("fdatasync", fd); }
