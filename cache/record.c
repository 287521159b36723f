#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cache/records_internal.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"

static const size_t record_max = (size_t)1 << 30;

bool us_records_locate(struct cache *cache, const struct us_digest *key, enum us_entry_kind kind,
                       struct us_found *found) {
    struct us_records *records = cache->records;
    const struct us_found *at;
    size_t cursor = 0;
    bool any = false;
    while ((at = us_table_next(&records->table, key, (uint32_t)kind, &cursor))) {
        if (!any || us_row_before(&at->row, &found->row)) {
            *found = *at;
            any = true;
        }
    }
    for (size_t i = 0; i < records->count; i++) {
        struct us_record_file *file = records->files[i];
        struct us_row row;
        enum us_pack_answer answer =
            file->pack.fence_count ? us_pack_find(file->fd, &file->pack, key, (uint32_t)kind, &row)
                                   : US_PACK_NONE;
        if (answer == US_PACK_DAMAGED) {
            us_records_lose_table(cache, file);
            return us_records_locate(cache, key, kind, found);
        }
        if (answer == US_PACK_FOUND && !us_table_dropped(&records->table, key, row.sum) &&
            (!any || us_row_before(&row, &found->row))) {
            *found = (struct us_found){.row = row, .file = file};
            any = true;
        }
    }
    return any;
}

static bool read_entry(struct us_records *records, const struct us_found *found,
                       struct us_entry *entry, int *failed) {
    size_t size = found->row.size;
    if (!found->file) {
        *failed = 0;
        return us_entry_decode((const uint8_t *)records->later.data + found->row.offset, size,
                               entry) == US_ENTRY_FINE;
    }
    if (size > records->entry_capacity) {
        us_free(records->entry);
        records->entry = us_malloc(size);
        records->entry_capacity = size;
    }
    *failed = us_read_at(found->file->fd, records->entry, size, found->row.offset);
    return !*failed && us_entry_decode(records->entry, size, entry) == US_ENTRY_FINE &&
           (uint32_t)entry->kind == found->row.kind && entry->size == size &&
           us_half_sum(&entry->sum) == found->row.sum &&
           us_digest_equal(&entry->key, &found->row.key);
}

bool us_records_find(struct cache *cache, const struct us_digest *key, enum us_entry_kind kind,
                     struct us_entry *entry, struct us_found *found) {
    struct us_records *records = cache->records;
    bool again = false;
    while (us_records_locate(cache, key, kind, found)) {
        int failed;
        if (read_entry(records, found, entry, &failed)) {
            return true;
        }
        if (failed == ESTALE && !again) {
            again = true;
            records->listed_at = 0;
            us_records_refresh(cache, US_FRESH_NOW);
            continue;
        }
        if (failed != ESTALE) {
            us_records_damage(cache, found->file, found->row.offset, found->row.size);
        }
        us_table_drop(&records->table, key, found->row.sum);
    }
    return false;
}

struct us_error *us_cache_find_record(struct us_store *store, const struct us_digest *key,
                                      uint8_t **bytes, size_t *size) {
    struct cache *cache = us_cache_of(store);
    struct us_records *records = cache->records;
    struct us_entry entry;
    struct us_found found;
    *bytes = NULL;
    *size = 0;
    pthread_mutex_lock(&records->lock);
    us_records_refresh(cache, US_FRESH_ENOUGH);
    if (us_records_find(cache, key, US_ENTRY_RECORD, &entry, &found)) {
        *bytes = us_malloc(entry.payload_size + 1);
        memcpy(*bytes, entry.payload, entry.payload_size);
        (*bytes)[entry.payload_size] = '\0';
        *size = entry.payload_size;
    }
    pthread_mutex_unlock(&records->lock);
    return *bytes || !records->old_layout ? NULL : us_old_record_find(cache, key, bytes, size);
}

/* With the lock held. A record that another process wrote at the same time may be the one that
 * stands: who holds no lease looks again. */
static struct us_error *put_new(struct cache *cache, const struct us_digest *key,
                                const struct us_record_note *note, const struct us_part *payload,
                                bool leased, bool *won) {
    struct us_entry entry = {.kind = US_ENTRY_RECORD,
                             .key = *key,
                             .payload = payload->bytes,
                             .payload_size = payload->size};
    if (note) {
        entry.note = *note;
    }
    const bool later = note && note->later;
    US_TRY(later ? us_records_append_later(cache, &entry) : us_records_append(cache, &entry));
    *won = true;
    struct us_found found;
    if (!leased) {
        us_records_refresh(cache, US_FRESH_NOW);
        *won = !us_records_locate(cache, key, US_ENTRY_RECORD, &found) ||
               found.row.sum == us_half_sum(&entry.sum);
    }
    return NULL;
}

