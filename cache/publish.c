#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cache/cache_internal.h"
#include "cache/host.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"

enum { FOREIGN_LEFTOVER_SECONDS = 7 * 24 * 3600 };

bool us_cache_is_leftover(const char *path, const char *name) {
    size_t length = strlen(us_host_id());
    if (strncmp(name, us_host_id(), length) == 0 && name[length] == '.') {
        pid_t pid = (pid_t)strtol(name + length + 1, NULL, 10);
        return pid > 0 && kill(pid, 0) != 0 && errno == ESRCH;
    }
    struct stat info;
    return lstat(path, &info) == 0 && time(NULL) - info.st_mtime > FOREIGN_LEFTOVER_SECONDS;
}

/* What killed processes left in tmp/; once a store. */
static void sweep(struct cache *cache) {
    pthread_mutex_lock(&cache->lock);
    bool swept = cache->swept;
    cache->swept = true;
    pthread_mutex_unlock(&cache->lock);
    char path[CACHE_PATH];
    us_cache_room_path(cache, "tmp", "", path);
    DIR *folder = swept ? NULL : opendir(path);
    if (!folder) {
        return;
    }
    for (struct dirent *entry; (entry = readdir(folder));) {
        us_cache_room_path(cache, "tmp", entry->d_name, path);
        const char *name = entry->d_name + (entry->d_name[0] == '.'); /* of a claim, too */
        if (name[0] && name[0] != '.' && us_cache_is_leftover(path, name)) {
            unlink(path);
        }
    }
    closedir(folder);
}

static int write_parts(int fd, const struct us_part *parts, size_t count) {
    for (size_t i = 0; i < count; i++) {
        const uint8_t *at = parts[i].bytes;
        for (size_t left = parts[i].size; left;) {
            ssize_t put = write(fd, at, left);
            if (put < 0 && errno != EINTR) {
                return errno;
            }
            at += put > 0 ? put : 0;
            left -= put > 0 ? (size_t)put : 0;
        }
    }
    return 0;
}

/* Closes it, too; 0 or errno. */
static int make_last(int fd, int failed) {
    if (!failed && (fchmod(fd, 0440) != 0 || fsync(fd) != 0)) {
        failed = errno;
    }
    if (close(fd) != 0 && !failed) {
        failed = errno;
    }
    return failed;
}

static struct us_error *write_temporary(struct cache *cache, const char *temporary,
                                        const char *path, const struct us_part *parts,
                                        size_t count) {
    int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
    int fd = open(temporary, flags, 0600);
    if (fd < 0 && errno == ENOENT) {
        US_TRY(us_cache_make_rooms(cache));
        fd = open(temporary, flags, 0600);
    }
    if (fd < 0) {
        return us_cache_errno(cache, errno, "cannot write", path);
    }
    int failed = make_last(fd, write_parts(fd, parts, count));
    if (failed) {
        unlink(temporary);
        return us_cache_errno(cache, failed, "cannot write", path);
    }
    return NULL;
}

static struct us_error *make_fan_folder(struct cache *cache, const char *path) {
    char *folder = us_path_folder(path);
    struct us_error *error = NULL;
    if (mkdir(folder, 0750) != 0 && errno == ENOENT) {
        error = us_cache_make_rooms(cache);
        if (!error && mkdir(folder, 0750) != 0 && errno != EEXIST) {
            error = us_cache_errno(cache, errno, "cannot make folder", folder);
        }
    }
    us_free(folder);
    return error;
}

/* 0, EEXIST or what went wrong. A network file system may report failure of a link that was made:
 * the count of links tells. */
static int link_once(const char *temporary, const char *path) {
    if (link(temporary, path) == 0) {
        return 0;
    }
    int failed = errno;
    struct stat info;
    if (stat(temporary, &info) == 0 && info.st_nlink == 2) {
        return 0;
    }
    if (failed == EPERM || failed == EOPNOTSUPP || failed == EMLINK) {
        return renameat2(AT_FDCWD, temporary, AT_FDCWD, path, RENAME_NOREPLACE) == 0 ? 0 : errno;
    }
    return failed;
}

static int sync_folder(const char *path) {
    char *folder = us_path_folder(path);
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    us_free(folder);
    if (fd < 0) {
        return errno;
    }
    int failed = fsync(fd) == 0 || errno == EINVAL ? 0 : errno;
    close(fd);
    return failed;
}

struct us_error *us_cache_publish(struct cache *cache, const char *path,
                                  const struct us_part *parts, size_t count, bool stable,
                                  bool *won) {
    *won = false;
    sweep(cache);
    char temporary[CACHE_PATH];
    us_cache_temporary(cache, temporary);
    US_TRY(write_temporary(cache, temporary, path, parts, count));
    int failed = link_once(temporary, path);
    struct us_error *error = NULL;
    if (failed == ENOENT) {
        error = make_fan_folder(cache, path);
        failed = error ? 0 : link_once(temporary, path);
    }
    unlink(temporary);
    US_TRY(error);
    if (failed == EEXIST) {
        return NULL;
    }
    *won = !failed;
    if (!failed && stable) {
        failed = sync_folder(path);
    }
    return failed ? us_cache_errno(cache, failed, "cannot write", path) : NULL;
}

struct us_error *us_cache_publish_file(struct cache *cache, int fd, int failed,
                                       const char *temporary, const char *path) {
    failed = make_last(fd, failed);
    if (!failed) {
        failed = link_once(temporary, path);
    }
    unlink(temporary);
    if (!failed) {
        failed = sync_folder(path);
    }
    return failed ? us_cache_errno(cache, failed, "cannot write", path) : NULL;
}

struct us_error *us_cache_mark(struct cache *cache, const char *path) {
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0440);
    if (fd < 0 && errno == ENOENT) {
        US_TRY(make_fan_folder(cache, path));
        fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0440);
    }
    /* Made before by another user of the cache, who alone may open it for writing. */
    if (fd < 0 && errno == EACCES && access(path, F_OK) == 0) {
        return NULL;
    }
    if (fd < 0 || close(fd) != 0) {
        return us_cache_errno(cache, errno, "cannot write", path);
    }
    return NULL;
}
