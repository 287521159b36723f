#include "cache/hold.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cache/cache_internal.h"
#include "cache/leftovers.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"

/* gc moves a file to the trash and back once at most while it is stamped, and others may take it
 * back first: more looks than that are not needed. */
enum { LOOKS = 4 };

int64_t us_stamp_of(const struct stat *info) {
    static const int64_t last = 9000000000;
    const int64_t seconds = (int64_t)info->st_mtim.tv_sec;
    return seconds < 0       ? 0
           : seconds >= last ? last * 1000000000
                             : seconds * 1000000000 + info->st_mtim.tv_nsec;
}

/* Names of objects, markers and attempts do not meet: an attempt's has a prefix. */
void us_cache_trash_path(const struct cache *cache, const char *path, char *trash) {
    size_t folder = strlen(cache->folder);
    bool attempt = strncmp(path + folder, "/attempts/", 10) == 0;
    snprintf(trash, CACHE_PATH, "%s/trash/%s%s", cache->folder, attempt ? "attempt." : "",
             us_path_name(path));
}

static struct us_digest stamp_name(const char *path) {
    struct us_hasher *hasher = us_hasher_create();
    us_hasher_string(hasher, "last use");
    us_hasher_string(hasher, us_path_name(path));
    struct us_digest name = us_hasher_finish(hasher);
    us_hasher_destroy(hasher);
    return name;
}

int64_t us_cache_local_stamp(struct cache *cache, const char *path) {
    struct us_digest name = stamp_name(path);
    size_t size;
    uint8_t *bytes = us_index_get(&cache->index, &name, &size);
    int64_t stamp = 0;
    if (bytes && size == sizeof stamp) {
        memcpy(&stamp, bytes, sizeof stamp);
    }
    us_free(bytes);
    return stamp;
}

static void stamp_locally(struct cache *cache, const char *path) {
    struct us_digest name = stamp_name(path);
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    int64_t stamp = (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
    us_index_put(&cache->index, &name, &stamp, sizeof stamp);
}

/* Another user's file: only its owner may set its times. */
static bool may_not(int number) {
    return number == EACCES || number == EPERM || number == EROFS;
}

/* True when it is at `path` with a stamp that gc respects. A time that was set may have met a file
 * on its way to the trash: the second look tells. */
static bool stamp(struct cache *cache, const char *path) {
    struct stat info;
    if (stat(path, &info) != 0) {
        return false;
    }
    if (us_stamp_of(&info) >= atomic_load_explicit(&cache->live.trusted, memory_order_relaxed)) {
        return true;
    }
    if (utimensat(AT_FDCWD, path, NULL, 0) == 0) {
        return stat(path, &info) == 0;
    }
    if (may_not(errno)) {
        stamp_locally(cache, path);
        return true;
    }
    return errno != ENOENT && stat(path, &info) == 0;
}

/* Out of the trash with a new stamp. The rename decides: either it happens, or gc's unlink. */
static bool take_back(const char *trash, const char *path, bool renew) {
    if (access(trash, F_OK) != 0) {
        return false;
    }
    if (renew && utimensat(AT_FDCWD, trash, NULL, 0) != 0 && !may_not(errno)) {
        return false;
    }
    if (renameat2(AT_FDCWD, trash, AT_FDCWD, path, RENAME_NOREPLACE) == 0) {
        return true;
    }
    return errno == EINVAL && access(path, F_OK) != 0 && rename(trash, path) == 0;
}

bool us_cache_hold(struct cache *cache, const char *path) {
    us_live_begin(cache);
    for (int looks = 0; looks < LOOKS; looks++) {
        if (stamp(cache, path)) {
            return true;
        }
        char trash[CACHE_PATH];
        us_cache_trash_path(cache, path, trash);
        if (!take_back(trash, path, true) && errno == ENOENT) {
            return stamp(cache, path);
        }
    }
    return false;
}

bool us_cache_seek(struct cache *cache, const char *path) {
    char trash[CACHE_PATH];
    if (access(path, F_OK) == 0) {
        return true;
    }
    us_cache_trash_path(cache, path, trash);
    return access(trash, F_OK) == 0 || access(path, F_OK) == 0;
}

enum us_taken us_trash_move(struct cache *cache, const char *path) {
    char trash[CACHE_PATH];
    us_cache_trash_path(cache, path, trash);
    if (rename(path, trash) == 0) {
        return US_TAKEN;
    }
    return errno == ENOENT ? US_TAKEN_GONE : US_TAKEN_FAILED;
}

/* A folder leaves the trash under a name that nobody looks for, and is then removed at leisure. */
static enum us_taken remove_folder(struct cache *cache, const char *trash) {
    char last[CACHE_PATH], temporary[CACHE_PATH];
    us_cache_temporary(cache, temporary);
    us_cache_room_path(cache, "tmp", us_path_name(temporary), last);
    if (rename(trash, last) != 0) {
        return errno == ENOENT ? US_TAKEN_GONE : US_TAKEN_FAILED;
    }
    return us_remove_tree(last) ? US_TAKEN : US_TAKEN_FAILED;
}

enum us_taken us_trash_empty(struct cache *cache, const char *path, int64_t begun) {
    char trash[CACHE_PATH];
    struct stat info;
    us_cache_trash_path(cache, path, trash);
    if (lstat(trash, &info) != 0) {
        return errno == ENOENT ? US_TAKEN_GONE : US_TAKEN_FAILED;
    }
    if (us_stamp_of(&info) >= begun || us_cache_local_stamp(cache, path) >= begun) {
        if (!take_back(trash, path, false) && errno == EEXIST) {
            unlink(trash); /* published anew meanwhile */
        }
        return US_TAKEN_IN_USE;
    }
    if (S_ISDIR(info.st_mode)) {
        return remove_folder(cache, trash);
    }
    if (unlink(trash) == 0) {
        return US_TAKEN;
    }
    return errno == ENOENT ? US_TAKEN_GONE : US_TAKEN_FAILED;
}
