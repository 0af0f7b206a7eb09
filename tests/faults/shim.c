/* Counts the file operations of this process below one folder; at the one asked for it kills the process or fails. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OFF, COUNT, KILL_BEFORE, KILL_AFTER, KILL_TORN, FAIL_ONCE, FAIL_FROM };
static int mode = OFF, error_number = 0;
static long count = 0, target = 0;
static char root[PATH_MAX] = "";
static char last[PATH_MAX + 32] = "";

void faults_arm(int new_mode, long at, int number, const char *folder) {
  mode = OFF;
  count = 0;
  target = at;
  error_number = number;
  snprintf(root, sizeof root, "%s", folder);
  mode = new_mode;
}
long faults_count(void) { return count; }
const char *faults_last(void) { return last; }

static int below(const char *path) {
  if (mode == OFF || path == NULL) return 0;
  if (path[0] == '/') return strncmp(path, root, strlen(root)) == 0;
  char here[PATH_MAX];
  return getcwd(here, sizeof here) != NULL && strncmp(here, root, strlen(root)) == 0;
}
static int below_fd(int fd) {
  if (mode == OFF) return 0;
  char name[64], path[PATH_MAX];
  snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
  ssize_t size = readlink(name, path, sizeof path - 1);
  if (size <= 0) return 0;
  path[size] = 0;
  return below(path);
}
static void die(void) { kill(getpid(), SIGKILL); for (;;) pause(); }

/* Return 1 if the operation shall fail. `takes_space`: a full disk refuses it; others succeed on a full disk. */
static int due(const char *name, int takes_space) {
  count++;
  if (mode == FAIL_ONCE || mode == FAIL_FROM) {
    int now = mode == FAIL_ONCE ? count == target : count >= target;
    if (now && (takes_space || error_number != ENOSPC)) {
      snprintf(last, sizeof last, "%s", name);
      errno = error_number;
      return 1;
    }
    return 0;
  }
  if (mode == KILL_BEFORE && count == target) die();
  return 0;
}
static void done(void) {
  if ((mode == KILL_AFTER || mode == KILL_TORN) && count == target) die();
}
#define NEXT(type, name) \
  static __typeof__(type) real; \
  if (!real) real = (__typeof__(type))dlsym(RTLD_NEXT, name)

static int creates(int flags) { return (flags & (O_CREAT | O_WRONLY | O_RDWR | O_TRUNC)) != 0; }

