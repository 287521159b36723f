#include "cache/gc_remove.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cache/hold.h"
#include "cache/parallel.h"
#include "runtime/base/mem.h"

enum { BATCH = 256 };
double us_gc_grace_seconds = 60;

enum phase { MOVE = 1, EMPTY = 2 };

struct removal {
    struct us_gc_plan *plan;
    unsigned phases;
    atomic_size_t done;
    pthread_mutex_t lock; /* for progress and warnings */
};

static void path_of(const struct us_gc_plan *plan, uint32_t ref, char path[CACHE_PATH]) {
    if (ref >= US_REF_ATTEMPT) {
        us_cache_room_path(plan->cache, "attempts", plan->attempts[ref - US_REF_ATTEMPT].name,
                           path);
    } else {
        us_cache_fan_path(plan->cache, "objects", &US_ITEM_OF(plan, ref)->digest, path);
    }
}

static bool has_file(const struct us_gc_plan *plan, uint32_t ref) {
    return ref >= US_REF_ATTEMPT ||
           !(US_ITEM_OF(plan, ref)->flags & (US_STOCK_INLINE | US_STOCK_ORPHAN));
}

/* The marker goes once its object is gone; a writer of the same object renews its stamp. */
static enum us_taken remove_marker(const struct us_gc_plan *plan,
                                   const struct us_stock_item *item) {
    char object[CACHE_PATH], path[CACHE_PATH], sum[US_DIGEST_HEX];
    us_cache_fan_path(plan->cache, "objects", &item->digest, object);
    int length = snprintf(path, CACHE_PATH, "%s.%s", object, us_digest_hex(&item->sum, sum));
    if (length >= CACHE_PATH) {
        return US_TAKEN_FAILED;
    }
    enum us_taken taken = us_trash_move(plan->cache, path);
    return taken == US_TAKEN ? us_trash_empty(plan->cache, path, plan->limit) : taken;
}

static void warn_failed(struct removal *removal, const char *path) {
    int number = errno;
    pthread_mutex_lock(&removal->lock);
    us_cache_warn(removal->plan->cache, "cache: cannot remove '%s': %s", path, strerror(number));
    pthread_mutex_unlock(&removal->lock);
}

static void move(struct removal *removal, size_t index) {
    char path[CACHE_PATH];
    path_of(removal->plan, removal->plan->victims[index], path);
    removal->plan->states[index] = (uint8_t)us_trash_move(removal->plan->cache, path);
    if (removal->plan->states[index] == US_TAKEN_FAILED) {
        warn_failed(removal, path);
    }
}

static void empty(struct removal *removal, size_t index) {
    struct us_gc_plan *plan = removal->plan;
    uint32_t ref = plan->victims[index];
    char path[CACHE_PATH];
    path_of(plan, ref, path);
    removal->plan->states[index] = (uint8_t)us_trash_empty(plan->cache, path, plan->limit);
    if (removal->plan->states[index] == US_TAKEN_FAILED) {
        warn_failed(removal, path);
    }
    if (removal->plan->states[index] == US_TAKEN && ref < US_REF_ATTEMPT &&
        US_ITEM_OF(plan, ref)->flags & US_STOCK_MARKED) {
        remove_marker(plan, US_ITEM_OF(plan, ref));
    }
}

static struct us_error *work_batch(void *context, size_t batch) {
    struct removal *removal = context;
    struct us_gc_plan *plan = removal->plan;
    size_t first = batch * BATCH, end = first + BATCH;
    end = end < plan->victim_count ? end : plan->victim_count;
    for (size_t i = first; i < end && removal->phases & MOVE; i++) {
        if (has_file(plan, plan->victims[i])) {
            move(removal, i);
        }
    }
    for (size_t i = first; i < end && removal->phases & EMPTY; i++) {
        uint32_t ref = plan->victims[i];
        if (has_file(plan, ref) && removal->plan->states[i] == US_TAKEN) {
            empty(removal, i);
        } else if (ref < US_REF_ATTEMPT && US_ITEM_OF(plan, ref)->flags & US_STOCK_ORPHAN) {
            removal->plan->states[i] = (uint8_t)remove_marker(plan, US_ITEM_OF(plan, ref));
        }
    }
    if (plan->options.progress && removal->phases & EMPTY) {
        size_t done = atomic_fetch_add(&removal->done, end - first) + end - first;
        pthread_mutex_lock(&removal->lock);
        plan->options.progress(plan->options.context, "removing", done, plan->victim_count);
        pthread_mutex_unlock(&removal->lock);
    }
    return NULL;
}

static int by_ref(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x > y ? 1 : x < y ? -1 : 0;
}

/* On a network file system another host may look at names and times it read a while ago: what goes
 * lies in the trash for longer than that. */
static struct us_error *remove_in_steps(struct removal *removal, size_t batches) {
    if (!removal->plan->cache->remote) {
        removal->phases = MOVE | EMPTY;
        return us_parallel(batches, work_batch, removal);
    }
    removal->phases = MOVE;
    US_TRY(us_parallel(batches, work_batch, removal));
    struct timespec grace = {(time_t)us_gc_grace_seconds, 0};
    while (batches && nanosleep(&grace, &grace) != 0 && errno == EINTR) {
    }
    removal->phases = EMPTY;
    return us_parallel(batches, work_batch, removal);
}

struct us_error *us_gc_remove(struct us_gc_plan *plan) {
    struct removal removal = {.plan = plan};
    if (plan->victim_count) { /* folder by folder */
        qsort(plan->victims, plan->victim_count, sizeof *plan->victims, by_ref);
    }
    pthread_mutex_init(&removal.lock, NULL);
    struct us_error *error = remove_in_steps(&removal, (plan->victim_count + BATCH - 1) / BATCH);
    pthread_mutex_destroy(&removal.lock);
    return error;
}

/* Where something in the trash came from. */
static bool origin(const struct cache *cache, const char *name, char path[CACHE_PATH]) {
    static const char attempt[] = "attempt.";
    size_t length = strlen(name);
    if (strncmp(name, attempt, sizeof attempt - 1) == 0) {
        us_cache_room_path(cache, "attempts", name + sizeof attempt - 1, path);
        return true;
    }
    struct us_digest digest;
    if (length < US_DIGEST_HEX - 1 || length > (size_t)2 * US_DIGEST_HEX ||
        !us_digest_parse(name, &digest)) {
        return false;
    }
    us_cache_fan_path(cache, "objects", &digest, path);
    memcpy(strrchr(path, '/') + 1, name, length + 1);
    return true;
}

struct us_error *us_gc_empty_trash(struct cache *cache, int64_t limit,
                                   struct us_cache_count *removed) {
    char path[CACHE_PATH], from[CACHE_PATH];
    us_cache_room_path(cache, "trash", "", path);
    DIR *folder = opendir(path);
    if (!folder) {
        return errno == ENOENT ? NULL : us_cache_errno(cache, errno, "cannot read folder", path);
    }
    for (struct dirent *entry; (entry = readdir(folder));) {
        struct stat info;
        if (fstatat(dirfd(folder), entry->d_name, &info, AT_SYMLINK_NOFOLLOW) == 0 &&
            origin(cache, entry->d_name, from) && us_trash_empty(cache, from, limit) == US_TAKEN) {
            removed->files++;
            removed->bytes += S_ISREG(info.st_mode) ? (uint64_t)info.st_size : 0;
        }
    }
    closedir(folder);
    return NULL;
}
