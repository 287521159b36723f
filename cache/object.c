#include <stdio.h>
#include <string.h>
#include <unistd.h>

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

bool us_cache_has_object(struct us_store *store, const struct us_digest *digest) {
    struct cache *cache = us_cache_of(store);
    char path[CACHE_PATH];
    us_cache_fan_path(cache, "objects", digest, path);
    return is_small_there(cache, digest) || access(path, F_OK) == 0;
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
    struct us_error *error = us_records_locate(cache, digest, US_ENTRY_OBJECT, &found)
                                 ? NULL
                                 : us_records_append(cache, &entry);
    pthread_mutex_unlock(&cache->records->lock);
    return error;
}

static void marker_path(const char *path, const struct us_digest *sum, char marker[CACHE_PATH]) {
    char hex[US_DIGEST_HEX];
    snprintf(marker, CACHE_PATH, "%.*s.%s", CACHE_PATH - US_DIGEST_HEX - 2, path,
             us_digest_hex(sum, hex));
}

struct us_error *us_cache_get_object(struct us_store *store, const struct us_digest *digest,
                                     uint8_t **bytes, size_t *size) {
    struct cache *cache = us_cache_of(store);
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
        trouble = access(marker, F_OK) == 0 ? NULL : "its checksum is wrong";
    }
    if (trouble) {
        us_cache_quarantine(cache, path, &info, trouble);
        us_free(*bytes);
        *bytes = NULL;
        *size = 0;
    }
    return NULL;
}

struct us_error *us_cache_put_object(struct us_store *store, const struct us_digest *digest,
                                     const void *bytes, size_t size) {
    struct cache *cache = us_cache_of(store);
    char path[CACHE_PATH], marker[CACHE_PATH];
    us_cache_fan_path(cache, "objects", digest, path);
    bool small = size <= SMALL_OBJECT;
    if ((!small || cache->records->old_layout) && access(path, F_OK) == 0) {
        return NULL;
    }
    if (small) {
        return put_small(cache, digest, bytes, size);
    }
    /* The marker goes first: an object that can be seen can be checked, whoever wins. */
    struct us_digest sum = us_digest_of(bytes, size);
    if (!us_digest_equal(&sum, digest)) {
        marker_path(path, &sum, marker);
        US_TRY(us_cache_mark(cache, marker));
    }
    bool won;
    return us_cache_publish(cache, path, &(struct us_part){bytes, size}, 1, true, &won);
}