#define OPEN(NAME) \
  int NAME(const char *path, int flags, ...) { \
    NEXT(int (*)(const char *, int, ...), #NAME); \
    va_list rest; \
    va_start(rest, flags); \
    mode_t bits = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(rest, mode_t) : 0; \
    va_end(rest); \
    int ours = creates(flags) && below(path); \
    if (ours && due(#NAME, 1)) return -1; \
    int found = real(path, flags, bits); \
    if (ours) done(); \
    return found; \
  }
OPEN(open)
OPEN(open64)
#define OPENAT(NAME) \
  int NAME(int at, const char *path, int flags, ...) { \
    NEXT(int (*)(int, const char *, int, ...), #NAME); \
    va_list rest; \
    va_start(rest, flags); \
    mode_t bits = (flags & (O_CREAT | O_TMPFILE)) ? va_arg(rest, mode_t) : 0; \
    va_end(rest); \
    int ours = creates(flags) && below(path); \
    if (ours && due(#NAME, 1)) return -1; \
    int found = real(at, path, flags, bits); \
    if (ours) done(); \
    return found; \
  }
OPENAT(openat)
OPENAT(openat64)
#define FOPEN(NAME) \
  FILE *NAME(const char *path, const char *how) { \
    NEXT(FILE * (*)(const char *, const char *), #NAME); \
    int ours = strpbrk(how, "wa+") != NULL && below(path); \
    if (ours && due(#NAME, 1)) return NULL; \
    FILE *found = real(path, how); \
    if (ours) done(); \
    return found; \
  }
FOPEN(fopen)
FOPEN(fopen64)

ssize_t write(int fd, const void *data, size_t size) {
  NEXT(ssize_t(*)(int, const void *, size_t), "write");
  int ours = mode != OFF && below_fd(fd);
  if (ours && due("write", 1)) return -1;
  if (ours && mode == KILL_TORN && count == target) size /= 2;
  ssize_t found = real(fd, data, size);
  if (ours) done();
  return found;
}
#define PWRITE(NAME) \
  ssize_t NAME(int fd, const void *data, size_t size, off_t offset) { \
    NEXT(ssize_t(*)(int, const void *, size_t, off_t), #NAME); \
    int ours = mode != OFF && below_fd(fd); \
    if (ours && due(#NAME, 1)) return -1; \
    if (ours && mode == KILL_TORN && count == target) size /= 2; \
    ssize_t found = real(fd, data, size, offset); \
    if (ours) done(); \
    return found; \
  }
PWRITE(pwrite)
PWRITE(pwrite64)
ssize_t writev(int fd, const struct iovec *parts, int number) {
  NEXT(ssize_t(*)(int, const struct iovec *, int), "writev");
  int ours = mode != OFF && below_fd(fd);
  if (ours && due("writev", 1)) return -1;
  ssize_t found = real(fd, parts, number);
  if (ours) done();
  return found;
}
size_t fwrite(const void *data, size_t size, size_t number, FILE *file) {
  NEXT(size_t(*)(const void *, size_t, size_t, FILE *), "fwrite");
  int ours = mode != OFF && below_fd(fileno(file));
  if (ours && due("fwrite", 1)) return 0;
  size_t found = real(data, size, number, file);
  if (ours) done();
  return found;
}
ssize_t sendfile(int out, int in, off_t *offset, size_t size) {
  NEXT(ssize_t(*)(int, int, off_t *, size_t), "sendfile");
  int ours = mode != OFF && below_fd(out);
  if (ours && due("sendfile", 1)) return -1;
  ssize_t found = real(out, in, offset, size);
  if (ours) done();
  return found;
}
#define ON_FD(TYPE, NAME, SPACE, DECLARED, PASSED) \
  int NAME DECLARED { \
    NEXT(TYPE, #NAME); \
    int ours = mode != OFF && below_fd(fd); \
    if (ours && due(#NAME, SPACE)) return -1; \
    int found = real PASSED; \
    if (ours) done(); \
    return found; \
  }
ON_FD(int (*)(int), fsync, 1, (int fd), (fd))
ON_FD(int (*)(int), fdatasync, 1, (int fd), (fd))
ON_FD(int (*)(int, off_t), ftruncate, 1, (int fd, off_t size), (fd, size))
ON_FD(int (*)(int, off_t), ftruncate64, 1, (int fd, off_t size), (fd, size))
#define ON_PATH(TYPE, NAME, SPACE, PATH, DECLARED, PASSED) \
  int NAME DECLARED { \
    NEXT(TYPE, #NAME); \
    int ours = below(PATH); \
    if (ours && due(#NAME, SPACE)) return -1; \
    int found = real PASSED; \
    if (ours) done(); \
    return found; \
  }
ON_PATH(int (*)(const char *, const char *), rename, 1, to, (const char *from, const char *to), (from, to))
ON_PATH(int (*)(int, const char *, int, const char *), renameat, 1, to,
        (int a, const char *from, int b, const char *to), (a, from, b, to))
ON_PATH(int (*)(const char *), unlink, 0, path, (const char *path), (path))
ON_PATH(int (*)(int, const char *, int), unlinkat, 0, path, (int at, const char *path, int flags), (at, path, flags))
ON_PATH(int (*)(const char *), rmdir, 0, path, (const char *path), (path))
ON_PATH(int (*)(const char *, mode_t), mkdir, 1, path, (const char *path, mode_t bits), (path, bits))
ON_PATH(int (*)(int, const char *, mode_t), mkdirat, 1, path, (int at, const char *path, mode_t bits), (at, path, bits))
ON_PATH(int (*)(const char *, const char *), link, 1, to, (const char *from, const char *to), (from, to))
ON_PATH(int (*)(int, const char *, int, const char *, int), linkat, 1, to,
        (int a, const char *from, int b, const char *to, int flags), (a, from, b, to, flags))
