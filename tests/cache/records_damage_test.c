#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cache/records_internal.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "tests/support/check.h"

enum { RECORDS = 3 };
static const char *const texts[RECORDS] = {"what the first came to", "the second",
                                           "and this is the third"};
static const char object_text[] = "{\"faces\": []}";
static char folder[512], last_warning[8192];
static int warned;

static void note(void *context, const char *message) {
    (void)context;
    warned++;
    snprintf(last_warning, sizeof last_warning, "%s", message);
}

static struct us_store *open_store(void) {
    struct us_store *store;
    ASSERT_OK(us_cache_open(folder, &store));
    store->warn = note;
    return store;
}

static struct us_digest nth_key(int n) {
    char name[32];
    snprintf(name, sizeof name, "key %d", n);
    return us_digest_of(name, strlen(name));
}

static bool put(struct us_store *store, int n) {
    struct us_digest key = nth_key(n);
    bool won;
    ASSERT_OK(store->ops->put_record(store, &key, NULL, texts[n], strlen(texts[n]), &won));
    return won;
}

/* True when it is there; what is there must be right. */
static bool has(struct us_store *store, int n) {
    struct us_digest key = nth_key(n);
    uint8_t *bytes;
    size_t size;
    ASSERT_OK(n < RECORDS ? store->ops->find_record(store, &key, &bytes, &size)
                          : store->ops->get_object(store, &key, &bytes, &size));
    if (!bytes) {
        return false;
    }
    const char *wanted = n < RECORDS ? texts[n] : object_text;
    assert_int_equal(size, strlen(wanted));
    assert_memory_equal(bytes, wanted, size);
    us_free(bytes);
    return true;
}

static int found_of_all(struct us_store *store) {
    int found = 0;
    for (int n = 0; n <= RECORDS; n++) {
        found += has(store, n);
    }
    return found;
}

static void remove_cache(void) {
    char command[600];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    assert_int_equal(system(command), 0);
}

/* The file that a process leaves that ends without a word; `packed`: as a pack. */
static void make_file(bool packed, char path[CACHE_PATH], uint8_t **bytes, size_t *size,
                      uint64_t ends[RECORDS]) {
    remove_cache();
    pid_t child = fork();
    if (child == 0) {
        struct us_store *store = open_store();
        struct us_digest object = nth_key(RECORDS);
        ASSERT_OK(store->ops->put_object(store, &object, object_text, strlen(object_text)));
        for (int n = 0; n < RECORDS; n++) {
            put(store, n);
        }
        _exit(0);
    }
    waitpid(child, NULL, 0);
    struct us_store *store = open_store();
    if (packed) {
        ASSERT_OK(us_records_rebuild(us_cache_of(store)));
    }
    assert_int_equal(found_of_all(store), RECORDS + 1);
    struct us_found found = {0};
    for (int n = 0; n < RECORDS; n++) {
        struct us_digest key = nth_key(n);
        assert_true(us_records_locate(us_cache_of(store), &key, US_ENTRY_RECORD, &found));
        ends[n] = found.row.offset + found.row.size;
    }
    us_records_path(us_cache_of(store), found.file->name, path);
    us_cache_close(store);
    ASSERT_OK(us_read_file(path, 0, bytes, size));
}

/* A cache with that file only. */
static void place(const char *path, const uint8_t *bytes, size_t size) {
    char name[CACHE_PATH];
    snprintf(name, sizeof name, "%s", path);
    char *parent = us_path_folder(name);
    remove_cache();
    ASSERT_OK(us_make_folders(parent));
    us_free(parent);
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0640);
    assert_true(fd >= 0 && write(fd, bytes, size) == (ssize_t)size);
    close(fd);
    warned = 0;
}

static void a_torn_end_is_a_miss(void **state) {
    (void)state;
    char path[CACHE_PATH];
    uint8_t *bytes;
    size_t size;
    uint64_t ends[RECORDS];
    make_file(false, path, &bytes, &size, ends);
    assert_int_equal(ends[2], size);
    for (size_t length = ends[1]; length < size; length++) {
        place(path, bytes, length);
        struct us_store *store = open_store();
        assert_int_equal(found_of_all(store), RECORDS);
        assert_false(has(store, 2));
        assert_true(put(store, 2));
        assert_true(has(store, 2));
        us_cache_close(store);
        store = open_store();
        assert_int_equal(found_of_all(store), RECORDS + 1);
        uint64_t records, read, damaged;
        ASSERT_OK(us_records_verify(us_cache_of(store), &records, &read, &damaged));
        assert_int_equal(records, RECORDS);
        assert_int_equal(damaged, 0);
        assert_int_equal(warned, 0);
        us_cache_close(store);
    }
    us_free(bytes);
}

