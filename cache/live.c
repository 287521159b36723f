#include "cache/live.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache/cache_internal.h"
#include "cache/hold.h"
#include "cache/host.h"
#include "runtime/base/mem.h"
#include "runtime/base/str.h"

/* A run that is taken for dead too late costs nothing: gc spares what it need not. */
enum { MISSED_BEATS = 12, ANNOUNCED_SECONDS = 24 * 3600 };
#define SECOND ((int64_t)1000000000)
double us_stamp_seconds = 3600, us_stamp_slack = 60;

static int64_t in_ns(double seconds) {
    return (int64_t)(seconds * 1e9);
}

/* The server's time now, by touching a file of ours; 0 when that cannot be told. */
static int64_t touched(int fd) {
    struct stat info;
    return futimens(fd, NULL) == 0 && fstat(fd, &info) == 0 ? us_stamp_of(&info) : 0;
}

/* One of an earlier day was killed. */
static bool gc_announced(const struct cache *cache, int64_t now) {
    char path[CACHE_PATH];
    struct stat info;
    us_cache_room_path(cache, "live", "gc", path);
    return stat(path, &info) == 0 && now - us_stamp_of(&info) < ANNOUNCED_SECONDS * SECOND;
}

/* The name holds the time, which is known only once the file is there: made in tmp, then moved. */
static bool enter(struct cache *cache, struct us_live *live) {
    static _Atomic unsigned counter;
    char temporary[CACHE_PATH], path[CACHE_PATH], name[160];
    us_cache_temporary(cache, temporary);
    live->fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    struct stat info;
    if (live->fd < 0) {
        return false;
    }
    if (fstat(live->fd, &info) == 0) {
        snprintf(name, sizeof name, "%s.%ld.%llu.%u.%" PRId64, us_host_id(), (long)getpid(),
                 us_own_start(), atomic_fetch_add(&counter, 1), us_stamp_of(&info));
        us_cache_room_path(cache, "live", name, path);
        if (rename(temporary, path) == 0) {
            live->path = us_strdup(path);
            live->begun = us_stamp_of(&info);
            return true;
        }
    }
    unlink(temporary);
    close(live->fd);
    return false;
}

/* First the own name, then a look for a gc; a gc does it the other way round, so one of the two
 * sees the other. What a gc has seen lives with stamps of the last hour; beside a gc that may not
 * have seen us every stamp is renewed. */
static void begin_locked(struct cache *cache) {
    struct us_live *live = &cache->live;
    if (!enter(cache, live)) {
        int64_t never = INT64_MAX;
        atomic_store(&live->trusted, never);
        return;
    }
    int64_t trusted = live->begun - in_ns(us_stamp_seconds);
    if (gc_announced(cache, live->begun)) {
        atomic_store(&live->beside_gc, true);
        int64_t now = touched(live->fd);
        trusted = now ? now : INT64_MAX;
    }
    atomic_store(&live->trusted, trusted);
}

void us_live_begin(struct cache *cache) {
    if (atomic_load_explicit(&cache->live.tried, memory_order_acquire)) {
        return;
    }
    pthread_mutex_lock(&cache->lock);
    if (!atomic_load(&cache->live.tried)) {
        begin_locked(cache);
        atomic_store_explicit(&cache->live.tried, true, memory_order_release);
    }
    pthread_mutex_unlock(&cache->lock);
    us_cache_start_keeper(cache);
}

bool us_live_beside_gc(struct cache *cache) {
    struct us_live *live = &cache->live;
    if (!atomic_load_explicit(&live->beside_gc, memory_order_relaxed)) {
        return false;
    }
    bool still = gc_announced(cache, live->begun);
    atomic_store(&live->beside_gc, still);
    return still;
}

void us_live_beat(struct cache *cache) {
    struct us_live *live = &cache->live;
    if (!atomic_load_explicit(&live->tried, memory_order_acquire) || !live->begun) {
        return;
    }
    int64_t now = touched(live->fd), trusted = now - in_ns(us_stamp_seconds);
    if (now && trusted > atomic_load(&live->trusted)) {
        atomic_store(&live->trusted, trusted);
    }
}

void us_live_finish(struct cache *cache) {
    struct us_live *live = &cache->live;
    if (live->begun) {
        unlink(live->path);
        close(live->fd);
        us_free(live->path);
        live->begun = 0;
    }
}

