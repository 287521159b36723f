#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cache/cache_internal.h"
#include "runtime/base/mem.h"

bool us_cache_has_object(struct us_store *store, const struct us_digest *digest) {
    char path[CACHE_PATH];
    us_cache_fan_path(us_cache_of(store), "objects", digest, path);
    return access(path, F_OK) == 0;
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
    if (access(path, F_OK) == 0) {
        return NULL;
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
