#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

#include "cache/cache_internal.h"
#include "cache/file_facts.h"
#include "runtime/base/mem.h"

enum { BLOCK = 1 << 20, TICK_NS = 20 * 1000 * 1000 };
static const int64_t coarse_tick_ns = 2000000000;

struct us_file_facts us_facts_of(const struct stat *info) {
    return (struct us_file_facts){.size = info->st_size,
                                  .mtime_ns = us_facts_time(info->st_mtim),
                                  .ctime_ns = us_facts_time(info->st_ctim)};
}

bool us_same_facts(const struct us_file_facts *a, const struct us_file_facts *b) {
    return a->size == b->size && a->mtime_ns == b->mtime_ns && a->ctime_ns == b->ctime_ns;
}

struct us_digest us_facts_key(const struct stat *info) {
    const uint64_t facts[3] = {0x656c6966, (uint64_t)info->st_dev, (uint64_t)info->st_ino};
    return us_digest_of(facts, sizeof facts);
}

static bool recall_facts(struct cache *cache, const struct stat *info,
                         struct us_file_facts *facts) {
    struct us_digest key = us_facts_key(info);
    size_t size;
    uint8_t *bytes = us_index_get(&cache->index, &key, &size);
    bool found = bytes && size == sizeof *facts;
    if (found) {
        memcpy(facts, bytes, sizeof *facts);
    }
    us_free(bytes);
    return found;
}

bool us_cache_stamps_are_fine(long system_type) {
    static const long local[] = {0xEF53,     0x58465342, 0x9123683E,
                                 0x01021994, 0x794c7630, 0x2FC12FC1};
    for (size_t i = 0; i < sizeof local / sizeof *local; i++) {
        if (system_type == local[i]) {
            return true;
        }
    }
    return false;
}

/* How coarse a file's time stamps may be. */
static int64_t tick_of(int fd, const struct stat *info) {
    struct statfs system;
    const bool fine = fstatfs(fd, &system) == 0 && info->st_ctim.tv_nsec != 0 &&
                      us_cache_stamps_are_fine((long)system.f_type);
    return fine ? TICK_NS : coarse_tick_ns;
}

/* A change in the same tick as the last one leaves every stamp as it was: git's racy-timestamp
 * rule. Waits a fine tick out; false when the stamps cannot be relied on. */
static bool stamps_settled(int fd, const struct stat *info) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    int64_t age = us_facts_time(now) - us_facts_time(info->st_ctim);
    if (age > coarse_tick_ns) {
        return true;
    }
    int64_t tick = tick_of(fd, info);
    if (age < 0 || tick > TICK_NS) {
        return age > tick;
    }
    if (age <= tick) {
        struct timespec wait = {.tv_nsec = (long)(tick - age)};
        while (nanosleep(&wait, &wait) != 0 && errno == EINTR) {
        }
    }
    return true;
}

static struct us_error *cannot_read(const struct cache *cache, int number, const char *path) {
    struct us_error *error = us_cache_errno(cache, number, "cannot read", path);
    return number == EACCES ? us_error_hint(error, "make it readable for who runs this") : error;
}

static struct us_error *hash_bytes(struct cache *cache, const char *path, int fd, int64_t *size,
                                   struct us_digest *digest) {
    struct us_hasher *hasher = us_hasher_create();
    uint8_t *block = us_malloc(BLOCK);
    struct us_error *error = NULL;
    *size = 0;
    for (;;) {
        ssize_t got = read(fd, block, BLOCK);
        if (got == 0) {
            break;
        }
        if (got < 0 && errno != EINTR) {
            error = cannot_read(cache, errno, path);
            break;
        }
        if (got > 0) {
            us_hasher_bytes(hasher, block, (size_t)got);
            *size += got;
        }
    }
    *digest = us_hasher_finish(hasher);
    us_free(block);
    us_hasher_destroy(hasher);
    return error;
}

static struct us_error *changed(const char *path) {
    return us_error_hint(us_fail(US_FAILED, "'%s' changed while it was read", path),
                         "run again when nothing writes to it any more");
}

