#include "tests/support/care_cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/mem.h"
#include "tests/support/check.h"

char care_folder[512];

struct us_store *care_open(const char *name) {
    snprintf(care_folder, sizeof care_folder, "%s/%s", us_test_folder(), name);
    struct us_store *store;
    ASSERT_OK(us_cache_open(care_folder, &store));
    return store;
}

struct us_digest care_digest(const char *kind, int n) {
    char name[64];
    snprintf(name, sizeof name, "%s %d", kind, n);
    return us_digest_of(name, strlen(name));
}

/* An object whose digest is not its bytes' checksum (so it has a marker), with a record of
 * `seconds` seconds of work, or none below 0. */
struct us_error *care_try_put(struct us_store *store, const char *type, int n, size_t size,
                              double seconds) {
    struct us_digest digest = care_digest(type, n);
    uint8_t *bytes = us_malloc(size);
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)((size_t)n * 31 + i);
    }
    struct us_error *error = store->ops->put_object(store, &digest, bytes, size);
    us_free(bytes);
    if (!error && seconds >= 0) {
        uint64_t sizes[1] = {size};
        struct us_record_note note = {.type = type,
                                      .show = "show",
                                      .seconds = seconds,
                                      .objects = &digest,
                                      .sizes = sizes,
                                      .object_count = 1};
        char text[64];
        snprintf(text, sizeof text, "record of %s %d", type, n);
        struct us_digest of = us_digest_of(text, strlen(text));
        bool won;
        error = store->ops->put_record(store, &of, &note, text, strlen(text), &won);
    }
    return error;
}

struct us_digest care_put(struct us_store *store, const char *type, int n, size_t size,
                          double seconds) {
    ASSERT_OK(care_try_put(store, type, n, size, seconds));
    return care_digest(type, n);
}

void care_object_path(const struct us_digest *digest, char path[1024]) {
    char hex[US_DIGEST_HEX];
    us_digest_hex(digest, hex);
    snprintf(path, 1024, "%s/objects/%.2s/%s", care_folder, hex, hex);
}

bool care_is_there(const struct us_digest *digest) {
    char path[1024];
    care_object_path(digest, path);
    return access(path, F_OK) == 0;
}

void care_age(const struct us_digest *digest, double seconds) {
    char path[1024];
    care_object_path(digest, path);
    struct timespec times[2];
    clock_gettime(CLOCK_REALTIME, &times[0]);
    times[0].tv_sec -= (time_t)seconds;
    times[1] = times[0];
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

int care_files_in(const char *room) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", care_folder, room);
    DIR *at = opendir(path);
    assert_non_null(at);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(at));) {
        count += entry->d_name[0] != '.';
    }
    closedir(at);
    return count;
}

int care_markers(void) {
    int count = 0;
    for (int i = 0; i < 256; i++) {
        char path[1024];
        snprintf(path, sizeof path, "%s/objects/%02x", care_folder, i);
        DIR *at = opendir(path);
        for (struct dirent *entry; at && (entry = readdir(at));) {
            count += strlen(entry->d_name) == 2 * US_DIGEST_HEX - 1;
        }
        if (at) {
            closedir(at);
        }
    }
    return count;
}

struct us_gc_report care_collect(struct us_store *store, uint64_t max_bytes, double keep,
                                 bool dry_run) {
    struct us_gc_options options = {
        .max_bytes = max_bytes, .keep_seconds = keep, .dry_run = dry_run};
    struct us_gc_report report;
    /* Who was killed while it took the lease holds it for three beats. */
    for (int tries = 0; tries < 100; tries++) {
        ASSERT_OK(us_cache_gc(store, &options, &report));
        if (!report.busy) {
            return report;
        }
        nanosleep(&(struct timespec){0, 50000000}, NULL);
    }
    fail_msg("busy");
    return report;
}

void care_fill(struct us_store *store, int count) {
    for (int i = 0; i < count; i++) {
        struct us_digest digest = care_put(store, "grade", i, SIZE, 1 + i % 7);
        care_age(&digest, (1 + i % 50) * 3600.0);
    }
}

/* Stamps of the tick in which a gc begins count as in use. */
void care_next_tick(void) {
    nanosleep(&(struct timespec){0, 20000000}, NULL);
}
