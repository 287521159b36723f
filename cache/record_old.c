#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cache/records_internal.h"
#include "runtime/base/mem.h"

/* magic, version, length of the payload, checksum of key and payload; numbers little-endian */
enum { VERSION = 1, LENGTH_AT = 12, SUM_AT = 20, HEADER = 36 };
static const char magic[] = "USRECORD";

static struct us_digest checksum(const struct us_digest *key, const void *bytes, size_t size) {
    struct us_hasher *hasher = us_hasher_create();
    us_hasher_digest(hasher, key);
    us_hasher_blob(hasher, bytes, size);
    struct us_digest sum = us_hasher_finish(hasher);
    us_hasher_destroy(hasher);
    return sum;
}

/* NULL, or what is wrong with a record file. */
static const char *check(const struct us_digest *key, const uint8_t *file, size_t size) {
    if (size < HEADER) {
        return "it is cut short";
    }
    if (memcmp(file, magic, 8) != 0) {
        return "it is not a record";
    }
    if (us_get_le(file + 8, 4) != VERSION) {
        return "it has another version";
    }
    if (us_get_le(file + LENGTH_AT, 8) != size - HEADER) {
        return "its length is wrong";
    }
    struct us_digest sum = checksum(key, file + HEADER, size - HEADER);
    return memcmp(sum.bytes, file + SUM_AT, sizeof sum.bytes) == 0 ? NULL : "its checksum is wrong";
}

static struct us_error *read_old(struct cache *cache, const struct us_digest *key, uint8_t **bytes,
                                 size_t *size, struct stat *info) {
    char path[CACHE_PATH];
    us_cache_fan_path(cache, "actions", key, path);
    const char *trouble;
    US_TRY(us_cache_read(cache, path, bytes, size, info, &trouble));
    if (!*bytes) {
        return NULL;
    }
    trouble = trouble ? trouble : check(key, *bytes, *size);
    if (trouble) {
        us_cache_quarantine(cache, path, info, trouble);
        us_free(*bytes);
        *bytes = NULL;
        *size = 0;
        return NULL;
    }
    *size -= HEADER;
    memmove(*bytes, *bytes + HEADER, *size);
    (*bytes)[*size] = '\0';
    return NULL;
}

struct us_error *us_old_record_find(struct cache *cache, const struct us_digest *key,
                                    uint8_t **bytes, size_t *size) {
    struct stat info;
    return read_old(cache, key, bytes, size, &info);
}

struct us_error *us_old_record_drop(struct cache *cache, const struct us_digest *key, bool *gone) {
    char path[CACHE_PATH];
    us_cache_fan_path(cache, "actions", key, path);
    *gone = unlink(path) == 0;
    return *gone || errno == ENOENT || errno == ENOTDIR
               ? NULL
               : us_cache_errno(cache, errno, "cannot remove", path);
}

static bool packed_stands(struct cache *cache, const struct us_digest *key) {
    struct us_found found;
    pthread_mutex_lock(&cache->records->lock);
    bool stands = us_records_locate(cache, key, US_ENTRY_RECORD, &found);
    pthread_mutex_unlock(&cache->records->lock);
    return stands;
}

static struct us_error *visit_old(struct cache *cache, const struct us_digest *key,
                                  us_record_visit *visit, void *context) {
    uint8_t *bytes;
    size_t size;
    struct stat info;
    if (packed_stands(cache, key)) {
        return NULL;
    }
    US_TRY(read_old(cache, key, &bytes, &size, &info));
    if (!bytes) {
        return NULL;
    }
    us_free(bytes);
    const struct us_record_view view = {.key = *key,
                                        .note = {.type = "", .show = ""},
                                        .when = info.st_mtim.tv_sec,
                                        .bytes = size + HEADER};
    return visit(context, &view);
}

struct us_error *us_old_records_each(struct cache *cache, us_record_visit *visit, void *context) {
    struct us_error *error = NULL;
    for (int i = 0; i < 256 && !error && cache->records->old_layout; i++) {
        char name[4], path[CACHE_PATH];
        snprintf(name, sizeof name, "%02x", i);
        us_cache_room_path(cache, "actions", name, path);
        DIR *folder = opendir(path);
        for (struct dirent *entry; folder && !error && (entry = readdir(folder));) {
            struct us_digest key;
            if (strlen(entry->d_name) == US_DIGEST_HEX - 1 &&
                us_digest_parse(entry->d_name, &key)) {
                error = visit_old(cache, &key, visit, context);
            }
        }
        if (folder) {
            closedir(folder);
        }
    }
    return error;
}
