#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "cache/host.h"
#include "cache/records_internal.h"
#include "runtime/base/mem.h"

static const int64_t foreign_dead_ns = INT64_C(3600) * 1000000000;

void us_records_name(const char *ending, char name[RECORD_NAME]) {
    uint64_t random = 0;
    if (getrandom(&random, sizeof random, 0) != (ssize_t)sizeof random) {
        random = (uint64_t)us_clock_ns(CLOCK_MONOTONIC);
    }
    snprintf(name, RECORD_NAME, "%s-%ld-%llu-%016llx%s", us_host_id(), (long)getpid(),
             us_own_start(), (unsigned long long)random, ending);
}

bool us_records_is_dead(const char *name, int64_t touched, int64_t now) {
    enum us_life life = us_process_life(name, '-');
    if (life != US_ELSEWHERE) {
        return life == US_DEAD;
    }
    return now - touched > foreign_dead_ns;
}

static struct us_error *open_log(struct cache *cache, char path[CACHE_PATH]) {
    struct us_records *records = cache->records;
    char name[RECORD_NAME];
    us_records_name(".log", name);
    us_records_path(cache, name, path);
    int flags = O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC;
    int fd = open(path, flags, 0640);
    if (fd < 0 && errno == ENOENT) {
        US_TRY(us_cache_make_rooms(cache));
        fd = open(path, flags, 0640);
    }
    struct stat info;
    if (fd < 0 || fstat(fd, &info) != 0) {
        int failed = errno;
        if (fd >= 0) {
            close(fd);
        }
        return us_cache_errno(cache, failed, "cannot write", path);
    }
    records->opens++;
    struct us_record_file *file = us_calloc(1, sizeof *file);
    *file = (struct us_record_file){
        .name = us_strdup(name), .fd = fd, .inode = info.st_ino, .mine = true, .references = 1};
    us_grow(&records->files, &records->capacity, records->count, sizeof *records->files);
    records->files[records->count++] = file;
    records->own = file;
    us_cache_start_keeper(cache);
    return NULL;
}

/* Leaves our log as others find it: what is in it stays, nothing more comes. */
static void leave(struct us_records *records) {
    records->own->final = true;
    records->own = NULL;
    records->dirty = false;
}

/* One write. A part of an entry is taken back; where that fails too, the log is left to its
 * readers, who know a torn end. */
static int append_bytes(struct us_records *records, const void *bytes, size_t size) {
    struct us_record_file *own = records->own;
    const uint8_t *from = bytes;
    size_t done = 0;
    if (!own) {
        return ESTALE;
    }
    while (done < size) {
        ssize_t put = pwrite(own->fd, from + done, size - done, (off_t)(own->read_to + done));
        if (put < 0 && errno == EINTR) {
            continue;
        }
        if (put <= 0) {
            int failed = put < 0 ? errno : ENOSPC;
            if (failed == ESTALE || ftruncate(own->fd, (off_t)own->read_to) != 0) {
                leave(records);
            }
            return failed;
        }
        done += (size_t)put;
    }
    return 0;
}

/* Our log may have been removed by hand, or packed by those who thought us dead: looked at some
 * fifty times a second, for what is lost then is made again. */
static struct us_error *have_log(struct cache *cache, char path[CACHE_PATH]) {
    enum { LOOK_NS = 20000000 };
    struct us_records *records = cache->records;
    const int64_t now = us_clock_ns(CLOCK_MONOTONIC);
    struct stat info;
    if (records->own && now - records->own_seen > LOOK_NS) {
        records->own_seen = now;
        if (fstat(records->own->fd, &info) != 0 || info.st_nlink == 0) {
            records->listed_at = 0;
            us_records_refresh(cache, US_FRESH_NOW);
            if (records->own) {
                leave(records);
            }
        }
    }
    if (!records->own) {
        records->own_seen = now;
        return open_log(cache, path);
    }
    us_records_path(cache, records->own->name, path);
    return NULL;
}

/* What was written is found from now on. */
static void absorb(struct us_records *records, struct us_record_file *own,
                   struct us_waiting *waiting) {
    struct us_entry *entry = &waiting->entry;
    if (waiting->in_table) {
        us_table_place(&records->table, &entry->key, us_half_sum(&entry->sum), own, own->read_to);
    } else {
        us_records_absorb(
            records, own,
            &(struct us_scanned){.offset = own->read_to, .size = entry->size, .entry = *entry});
    }
    own->read_to += entry->size;
    records->dirty = true;
}