/* One bit of each byte, one after the other: nothing wrong is ever told, all else is still found,
 * it is reported once by whoever meets it first, and verify heals it. */
static void flip_everywhere(bool packed) {
    char path[CACHE_PATH];
    uint8_t *bytes;
    size_t size;
    uint64_t ends[RECORDS], records, read, damaged;
    make_file(packed, path, &bytes, &size, ends);
    for (size_t at = 0; at < size; at++) {
        bytes[at] ^= (uint8_t)(1 << at % 8);
        place(path, bytes, size);
        bytes[at] ^= (uint8_t)(1 << at % 8);
        struct us_store *store = open_store();
        assert_true(found_of_all(store) >= RECORDS);
        int left = found_of_all(store);
        assert_true(warned <= 1);
        int before = warned;
        ASSERT_OK(us_records_verify(us_cache_of(store), &records, &read, &damaged));
        assert_int_equal(warned, 1);
        assert_int_equal(damaged, 1 - before);
        assert_non_null(strstr(last_warning, path));
        assert_non_null(strstr(last_warning, "is damaged at byte"));
        assert_int_equal(found_of_all(store), left);
        us_cache_close(store);
        assert_int_not_equal(access(path, F_OK), 0); /* written anew without it */
        store = open_store();
        assert_int_equal(found_of_all(store), left);
        ASSERT_OK(us_records_verify(us_cache_of(store), &records, &read, &damaged));
        assert_int_equal(damaged, 0);
        assert_int_equal(warned, 1);
        us_cache_close(store);
    }
    us_free(bytes);
}

static void a_flipped_bit_of_a_log_is_found_and_healed(void **state) {
    (void)state;
    flip_everywhere(false);
}

static void a_flipped_bit_of_a_pack_is_found_and_healed(void **state) {
    (void)state;
    flip_everywhere(true);
}

/* Two processes that meet the same damage: one of them says so. */
static void damage_is_reported_by_one(void **state) {
    (void)state;
    char path[CACHE_PATH];
    uint8_t *bytes;
    size_t size;
    uint64_t ends[RECORDS];
    make_file(true, path, &bytes, &size, ends);
    bytes[ends[0] - 20] ^= 1;
    place(path, bytes, size);
    struct us_store *a = open_store(), *b = open_store();
    assert_false(has(a, 0));
    assert_false(has(b, 0));
    assert_int_equal(warned, 1);
    /* made again, it is found in spite of the damaged one */
    assert_true(put(a, 0));
    assert_false(put(b, 0));
    assert_true(has(b, 0));
    us_cache_close(a);
    us_cache_close(b);
    us_free(bytes);
}

/* A pack of many blocks of rows with one of them damaged. */
static void a_damaged_table_loses_nothing(void **state) {
    (void)state;
    remove_cache();
    struct us_store *store = open_store();
    enum { MANY = 1000 };
    bool won;
    for (int i = 0; i < MANY; i++) {
        struct us_digest key = nth_key(i);
        ASSERT_OK(store->ops->put_record(store, &key, NULL, &i, sizeof i, &won));
    }
    ASSERT_OK(us_records_rebuild(us_cache_of(store)));
    const struct us_record_file *pack = us_cache_of(store)->records->files[0];
    char path[CACHE_PATH];
    us_records_path(us_cache_of(store), pack->name, path);
    off_t at = (off_t)pack->pack.table_at + 64 + 500 * 48 + 33;
    assert_int_equal(chmod(path, 0640), 0);
    int fd = open(path, O_RDWR);
    uint8_t byte;
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 16;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
    warned = 0;
    for (int i = 0; i < MANY; i++) {
        struct us_digest key = nth_key(i);
        uint8_t *bytes;
        size_t size;
        ASSERT_OK(store->ops->find_record(store, &key, &bytes, &size));
        assert_non_null(bytes);
        assert_memory_equal(bytes, &i, sizeof i);
        us_free(bytes);
    }
    assert_int_equal(warned, 1);
    us_cache_close(store);
}

/* In memory where that can be had: each of a thousand healings syncs. */
static int setup(void **state) {
    (void)state;
    const char *where = access("/dev/shm", W_OK) == 0 ? "/dev/shm" : us_test_folder();
    snprintf(folder, sizeof folder, "%s/understudy-records-%ld", where, (long)getpid());
    setenv("XDG_STATE_HOME", us_test_folder(), 1);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    remove_cache();
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_torn_end_is_a_miss),
        cmocka_unit_test(a_flipped_bit_of_a_log_is_found_and_healed),
        cmocka_unit_test(a_flipped_bit_of_a_pack_is_found_and_healed),
        cmocka_unit_test(damage_is_reported_by_one),
        cmocka_unit_test(a_damaged_table_loses_nothing),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
