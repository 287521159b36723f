#include "runtime/base/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "runtime/base/mem.h"
#include "runtime/base/str.h"

char *us_path_join(const char *folder, const char *name) {
    if (name[0] == '/' || strcmp(folder, ".") == 0 || folder[0] == '\0') {
        return us_strdup(name);
    }
    struct us_str str = {0};
    us_str_append(&str, folder);
    if (!us_str_ends(folder, "/")) {
        us_str_append(&str, "/");
    }
    us_str_append(&str, name);
    return us_str_take(&str);
}

char *us_path_folder(const char *path) {
    const char *slash = strrchr(path, '/');
    if (!slash) {
        return us_strdup(".");
    }
    return us_strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

const char *us_path_name(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Adds names to a real path, folding . and .. */
static char *fold(char *real, const char *rest) {
    struct us_str made = {0};
    us_str_append(&made, strcmp(real, "/") == 0 ? "" : real);
    us_free(real);
    while (*rest) {
        rest += strspn(rest, "/");
        size_t length = strcspn(rest, "/");
        if (length == 2 && rest[0] == '.' && rest[1] == '.') {
            char *slash = made.data ? strrchr(made.data, '/') : NULL;
            made.length = slash ? (size_t)(slash - made.data) : 0;
            us_str_append(&made, "");
        } else if (length && !(length == 1 && rest[0] == '.')) {
            us_str_append(&made, "/");
            us_str_append_bytes(&made, rest, length);
        }
        rest += length;
    }
    return us_str_take(&made);
}

static char *follow(const char *path) {
    char *head = us_strdup(path);
    for (;;) {
        char *real = realpath(head, NULL);
        if (real) {
            size_t length = strlen(head);
            us_free(head);
            return fold(real, path + length);
        }
        struct stat info;
        if (lstat(head, &info) == 0 && S_ISLNK(info.st_mode)) {
            us_free(head);
            return NULL;
        }
        if (strcmp(head, "/") == 0 || !strchr(head, '/')) {
            us_free(head);
            return us_strdup(path);
        }
        char *above = us_path_folder(head);
        us_free(head);
        head = above;
    }
}

char *us_path_real(const char *path) {
    char *real = follow(path);
    if (!real || !strstr(path, "..")) {
        return real;
    }
    char *again = follow(real); /* links behind a ".." of what was not there */
    us_free(real);
    return again;
}

/* What stands in the way of writing is no missing input; a hint says how to get past it. */
static struct us_error *write_error(int number, const char *path) {
    struct us_error *error = us_error_from_errno(number, "cannot write '%s'", path);
    if (error->code == US_MISSING) {
        error->code = US_FAILED;
    }
    switch (number) {
    case EACCES:
    case EPERM:
    case EROFS:
        return us_error_hint(error, "choose a folder that you may write to");
    case ENOSPC:
    case EDQUOT:
        return us_error_hint(error, "make room there and run again: what is done is kept");
    default:
        return error;
    }
}

struct us_error *us_make_folders(const char *path) {
    char *copy = us_strdup(path);
    struct us_error *error = NULL;
    for (char *p = copy + 1; !error; p++) {
        if (*p != '/' && *p != '\0') {
            continue;
        }
        char end = *p;
        *p = '\0';
        if (mkdir(copy, 0777) != 0 && errno != EEXIST) {
            error = us_error_wrap(write_error(errno, copy), "cannot make folder '%s'", path);
        }
        *p = end;
        if (end == '\0') {
            break;
        }
    }
    struct stat info;
    if (!error && (stat(copy, &info) != 0 || !S_ISDIR(info.st_mode))) {
        error = us_fail(US_FAILED, "'%s' is not a folder", path);
    }
    us_free(copy);
    return error;
}

struct us_error *us_make_private_folder(const char *path) {
    char *parent = us_path_folder(path);
    struct us_error *error = us_make_folders(parent);
    us_free(parent);
    if (!error && mkdir(path, 0750) != 0 && errno != EEXIST) {
        error = write_error(errno, path);
    }
    return error;
}

static struct us_error *too_large(const char *path, size_t limit) {
    return us_fail(US_FAILED, "'%s' is larger than %zu bytes", path, limit);
}

/* Like read, whatever interrupts it. */
static ssize_t read_some(int fd, void *bytes, size_t size) {
    ssize_t got;
    do {
        got = read(fd, bytes, size);
    } while (got < 0 && errno == EINTR);
    return got;
}

static struct us_error *read_open(int fd, const char *path, size_t limit, uint8_t **bytes,
                                  size_t *size) {
    struct stat info;
    if (fstat(fd, &info) != 0) {
        return us_error_from_errno(errno, "cannot read '%s'", path);
    }
    if (S_ISDIR(info.st_mode)) {
        return us_fail(US_MISSING, "cannot read '%s': it is a folder", path);
    }
    size_t capacity = info.st_size > 0 ? (size_t)info.st_size : 4096, used = 0;
    if (limit && capacity > limit) {
        return too_large(path, limit);
    }
    uint8_t *buffer = us_malloc(capacity + 1);
    for (;;) {
        if (used == capacity) {
            capacity *= 2;
            buffer = us_realloc(buffer, capacity + 1);
        }
        ssize_t got = read_some(fd, buffer + used, capacity - used);
        if (got == 0) {
            break;
        }
        if (got < 0 || (limit && used + (size_t)got > limit)) {
            struct us_error *error = got < 0 ? us_error_from_errno(errno, "cannot read '%s'", path)
                                             : too_large(path, limit);
            us_free(buffer);
            return error;
        }
        used += (size_t)got;
        if (info.st_size > 0 && used == (size_t)info.st_size) {
            break;
        }
    }
    buffer[used] = '\0';
    *bytes = buffer;
    *size = used;
    return NULL;
}

struct us_error *us_read_file(const char *path, size_t limit, uint8_t **bytes, size_t *size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return us_error_from_errno(errno, "cannot read '%s'", path);
    }
    struct us_error *error = read_open(fd, path, limit, bytes, size);
    close(fd);
    return error;
}

/* A file, a link to one, or nothing may be replaced; a device would be gone for all who use it. */
static struct us_error *check_replaceable(const char *path) {
    struct stat info;
    char target[8] = {0};
    if (!path[0]) {
        return us_error_hint(us_fail(US_FAILED, "cannot write '': the path is empty"),
                             "name a file");
    }
    if (stat(path, &info) != 0) {
        return NULL;
    }
    const bool is_open_file = readlink(path, target, sizeof target - 1) > 0 && /* /dev/stdout */
                              strncmp(target, "/proc/", 6) == 0;
    if (S_ISREG(info.st_mode) && !is_open_file) {
        return NULL;
    }
    struct us_error *error = us_fail(US_FAILED, "cannot write '%s': it is a %s", path,
                                     S_ISDIR(info.st_mode) ? "folder" : "pipe or device");
    return us_error_hint(error, "name a file");
}

struct us_error *us_write_begin(const char *path, char **temporary) {
    static _Atomic unsigned counter;
    US_TRY(check_replaceable(path));
    char *folder = us_path_folder(path);
    struct us_error *error = us_make_folders(folder);
    us_free(folder);
    US_TRY(error);
    struct us_str name = {0};
    us_str_printf(&name, "%s.%ld-%u.tmp", path, (long)getpid(),
                  atomic_fetch_add_explicit(&counter, 1, memory_order_relaxed));
    *temporary = us_str_take(&name);
    return NULL;
}

int us_rename(const char *from, const char *to) {
    if (rename(from, to) == 0) {
        return 0;
    }
    int failed = errno;
    struct stat info;
    return lstat(from, &info) != 0 && errno == ENOENT ? 0 : failed;
}

static struct us_error *sync_and_rename(const char *path, const char *temporary) {
    int fd = open(temporary, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return write_error(errno, path);
    }
    int failed = fsync(fd) != 0 ? errno : 0;
    if (close(fd) != 0 && !failed) {
        failed = errno;
    }
    if (!failed) {
        failed = us_rename(temporary, path);
    }
    return failed ? write_error(failed, path) : NULL;
}

struct us_error *us_write_finish(const char *path, char *temporary, struct us_error *failed) {
    struct us_error *error = failed ? failed : sync_and_rename(path, temporary);
    if (error) {
        unlink(temporary);
    }
    us_free(temporary);
    return error;
}

static struct us_error *write_all(const char *temporary, const char *path, const uint8_t *bytes,
                                  size_t size) {
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0) {
        return write_error(errno, path);
    }
    struct us_error *error = NULL;
    while (size && !error) {
        ssize_t put = write(fd, bytes, size);
        if (put < 0 && errno != EINTR) {
            error = write_error(errno, path);
        } else if (put > 0) {
            bytes += put;
            size -= (size_t)put;
        }
    }
    if (close(fd) != 0 && !error) {
        error = write_error(errno, path);
    }
    return error;
}

struct us_error *us_write_file(const char *path, const void *bytes, size_t size) {
    char *temporary;
    US_TRY(us_write_begin(path, &temporary));
    return us_write_finish(path, temporary, write_all(temporary, path, bytes, size));
}