struct entry {
    char host[64];
    long pid;
    unsigned long long start;
    int64_t begun;
};

/* The number up to the next dot, or the end; *at is NULL when there is none. */
static unsigned long long number(const char **at) {
    char *end = NULL;
    unsigned long long value = *at ? strtoull(*at, &end, 10) : 0;
    bool fine = end && end != *at && (*end == '.' || *end == '\0');
    *at = !fine ? NULL : *end ? end + 1 : end;
    return value;
}

static bool parse(const char *name, struct entry *entry) {
    size_t length = strcspn(name, ".");
    if (length >= sizeof entry->host || name[length] != '.') {
        return false;
    }
    memcpy(entry->host, name, length);
    entry->host[length] = '\0';
    const char *at = name + length + 1;
    entry->pid = (long)number(&at);
    entry->start = number(&at);
    number(&at); /* of the store */
    const unsigned long long begun = number(&at);
    entry->begun = (int64_t)begun;
    return at != NULL && begun <= INT64_MAX;
}

static bool lives(const char *path, const struct entry *entry, int64_t now) {
    if (strcmp(entry->host, us_host_id()) == 0) {
        return us_process_start((pid_t)entry->pid) == entry->start;
    }
    /* Opened, so that a network file system asks its server. */
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    if (fd < 0) {
        return errno != ENOENT;
    }
    bool known = fstat(fd, &info) == 0;
    close(fd);
    double age = (double)(now - (known ? us_stamp_of(&info) : now)) / (double)SECOND;
    return age <= MISSED_BEATS * us_cache_beat_seconds;
}

static struct us_error *look(struct cache *cache, bool look_only, struct us_gc_watch *watch) {
    char path[CACHE_PATH];
    us_cache_room_path(cache, "live", "", path);
    DIR *folder = opendir(path);
    if (!folder) {
        return errno == ENOENT
                   ? NULL
                   : us_cache_errno(cache, errno, "cannot see who uses the cache:", path);
    }
    errno = 0;
    for (struct dirent *item; (item = readdir(folder));) {
        struct entry entry;
        us_cache_room_path(cache, "live", item->d_name, path);
        if (!parse(item->d_name, &entry)) {
            continue;
        }
        if (!lives(path, &entry, watch->begun)) {
            if (!look_only) {
                unlink(path);
            }
            continue;
        }
        int64_t spared = entry.begun - in_ns(us_stamp_seconds + us_stamp_slack);
        watch->spared = spared < watch->spared ? spared : watch->spared;
        watch->runs++;
        errno = 0;
    }
    closedir(folder);
    return NULL;
}

/* The time by the server, when nothing can be written but a time: that of a folder. */
static int64_t time_of_folder(struct cache *cache) {
    char path[CACHE_PATH];
    struct stat info;
    us_cache_room_path(cache, "live", "", path);
    if (utimensat(AT_FDCWD, path, NULL, 0) == 0 && stat(path, &info) == 0) {
        return us_stamp_of(&info);
    }
    return (int64_t)time(NULL) * SECOND;
}

struct us_error *us_live_look(struct cache *cache, bool look_only, struct us_gc_watch *watch) {
    *watch = (struct us_gc_watch){.spared = INT64_MAX};
    char path[CACHE_PATH];
    us_cache_room_path(cache, "live", "gc", path);
    int fd = look_only ? -1 : open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0640);
    watch->begun = fd >= 0 ? touched(fd) : 0;
    if (fd >= 0) {
        close(fd);
        watch->path = us_strdup(path);
    }
    if (!watch->begun) {
        watch->begun = time_of_folder(cache);
    }
    /* Not announced on a full disk: a run may begin unseen, and trust stamps of the last hour. */
    if (fd < 0 && !look_only) {
        watch->spared = watch->begun - in_ns(us_stamp_seconds + us_stamp_slack);
    }
    struct us_error *error = look(cache, look_only, watch);
    if (error) {
        us_live_leave(watch);
    }
    return error;
}

void us_live_leave(struct us_gc_watch *watch) {
    if (watch->path) {
        unlink(watch->path);
        us_free(watch->path);
        watch->path = NULL;
    }
}
