#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cache/care.h"
#include "cache/hold.h"
#include "cache/leftovers.h"
#include "cache/parallel.h"
#include "cache/records_internal.h"
#include "runtime/base/mem.h"

enum { DIGEST = US_DIGEST_HEX - 1, MARKER = 2 * DIGEST + 1 };

struct checking {
    struct cache *cache;
    const struct us_check_options *options;
    uint64_t seed, chosen; /* objects whose number is below `chosen` are read */
    atomic_uint_fast64_t objects, bytes, damaged, modes;
    pthread_mutex_t lock; /* for what follows */
    char **orphans;       /* paths */
    size_t orphan_count, orphan_capacity;
    size_t folders;
};

static bool is_chosen(const void *context, const struct us_digest *digest) {
    const struct checking *checking = context;
    uint64_t number;
    memcpy(&number, digest->bytes + 8, sizeof number);
    number = (number ^ checking->seed) * 0x9E3779B97F4A7C15u;
    return (number ^ number >> 32) <= checking->chosen;
}

static struct us_error *check_object(struct checking *checking, const char *path,
                                     const struct us_digest *digest) {
    struct stat info;
    uint8_t *bytes;
    size_t size;
    if (lstat(path, &info) != 0 || !is_chosen(checking, digest)) {
        return NULL; /* collected just now, or left out */
    }
    if (S_ISREG(info.st_mode) && info.st_mode & 0222 && chmod(path, 0440) == 0) {
        atomic_fetch_add(&checking->modes, 1);
    }
    US_TRY(us_cache_read_object(checking->cache, digest, &bytes, &size));
    atomic_fetch_add(&checking->objects, 1);
    atomic_fetch_add(&checking->bytes, size);
    if (!bytes && (lstat(path, &info) == 0 || !us_cache_seek(checking->cache, path))) {
        atomic_fetch_add(&checking->damaged, 1);
    }
    us_free(bytes);
    return NULL;
}

/* A marker without its object; one that is being written has a stamp that spares it below. */
static void check_marker(struct checking *checking, const char *path) {
    char object[CACHE_PATH];
    snprintf(object, sizeof object, "%.*s", (int)(strlen(path) - DIGEST - 1), path);
    if (us_cache_seek(checking->cache, object)) {
        return;
    }
    pthread_mutex_lock(&checking->lock);
    us_grow(&checking->orphans, &checking->orphan_capacity, checking->orphan_count,
            sizeof *checking->orphans);
    checking->orphans[checking->orphan_count++] = us_strdup(path);
    pthread_mutex_unlock(&checking->lock);
}

static struct us_error *check_entry(struct checking *checking, const char *path, const char *name) {
    struct us_digest digest;
    char file[CACHE_PATH];
    size_t length = strlen(name);
    if ((length != DIGEST && length != MARKER) || !us_digest_parse(name, &digest) ||
        snprintf(file, sizeof file, "%s/%s", path, name) >= CACHE_PATH) {
        return NULL;
    }
    if (length == DIGEST) {
        return check_object(checking, file, &digest);
    }
    check_marker(checking, file);
    return NULL;
}

static struct us_error *check_entries(struct checking *checking, DIR *folder, const char *path) {
    struct us_error *error = NULL;
    for (struct dirent *entry; !error && (entry = readdir(folder));) {
        error = check_entry(checking, path, entry->d_name);
    }
    return error;
}

static struct us_error *check_folder(void *context, size_t index) {
    struct checking *checking = context;
    const struct us_check_options *options = checking->options;
    char path[CACHE_PATH], name[16];
    snprintf(name, sizeof name, "%02zx", index);
    us_cache_room_path(checking->cache, "objects", name, path);
    DIR *folder = opendir(path);
    struct us_error *error = NULL;
    if (folder) {
        error = check_entries(checking, folder, path);
        closedir(folder);
    } else if (errno != ENOENT && errno != ENOTDIR) {
        error = us_cache_errno(checking->cache, errno, "cannot read folder", path);
    }
    if (options->progress) {
        pthread_mutex_lock(&checking->lock);
        options->progress(options->context, "reading", ++checking->folders, 256);
        pthread_mutex_unlock(&checking->lock);
    }
    return error;
}

/* As a gc does it, for somebody may be about to write the object. */
static struct us_error *remove_orphans(struct checking *checking, uint64_t *removed) {
    if (!checking->orphan_count) {
        return NULL;
    }
    struct us_gc_watch watch;
    US_TRY(us_live_look(checking->cache, false, &watch));
    int64_t limit = watch.spared < watch.begun ? watch.spared : watch.begun;
    for (size_t i = 0; i < checking->orphan_count; i++) {
        const char *path = checking->orphans[i];
        *removed += us_trash_move(checking->cache, path) == US_TAKEN &&
                    us_trash_empty(checking->cache, path, limit) == US_TAKEN;
    }
    us_live_leave(&watch);
    return NULL;
}

static struct us_error *count_one(void *context, const struct us_record_view *view) {
    (void)view;
    ++*(uint64_t *)context;
    return NULL;
}

static struct us_error *check_all(struct checking *checking, struct us_cache_check *check) {
    struct cache *cache = checking->cache;
    struct us_cache_count leftovers = {0};
    const struct us_gc_options only_dead = {.leftover_seconds = INFINITY};
    const struct us_record_choice choice = {is_chosen, checking};
    struct us_record_counts packed;
    uint64_t before = atomic_load(&cache->records->damages);
    US_TRY(us_records_check(cache, checking->chosen < UINT64_MAX ? &choice : NULL, &packed));
    US_TRY(us_parallel(256, check_folder, checking));
    check->records = packed.records;
    check->objects = checking->objects + packed.objects;
    check->bytes = checking->bytes + packed.bytes;
    check->modes = checking->modes;
    US_TRY(remove_orphans(checking, &check->orphans));
    US_TRY(us_leftovers_clear(cache, &only_dead, &leftovers));
    check->leftovers = leftovers.files;
    check->damaged = checking->damaged + atomic_load(&cache->records->damages) - before;
    return NULL;
}

struct us_error *us_cache_check(struct us_store *store, const struct us_check_options *options,
                                struct us_cache_check *check) {
    *check = (struct us_cache_check){0};
    struct checking checking = {.cache = us_cache_of(store), .options = options};
    double sample = options->sample > 0 && options->sample < 1 ? options->sample : 1;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    checking.seed = (uint64_t)now.tv_nsec * 0x9E3779B97F4A7C15u + (uint64_t)now.tv_sec;
    checking.chosen = sample < 1 ? (uint64_t)ldexp(sample, 64) : UINT64_MAX;
    pthread_mutex_init(&checking.lock, NULL);
    struct us_error *error = check_all(&checking, check);
    pthread_mutex_destroy(&checking.lock);
    for (size_t i = 0; i < checking.orphan_count; i++) {
        us_free(checking.orphans[i]);
    }
    us_free(checking.orphans);
    return error;
}

struct us_error *us_cache_verify(struct us_store *store, struct us_cache_check *check) {
    return us_cache_check(store, &(struct us_check_options){.sample = 1}, check);
}

struct us_error *us_cache_reindex(struct us_store *store, struct us_cache_rebuilt *rebuilt) {
    struct cache *cache = us_cache_of(store);
    *rebuilt = (struct us_cache_rebuilt){0};
    US_TRY(us_records_rebuild(cache));
    US_TRY(us_records_each(cache, count_one, &rebuilt->records));
    return us_records_each_object(cache, count_one, &rebuilt->objects);
}