static struct us_error *has_old_record(struct cache *cache, const struct us_digest *key,
                                       bool *there) {
    uint8_t *bytes = NULL;
    size_t size;
    if (cache->records->old_layout) {
        US_TRY(us_old_record_find(cache, key, &bytes, &size));
    }
    *there = bytes != NULL;
    us_free(bytes);
    return NULL;
}

struct us_error *us_cache_put_record(struct us_store *store, const struct us_digest *key,
                                     const struct us_record_note *note, const void *bytes,
                                     size_t size, bool *won) {
    struct cache *cache = us_cache_of(store);
    struct us_records *records = cache->records;
    bool leased = (note && note->relaxed) || us_cache_holds_lease(cache, key), there;
    *won = false;
    if (size > record_max) {
        return us_fail(US_FAILED, "a record has %zu bytes, allowed %zu", size, record_max);
    }
    US_TRY(has_old_record(cache, key, &there));
    if (there) {
        return NULL;
    }
    struct us_error *error = NULL;
    struct us_entry entry;
    struct us_found found;
    pthread_mutex_lock(&records->lock);
    us_records_refresh(cache, leased ? US_FRESH_ENOUGH : US_FRESH_NOW);
    if (!us_records_find(cache, key, US_ENTRY_RECORD, &entry, &found)) {
        error = put_new(cache, key, note, &(struct us_part){bytes, size}, leased, won);
    }
    pthread_mutex_unlock(&records->lock);
    return error;
}

/* With the lock held: of every writer's record of that key. */
static struct us_error *drop_entries(struct cache *cache, const struct us_digest *key, bool *gone) {
    struct us_entry entry;
    struct us_found found;
    us_records_refresh(cache, US_FRESH_NOW);
    while (us_records_find(cache, key, US_ENTRY_RECORD, &entry, &found)) {
        struct us_entry drop = {.kind = US_ENTRY_DROP,
                                .key = *key,
                                .payload = entry.sum.bytes,
                                .payload_size = sizeof entry.sum.bytes};
        US_TRY(us_records_append(cache, &drop));
        *gone = true;
    }
    return NULL;
}

struct us_error *us_cache_drop_record(struct us_store *store, const struct us_digest *key) {
    struct cache *cache = us_cache_of(store);
    bool gone = false, old_gone = false;
    pthread_mutex_lock(&cache->records->lock);
    struct us_error *error = drop_entries(cache, key, &gone);
    pthread_mutex_unlock(&cache->records->lock);
    if (!error && cache->records->old_layout) {
        error = us_old_record_drop(cache, key, &old_gone);
    }
    return error || !(gone || old_gone) ? error : us_records_next_generation(cache);
}

/* A file made anew whenever a record is taken away: its inode and times tell one from the next. It
 * lies among the records, so that it goes where they go. */
struct us_error *us_records_next_generation(struct cache *cache) {
    char path[CACHE_PATH], temporary[CACHE_PATH];
    us_records_path(cache, "generation", path);
    us_cache_temporary(cache, temporary);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0440);
    int failed = fd < 0 || close(fd) != 0 ? errno : us_rename(temporary, path);
    return failed ? us_cache_errno(cache, failed, "cannot write", path) : NULL;
}

struct us_digest us_cache_generation(struct us_store *store) {
    struct cache *cache = us_cache_of(store);
    char path[CACHE_PATH];
    struct stat info;
    us_records_path(cache, "generation", path);
    int64_t facts[3] = {0};
    if (stat(path, &info) == 0) {
        facts[0] = (int64_t)info.st_ino;
        facts[1] = (int64_t)info.st_ctim.tv_sec;
        facts[2] = info.st_ctim.tv_nsec;
    }
    struct us_digest generation = us_digest_of(facts, sizeof facts);
    pthread_mutex_lock(&cache->records->lock);
    if (!us_digest_equal(&generation, &cache->records->generation)) {
        cache->records->generation = generation;
        atomic_fetch_add(&cache->records->asked, 1);
    }
    pthread_mutex_unlock(&cache->records->lock);
    return generation;
}
