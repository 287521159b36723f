#include "cache/leftovers.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cache/cache_internal.h"
#include "cache/hold.h"
#include "runtime/base/mem.h"

enum { LEASE_SECONDS = 24 * 3600, DEEPEST = 64 };

static bool remove_at(int parent, const char *name, int depth);

static bool empty_folder(int fd, int depth) {
    DIR *folder = fdopendir(fd);
    if (!folder) {
        close(fd);
        return false;
    }
    bool fine = true;
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            fine &= remove_at(dirfd(folder), entry->d_name, depth);
        }
    }
    closedir(folder);
    return fine;
}

static bool remove_at(int parent, const char *name, int depth) {
    if (unlinkat(parent, name, 0) == 0 || errno == ENOENT) {
        return true;
    }
    if (errno != EISDIR && errno != EPERM) {
        return false;
    }
    int fd = openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || depth == DEEPEST) {
        return false;
    }
    return empty_folder(fd, depth + 1) && unlinkat(parent, name, AT_REMOVEDIR) == 0;
}

bool us_remove_tree(const char *path) {
    return remove_at(AT_FDCWD, path, 0);
}

/* Bytes of a folder, and the times of its oldest and youngest file. */
static void weigh(int parent, const char *name, int depth, struct us_cache_count *count,
                  int64_t span[2]) {
    struct stat info;
    if (fstatat(parent, name, &info, AT_SYMLINK_NOFOLLOW) != 0) {
        return;
    }
    int64_t stamp = us_stamp_of(&info);
    span[1] = stamp > span[1] ? stamp : span[1];
    if (!S_ISDIR(info.st_mode)) {
        span[0] = stamp < span[0] ? stamp : span[0];
        count->files++;
        count->bytes += (uint64_t)info.st_size;
        return;
    }
    int fd = depth < DEEPEST ? openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
    if (!folder) {
        return;
    }
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            weigh(dirfd(folder), entry->d_name, depth + 1, count, span);
        }
    }
    closedir(folder);
}

struct us_error *us_attempts_list(struct cache *cache, struct us_attempt **attempts,
                                  size_t *count) {
    char path[CACHE_PATH];
    size_t capacity = 0;
    *attempts = NULL;
    *count = 0;
    us_cache_room_path(cache, "attempts", "", path);
    DIR *folder = opendir(path);
    if (!folder) {
        return errno == ENOENT ? NULL : us_cache_errno(cache, errno, "cannot read folder", path);
    }
    for (struct dirent *entry; (entry = readdir(folder));) {
        struct us_attempt attempt = {0};
        struct us_cache_count files = {0};
        int64_t span[2] = {INT64_MAX, 0};
        if (entry->d_name[0] == '.' || strlen(entry->d_name) >= sizeof attempt.name) {
            continue;
        }
        snprintf(attempt.name, sizeof attempt.name, "%s", entry->d_name);
        weigh(dirfd(folder), entry->d_name, 0, &files, span);
        attempt.bytes = files.bytes;
        attempt.used = span[1];
        attempt.seconds = files.files ? (double)(span[1] - span[0]) * 1e-9 : 0;
        us_grow(attempts, &capacity, *count, sizeof **attempts);
        (*attempts)[(*count)++] = attempt;
    }
    closedir(folder);
    return NULL;
}

struct clearing {
    struct cache *cache;
    const struct us_gc_options *options;
    struct us_cache_count *removed;
    double age; /* seconds */
};

static void clear(struct clearing *clearing, const char *path) {
    struct us_cache_count files = {0};
    int64_t span[2] = {INT64_MAX, 0};
    weigh(AT_FDCWD, path, 0, &files, span);
    if (clearing->options->dry_run || us_remove_tree(path)) {
        clearing->removed->files += files.files ? files.files : 1;
        clearing->removed->bytes += files.bytes;
    } else {
        us_cache_warn(clearing->cache, "cache: cannot remove '%s': %s", path, strerror(errno));
    }
}

static bool is_older(const char *path, double seconds) {
    struct stat info;
    return lstat(path, &info) == 0 && difftime(time(NULL), info.st_mtime) > seconds;
}

static bool old_quarantine(struct clearing *clearing, const char *path, const char *name) {
    (void)name;
    return is_older(path, clearing->age);
}

static bool dead_temporary(struct clearing *clearing, const char *path, const char *name) {
    (void)clearing;
    return us_cache_is_leftover(path, name);
}

/* A lease that can be taken belongs to nobody; giving it back removes it. */
static bool dead_lease(struct clearing *clearing, const char *path, const char *name) {
    struct us_digest key;
    bool taken = false;
    if (!us_digest_parse(name, &key) || !is_older(path, LEASE_SECONDS)) {
        return false;
    }
    if (clearing->options->dry_run) {
        return true;
    }
    struct us_store *store = &clearing->cache->store;
    us_error_free(us_cache_lease(store, &key, &taken));
    if (taken) {
        us_cache_release(store, &key);
        clearing->removed->files++;
    }
    return false;
}

static struct us_error *clear_room(struct clearing *clearing, const char *room,
                                   bool (*is_old)(struct clearing *, const char *, const char *)) {
    char path[CACHE_PATH];
    us_cache_room_path(clearing->cache, room, "", path);
    DIR *folder = opendir(path);
    if (!folder) {
        return errno == ENOENT ? NULL
                               : us_cache_errno(clearing->cache, errno, "cannot read folder", path);
    }
    for (struct dirent *entry; (entry = readdir(folder));) {
        us_cache_room_path(clearing->cache, room, entry->d_name, path);
        if (entry->d_name[0] != '.' && is_old(clearing, path, entry->d_name)) {
            clear(clearing, path);
        }
    }
    closedir(folder);
    return NULL;
}

struct us_error *us_leftovers_clear(struct cache *cache, const struct us_gc_options *options,
                                    struct us_cache_count *removed) {
    struct clearing clearing = {cache, options, removed, options->leftover_seconds};
    US_TRY(clear_room(&clearing, "tmp", dead_temporary));
    US_TRY(clear_room(&clearing, "quarantine", old_quarantine));
    return clear_room(&clearing, "leases", dead_lease);
}