/* The file must be the same before and after. */
static struct us_error *hash_open_file(struct cache *cache, const char *path, int fd,
                                       struct us_digest *digest) {
    struct stat before, after;
    if (fstat(fd, &before) != 0) {
        return cannot_read(cache, errno, path);
    }
    if (S_ISDIR(before.st_mode)) {
        return us_fail(US_MISSING, "cannot read '%s': it is a folder", path);
    }
    bool settled = stamps_settled(fd, &before);
    struct us_file_facts facts = us_facts_of(&before);
    int64_t size;
    US_TRY(hash_bytes(cache, path, fd, &size, &facts.digest));
    if (fstat(fd, &after) != 0) {
        return cannot_read(cache, errno, path);
    }
    struct us_file_facts now = us_facts_of(&after);
    if (S_ISREG(before.st_mode) && (!us_same_facts(&facts, &now) || size != facts.size)) {
        return changed(path);
    }
    if (settled && S_ISREG(before.st_mode)) {
        struct us_digest key = us_facts_key(&before);
        us_index_put(&cache->index, &key, &facts, sizeof facts);
    }
    *digest = facts.digest;
    return NULL;
}

struct us_error *us_cache_file_digest(struct us_store *store, const char *path,
                                      struct us_digest *digest) {
    struct cache *cache = us_cache_of(store);
    struct stat info;
    struct us_file_facts known, now;
    if (stat(path, &info) != 0) {
        return cannot_read(cache, errno, path);
    }
    if (!S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode)) {
        return us_error_hint(us_fail(US_FAILED, "cannot read '%s': it is a pipe or device", path),
                             "write it to a file: what is read must stand to be read again");
    }
    now = us_facts_of(&info);
    if (recall_facts(cache, &info, &known) && us_same_facts(&known, &now)) {
        *digest = known.digest;
        return NULL;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return cannot_read(cache, errno, path);
    }
    posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    struct us_error *error = hash_open_file(cache, path, fd, digest);
    close(fd);
    return error;
}

/* A file just written, whose stamps have not settled yet. */
struct us_unsettled {
    char *path;
    struct us_file_facts facts;
    struct us_unsettled *next;
};

/* True when it is done with, remembered or not. */
static bool settle(struct cache *cache, const struct us_unsettled *file, bool wait) {
    struct stat info;
    int fd = open(file->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &info) != 0) {
        if (fd >= 0) {
            close(fd);
        }
        return true;
    }
    struct us_file_facts now = us_facts_of(&info);
    bool same = S_ISREG(info.st_mode) && us_same_facts(&now, &file->facts);
    struct timespec clock;
    clock_gettime(CLOCK_REALTIME, &clock);
    bool young = us_facts_time(clock) - now.ctime_ns <= TICK_NS;
    bool settled = same && (wait || !young) && stamps_settled(fd, &info);
    if (settled) {
        struct us_digest key = us_facts_key(&info);
        us_index_put(&cache->index, &key, &file->facts, sizeof file->facts);
    }
    close(fd);
    return settled || !same || wait || !young;
}

void us_cache_settle(struct cache *cache, bool wait) {
    pthread_mutex_lock(&cache->lock);
    struct us_unsettled *list = cache->unsettled, *left = NULL;
    cache->unsettled = NULL;
    pthread_mutex_unlock(&cache->lock);
    while (list) {
        struct us_unsettled *file = list;
        list = file->next;
        if (settle(cache, file, wait)) {
            us_free(file->path);
            us_free(file);
        } else {
            file->next = left;
            left = file;
        }
    }
    pthread_mutex_lock(&cache->lock);
    struct us_unsettled **end = &left;
    while (*end) {
        end = &(*end)->next;
    }
    *end = cache->unsettled;
    cache->unsettled = left;
    pthread_mutex_unlock(&cache->lock);
}

void us_cache_remember_file(struct us_store *store, const char *path,
                            const struct us_digest *digest) {
    struct cache *cache = us_cache_of(store);
    struct stat info;
    if (stat(path, &info) != 0) {
        return;
    }
    struct us_unsettled *file = us_calloc(1, sizeof *file);
    file->path = us_strdup(path);
    file->facts = us_facts_of(&info);
    file->facts.digest = *digest;
    pthread_mutex_lock(&cache->lock);
    file->next = cache->unsettled;
    cache->unsettled = file;
    pthread_mutex_unlock(&cache->lock);
    us_cache_settle(cache, false);
}
