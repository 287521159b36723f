#include <stdio.h>
#include <string.h>

#include "cache/hold.h"
#include "cache/records_internal.h"
#include "runtime/base/mem.h"

static bool is_small_there(struct cache *cache, const struct us_digest *digest) {
    struct us_found found;
    pthread_mutex_lock(&cache->records->lock);
    us_records_refresh(cache, US_FRESH_ENOUGH);
    bool there = us_records_locate(cache, digest, US_ENTRY_OBJECT, &found);
    pthread_mutex_unlock(&cache->records->lock);
    return there;
}

/* Beside a gc that may not know this store: a copy in our own log, which no gc touches. */
static bool renew_small(struct cache *cache, const struct us_digest *digest) {
    struct us_entry entry;
    struct us_found found;
    pthread_mutex_lock(&cache->records->lock);
    bool there = us_records_find(cache, digest, US_ENTRY_OBJECT, &entry, &found);
    if (there) {
        size_t size = entry.payload_size;
        uint8_t *copy = us_malloc(size + 1);
        memcpy(copy, entry.payload, size);
        struct us_entry mine = {
            .kind = US_ENTRY_OBJECT, .key = *digest, .payload = copy, .payload_size = size};
        us_error_free(us_records_append(cache, &mine));
        us_free(copy);
    }
    pthread_mutex_unlock(&cache->records->lock);
    return there;
}

bool us_cache_has_object(struct us_store *store, const struct us_digest *digest) {
    struct cache *cache = us_cache_of(store);
    char path[CACHE_PATH];
    us_live_begin(cache);
    if (is_small_there(cache, digest)) {
        return !us_live_beside_gc(cache) || renew_small(cache, digest);
    }
    us_cache_fan_path(cache, "objects", digest, path);
    return us_cache_hold(cache, path);
}

/* False: it is not among the records. */
static bool get_small(struct cache *cache, const struct us_digest *digest, uint8_t **bytes,
                      size_t *size) {
    struct us_entry entry;
    struct us_found found;
    pthread_mutex_lock(&cache->records->lock);
    us_records_refresh(cache, US_FRESH_ENOUGH);
    bool there = us_records_find(cache, digest, US_ENTRY_OBJECT, &entry, &found);
    if (there) {
        *bytes = us_malloc(entry.payload_size + 1);
        memcpy(*bytes, entry.payload, entry.payload_size);
        (*bytes)[entry.payload_size] = '\0';
        *size = entry.payload_size;
    }
    pthread_mutex_unlock(&cache->records->lock);
    return there;
}

static struct us_error *put_small(struct cache *cache, const struct us_digest *digest,
                                  const void *bytes, size_t size) {
    struct us_entry entry = {
        .kind = US_ENTRY_OBJECT, .key = *digest, .payload = bytes, .payload_size = size};
    struct us_found found;
    pthread_mutex_lock(&cache->records->lock);
    us_records_refresh(cache, US_FRESH_ENOUGH);
    bool there = us_records_locate(cache, digest, US_ENTRY_OBJECT, &found);
    struct us_error *error = NULL;
    if (us_live_beside_gc(cache)) {
        error = us_records_append(cache, &entry);
    } else if (!there) { /* whoever wants it comes by a record, which is written behind it */
        error = us_records_append_later(cache, &entry);
    }
    pthread_mutex_unlock(&cache->records->lock);
    return error;
}

static void marker_path(const char *path, const struct us_digest *sum, char marker[CACHE_PATH]) {
    char hex[US_DIGEST_HEX];
    snprintf(marker, CACHE_PATH, "%.*s.%s", CACHE_PATH - US_DIGEST_HEX - 2, path,
             us_digest_hex(sum, hex));
}

/* What is held may be on its way to the trash and back while a gc looks at its stamp. */
struct us_error *us_cache_get_object(struct us_store *store, const struct us_digest *digest,
                                     uint8_t **bytes, size_t *size) {
    *bytes = NULL;
    *size = 0;
    for (int looks = 0; looks < 4 && !*bytes && us_cache_has_object(store, digest); looks++) {
        US_TRY(us_cache_read_object(us_cache_of(store), digest, bytes, size));
    }
    return NULL;
}

struct us_error *us_cache_read_object(struct cache *cache, const struct us_digest *digest,
                                      uint8_t **bytes, size_t *size) {
    char path[CACHE_PATH], marker[CACHE_PATH];
    us_cache_fan_path(cache, "objects", digest, path);
    if (get_small(cache, digest, bytes, size)) {
        return NULL;
    }
    struct stat info;
    const char *trouble;
    US_TRY(us_cache_read(cache, path, bytes, size, &info, &trouble));
    if (!*bytes) {
        return NULL;
    }
    struct us_digest sum = us_digest_of(*bytes, *size);
    if (!trouble && !us_digest_equal(&sum, digest)) {
        marker_path(path, &sum, marker);
        trouble = us_cache_seek(cache, marker) ? NULL : "its checksum is wrong";
    }
    if (trouble) {
        us_cache_quarantine(cache, path, &info, trouble);
        us_free(*bytes);
        *bytes = NULL;
        *size = 0;
    }
    return NULL;
}

/* The marker goes first: an object that can be seen can be checked, whoever wins. */
static struct us_error *mark_object(struct cache *cache, const char *path,
                                    const struct us_digest *digest, const void *bytes,
                                    size_t size) {
    struct us_digest sum = us_digest_of(bytes, size);
    if (us_digest_equal(&sum, digest)) {
        return NULL;
    }
    char marker[CACHE_PATH];
    marker_path(path, &sum, marker);
    return us_cache_hold(cache, marker) ? NULL : us_cache_mark(cache, marker);
}

struct us_error *us_cache_put_object(struct us_store *store, const struct us_digest *digest,
                                     const void *bytes, size_t size) {
    struct cache *cache = us_cache_of(store);
    char path[CACHE_PATH];
    us_cache_fan_path(cache, "objects", digest, path);
    bool small = size <= SMALL_OBJECT;
    if ((!small || cache->records->old_layout) && us_cache_hold(cache, path)) {
        return NULL;
    }
    if (small) {
        us_live_begin(cache);
        return put_small(cache, digest, bytes, size);
    }
    US_TRY(mark_object(cache, path, digest, bytes, size));
    bool won;
    US_TRY(us_cache_publish(cache, path, &(struct us_part){bytes, size}, 1, true, &won));
    if (!won) {
        us_cache_hold(cache, path);
    }
    return NULL;
}
