#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cache/cache_internal.h"
#include "cache/host.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"

void us_cache_room_path(const struct cache *cache, const char *room, const char *name,
                        char path[CACHE_PATH]) {
    snprintf(path, CACHE_PATH, "%s/%s%s%s", cache->folder, room, name[0] ? "/" : "", name);
}

void us_cache_fan_path(const struct cache *cache, const char *room, const struct us_digest *digest,
                       char path[CACHE_PATH]) {
    char hex[US_DIGEST_HEX];
    us_digest_hex(digest, hex);
    snprintf(path, CACHE_PATH, "%s/%s/%.2s/%s", cache->folder, room, hex, hex);
}

void us_cache_temporary(const struct cache *cache, char path[CACHE_PATH]) {
    static _Atomic unsigned counter;
    snprintf(path, CACHE_PATH, "%s/tmp/%s.%ld.%u", cache->folder, us_host_id(), (long)getpid(),
             atomic_fetch_add_explicit(&counter, 1, memory_order_relaxed));
}

/* Of records that were never there before, unless there is one. */
static struct us_error *make_generation(const struct cache *cache) {
    char path[CACHE_PATH];
    us_cache_room_path(cache, "records", "generation", path);
    int fd = access(path, F_OK) == 0 ? -1 : open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0440);
    if (fd < 0) {
        return access(path, F_OK) == 0 ? NULL : us_cache_errno(cache, errno, "cannot write", path);
    }
    return close(fd) == 0 ? NULL : us_cache_errno(cache, errno, "cannot write", path);
}

struct us_error *us_cache_make_rooms(const struct cache *cache) {
    static const char *const rooms[] = {"",    "objects",    "records", "leases", "attempts",
                                        "tmp", "quarantine", "live",    "pins",   "trash"};
    char *parent = us_path_folder(cache->folder);
    struct us_error *error = us_make_folders(parent);
    us_free(parent);
    struct stat info;
    if (!error && stat(cache->folder, &info) == 0 && !S_ISDIR(info.st_mode)) {
        error = us_fail(US_USAGE, "it is not a folder");
    }
    for (size_t i = 0; i < sizeof rooms / sizeof *rooms && !error; i++) {
        char path[CACHE_PATH];
        us_cache_room_path(cache, rooms[i], "", path);
        if (mkdir(path, 0750) != 0 && errno != EEXIST) {
            error = us_cache_errno(cache, errno, "cannot make folder", path);
        }
    }
    if (!error) {
        error = make_generation(cache);
    }
    return us_error_hint(us_error_wrap(error, "cannot use '%s' as the cache", cache->folder),
                         "name another folder with --cache or $UNDERSTUDY_CACHE");
}

struct us_error *us_cache_errno(const struct cache *cache, int number, const char *doing,
                                const char *path) {
    struct us_error *error = us_error_from_errno(number, "%s '%s'", doing, path);
    if (number == ENOSPC || number == EDQUOT) {
        return us_error_hint(error, "free space in '%s', or name another cache with --cache",
                             cache->folder);
    }
    return error;
}

void us_cache_warn(struct cache *cache, const char *format, ...) {
    char text[CACHE_PATH + 512];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (cache->store.warn) {
        cache->store.warn(cache->store.warn_context, text);
    }
}

static struct us_error *read_all(struct cache *cache, const char *path, int fd, size_t size,
                                 uint8_t *buffer, size_t *used, const char **trouble) {
    while (*used < size) {
        ssize_t got = read(fd, buffer + *used, size - *used);
        if (got == 0) {
            break;
        }
        if (got < 0 && errno == EIO) {
            *trouble = "the disk cannot read it";
            break;
        }
        if (got < 0 && errno != EINTR) {
            return us_cache_errno(cache, errno, "cannot read", path);
        }
        *used += got > 0 ? (size_t)got : 0;
    }
    return NULL;
}

struct us_error *us_cache_read(struct cache *cache, const char *path, uint8_t **bytes, size_t *size,
                               struct stat *info, const char **trouble) {
    *bytes = NULL;
    *size = 0;
    *trouble = NULL;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? NULL : us_cache_errno(cache, errno, "cannot read", path);
    }
    if (fstat(fd, info) != 0) {
        struct us_error *error = us_cache_errno(cache, errno, "cannot read", path);
        close(fd);
        return error;
    }
    struct us_error *error = NULL;
    if (!S_ISREG(info->st_mode)) {
        *trouble = "it is not a file";
        *bytes = us_calloc(1, 1);
    } else {
        size_t length = (size_t)info->st_size;
        uint8_t *buffer = us_try_alloc_pixels(length + 1);
        if (!buffer) {
            error = us_fail(US_RETRY, "no memory for the %zu bytes of '%s'", length, path);
        } else {
            error = read_all(cache, path, fd, length, buffer, size, trouble);
            buffer[*size] = '\0';
            *bytes = buffer;
        }
    }
    close(fd);
    if (error) {
        us_free(*bytes);
        *bytes = NULL;
    }
    return error;
}

void us_cache_quarantine(struct cache *cache, const char *path, const struct stat *info,
                         const char *why) {
    static _Atomic unsigned counter;
    struct stat now;
    if (lstat(path, &now) != 0 || now.st_ino != info->st_ino || now.st_dev != info->st_dev) {
        return;
    }
    char name[128], aside[CACHE_PATH];
    snprintf(name, sizeof name, "%.64s.%s.%ld.%u", us_path_name(path), us_host_id(), (long)getpid(),
             atomic_fetch_add_explicit(&counter, 1, memory_order_relaxed));
    us_cache_room_path(cache, "quarantine", name, aside);
    if (rename(path, aside) == 0) {
        us_cache_warn(cache,
                      "cache: '%s' is damaged (%s); moved to '%s' and made again when needed", path,
                      why, aside);
    } else if (errno != ENOENT) {
        us_cache_warn(cache, "cache: '%s' is damaged (%s) and cannot be moved aside (%s); not used",
                      path, why, strerror(errno));
    }
}
