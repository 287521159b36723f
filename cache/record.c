#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cache/cache_internal.h"
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

static void put_number(uint8_t *at, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; i++) {
        at[i] = (uint8_t)(value >> (8 * i));
    }
}

static uint64_t get_number(const uint8_t *at, int bytes) {
    uint64_t value = 0;
    for (int i = bytes - 1; i >= 0; i--) {
        value = value << 8 | at[i];
    }
    return value;
}

/* NULL, or what is wrong with a record file. */
static const char *check(const struct us_digest *key, const uint8_t *file, size_t size) {
    if (size < HEADER) {
        return "it is cut short";
    }
    if (memcmp(file, magic, 8) != 0) {
        return "it is not a record";
    }
    if (get_number(file + 8, 4) != VERSION) {
        return "it has another version";
    }
    if (get_number(file + LENGTH_AT, 8) != size - HEADER) {
        return "its length is wrong";
    }
    struct us_digest sum = checksum(key, file + HEADER, size - HEADER);
    return memcmp(sum.bytes, file + SUM_AT, sizeof sum.bytes) == 0 ? NULL : "its checksum is wrong";
}

struct us_error *us_cache_find_record(struct us_store *store, const struct us_digest *key,
                                      uint8_t **bytes, size_t *size) {
    struct cache *cache = us_cache_of(store);
    char path[CACHE_PATH];
    us_cache_fan_path(cache, "actions", key, path);
    struct stat info;
    const char *trouble;
    US_TRY(us_cache_read(cache, path, bytes, size, &info, &trouble));
    if (!*bytes) {
        return NULL;
    }
    trouble = trouble ? trouble : check(key, *bytes, *size);
    if (trouble) {
        us_cache_quarantine(cache, path, &info, trouble);
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

struct us_error *us_cache_put_record(struct us_store *store, const struct us_digest *key,
                                     const struct us_record_note *note, const void *bytes,
                                     size_t size, bool *won) {
    struct cache *cache = us_cache_of(store);
    (void)note;
    char path[CACHE_PATH];
    us_cache_fan_path(cache, "actions", key, path);
    uint8_t header[HEADER];
    memcpy(header, magic, 8);
    put_number(header + 8, VERSION, 4);
    put_number(header + LENGTH_AT, size, 8);
    struct us_digest sum = checksum(key, bytes, size);
    memcpy(header + SUM_AT, sum.bytes, sizeof sum.bytes);
    const struct us_part parts[] = {{header, HEADER}, {bytes, size}};
    return us_cache_publish(cache, path, parts, 2, false, won);
}

/* A file made anew whenever a record is taken away: its inode and times tell one from the next. */
static struct us_error *next_generation(struct cache *cache) {
    char path[CACHE_PATH], temporary[CACHE_PATH];
    us_cache_room_path(cache, "generation", "", path);
    us_cache_temporary(cache, temporary);
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0440);
    if (fd < 0 || close(fd) != 0 || rename(temporary, path) != 0) {
        return us_cache_errno(cache, errno, "cannot write", path);
    }
    return NULL;
}

struct us_digest us_cache_generation(struct us_store *store) {
    struct cache *cache = us_cache_of(store);
    char path[CACHE_PATH];
    struct stat info;
    us_cache_room_path(cache, "generation", "", path);
    int64_t facts[4] = {0};
    if (stat(path, &info) == 0) {
        facts[0] = (int64_t)info.st_ino;
        facts[1] = (int64_t)info.st_dev;
        facts[2] = (int64_t)info.st_ctim.tv_sec;
        facts[3] = info.st_ctim.tv_nsec;
    }
    return us_digest_of(facts, sizeof facts);
}

struct us_error *us_cache_drop_record(struct us_store *store, const struct us_digest *key) {
    struct cache *cache = us_cache_of(store);
    char path[CACHE_PATH];
    us_cache_fan_path(cache, "actions", key, path);
    if (unlink(path) != 0) {
        return errno == ENOENT ? NULL : us_cache_errno(cache, errno, "cannot remove", path);
    }
    return next_generation(cache);
}
