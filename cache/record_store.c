#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cache/records_internal.h"
#include "runtime/base/mem.h"

enum { QUARANTINE_MAX = 1 << 20 };

void us_records_open(struct cache *cache) {
    struct us_records *records = us_calloc(1, sizeof *records);
    pthread_mutexattr_t brief; /* mostly held for less than falling asleep takes */
    pthread_mutexattr_init(&brief);
    pthread_mutexattr_settype(&brief, PTHREAD_MUTEX_ADAPTIVE_NP);
    pthread_mutex_init(&records->lock, &brief);
    pthread_mutexattr_destroy(&brief);
    char path[CACHE_PATH];
    us_cache_room_path(cache, "actions", "", path);
    records->old_layout = access(path, F_OK) == 0;
    records->remote = us_cache_is_remote(cache->folder);
    cache->records = records;
}

void us_records_settle(struct cache *cache) {
    struct us_records *records = cache->records;
    pthread_mutex_lock(&records->lock);
    bool wrote = records->own != NULL;
    us_records_seal(cache);
    pthread_mutex_unlock(&records->lock);
    if (wrote) {
        us_records_tidy(cache);
    }
}

void us_records_close(struct cache *cache) {
    struct us_records *records = cache->records;
    for (size_t i = 0; i < records->count; i++) {
        us_records_let_go(records->files[i]);
    }
    us_free(records->files);
    us_table_finish(&records->table);
    us_str_finish(&records->later);
    us_free(records->waiting);
    us_free(records->entry);
    pthread_mutex_destroy(&records->lock);
    us_free(records);
}

void us_records_ask(struct cache *cache) {
    atomic_fetch_add(&cache->records->asked, 1);
}

void us_records_show(struct cache *cache) {
    if (cache->records->remote) {
        us_records_sync(cache);
    }
}

void us_records_tick(struct cache *cache) {
    struct us_records *records = cache->records;
    us_records_sync(cache);
    pthread_mutex_lock(&records->lock);
    if (records->own) {
        futimens(records->own->fd, NULL); /* we live, say its time stamps to other hosts */
    }
    pthread_mutex_unlock(&records->lock);
}

/* Copies what can be read of the damaged bytes. */
static void copy_bytes(int from, int to, uint64_t offset, uint64_t size) {
    uint8_t block[4096];
    for (uint64_t left = size < QUARANTINE_MAX ? size : QUARANTINE_MAX; left;) {
        ssize_t got = pread(from, block, left < sizeof block ? left : sizeof block, (off_t)offset);
        if (got <= 0 || write(to, block, (size_t)got) != got) {
            return;
        }
        offset += (uint64_t)got;
        left -= (uint64_t)got;
    }
}

bool us_records_damage(struct cache *cache, const struct us_record_file *file, uint64_t offset,
                       uint64_t size) {
    char name[RECORD_NAME + 32], path[CACHE_PATH];
    snprintf(name, sizeof name, "%s.%llu", file->name, (unsigned long long)offset);
    us_cache_room_path(cache, "quarantine", name, path);
    int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
    int fd = open(path, flags, 0440);
    if (fd < 0 && errno == ENOENT) {
        us_error_free(us_cache_make_rooms(cache));
        fd = open(path, flags, 0440);
    }
    if (fd < 0 && errno == EEXIST) {
        return false;
    }
    if (fd >= 0) {
        copy_bytes(file->fd, fd, offset, size);
        (void)!close(fd);
    }
    atomic_fetch_add(&cache->records->damages, 1);
    us_cache_warn(cache,
                  "cache: '%s/records/%s' is damaged at byte %llu (%llu bytes); what was there is "
                  "%s '%s', not used, and made again when needed",
                  cache->folder, file->name, (unsigned long long)offset, (unsigned long long)size,
                  fd >= 0 ? "copied to" : "not copied to", path);
    return true;
}