/* Writes what waits. */
static struct us_error *write_waiting(struct cache *cache) {
    struct us_records *records = cache->records;
    char path[CACHE_PATH];
    US_TRY(have_log(cache, path));
    int failed = append_bytes(records, records->later.data, records->later.length);
    if (failed == ESTALE) {
        US_TRY(have_log(cache, path));
        failed = append_bytes(records, records->later.data, records->later.length);
    }
    struct us_record_file *own = records->own;
    if (failed || !own) {
        return us_cache_errno(cache, failed, "cannot write", path);
    }
    for (size_t i = 0; i < records->waiting_count; i++) {
        absorb(records, own, &records->waiting[i]);
    }
    records->waiting_count = 0;
    us_str_clear(&records->later);
    return NULL;
}

static void encode(struct us_records *records, struct us_entry *entry) {
    const size_t before = records->later.length;
    entry->when = us_clock_ns(CLOCK_REALTIME);
    us_entry_encode(&records->later, entry, &entry->sum);
    entry->size = records->later.length - before;
    us_grow(&records->waiting, &records->waiting_capacity, records->waiting_count,
            sizeof *records->waiting);
    records->waiting[records->waiting_count++] = (struct us_waiting){.entry = *entry};
}

struct us_error *us_records_append(struct cache *cache, struct us_entry *entry) {
    struct us_records *records = cache->records;
    const size_t before = records->later.length;
    encode(records, entry);
    struct us_error *error = write_waiting(cache);
    if (error) { /* the caller hears of it: this one does not wait */
        records->later.length = before;
        records->waiting_count--;
    }
    return error;
}

struct us_error *us_records_append_later(struct cache *cache, struct us_entry *entry) {
    enum { MOST = 64 * 1024 };
    if (cache->records->later.length > MOST) {
        return us_records_append(cache, entry);
    }
    struct us_records *records = cache->records;
    const size_t at = records->later.length;
    encode(records, entry);
    struct us_waiting *kept = &records->waiting[records->waiting_count - 1];
    us_records_absorb(
        records, NULL,
        &(struct us_scanned){.offset = at, .size = kept->entry.size, .entry = kept->entry});
    kept->in_table = true;
    kept->entry.payload = NULL;
    kept->entry.payload_size = 0;
    kept->entry.note = (struct us_record_note){0};
    if (records->waiting_count == 1) {
        us_cache_start_keeper(cache);
    }
    return NULL;
}

void us_records_seal(struct cache *cache) {
    struct us_records *records = cache->records;
    struct us_entry end = {.kind = US_ENTRY_END, .when = us_clock_ns(CLOCK_REALTIME)};
    if (records->waiting_count) {
        us_error_free(write_waiting(cache)); /* or it is made again */
    }
    if (!records->own) {
        return;
    }
    struct us_str out = {0};
    us_entry_encode(&out, &end, &end.sum);
    bool written = append_bytes(records, out.data, out.length) == 0;
    if (written && records->own) {
        records->own->read_to += out.length;
    }
    us_str_finish(&out);
    if (records->own) {
        (void)!fdatasync(records->own->fd);
        leave(records);
    }
}

void us_records_sync(struct cache *cache) {
    struct us_records *records = cache->records;
    pthread_mutex_lock(&records->lock);
    if (records->waiting_count) {
        us_error_free(write_waiting(cache)); /* tried again with the next one */
    }
    struct us_record_file *own = records->dirty ? records->own : NULL;
    records->dirty = false;
    if (own) {
        own->references++;
    }
    pthread_mutex_unlock(&records->lock);
    if (own) {
        int failed = fdatasync(own->fd) == 0 ? 0 : errno;
        pthread_mutex_lock(&records->lock);
        if (failed && records->own == own) {
            leave(records);
            us_cache_warn(cache,
                          "cache: cannot write '%s/records/%s' (%s); what it lost is made again",
                          cache->folder, own->name, strerror(failed));
        }
        us_records_let_go(own);
        pthread_mutex_unlock(&records->lock);
    }
}
