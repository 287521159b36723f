#include "cache/cache.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/records_internal.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "runtime/base/str.h"
#include "tests/support/check.h"

struct warnings {
    int count;
    char last[8192];
};

static void note(void *context, const char *message) {
    struct warnings *warnings = context;
    warnings->count++;
    snprintf(warnings->last, sizeof warnings->last, "%s", message);
}

static struct us_store *open_store(const char *name, struct warnings *warnings) {
    char *folder = us_path_join(us_test_folder(), name);
    struct us_store *store;
    ASSERT_OK(us_cache_open(folder, &store));
    us_free(folder);
    *warnings = (struct warnings){0};
    store->warn = note;
    store->warn_context = warnings;
    return store;
}

static char *file_of(const char *cache, const char *room, const struct us_digest *digest) {
    char hex[US_DIGEST_HEX];
    us_digest_hex(digest, hex);
    struct us_str path = {0};
    us_str_printf(&path, "%s/%s/%s/%.2s/%s", us_test_folder(), cache, room, hex, hex);
    return us_str_take(&path);
}

static int files_in(const char *cache, const char *room) {
    char path[512];
    snprintf(path, sizeof path, "%s/%s/%s", us_test_folder(), cache, room);
    DIR *folder = opendir(path);
    assert_non_null(folder);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(folder));) {
        count += entry->d_name[0] != '.';
    }
    closedir(folder);
    return count;
}

static void flip_bit(const char *path, off_t at) {
    assert_int_equal(chmod(path, 0640), 0);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    uint8_t byte;
    assert_int_equal(pread(fd, &byte, 1, at), 1);
    byte ^= 4;
    assert_int_equal(pwrite(fd, &byte, 1, at), 1);
    close(fd);
}

static const char text[] = "{\"faces\": []}";
static char large[5000]; /* too large to lie among the records */

static int setup(void **state) {
    (void)state;
    memset(large, 'x', sizeof large - 1);
    return 0;
}

static void assert_object(struct us_store *store, const struct us_digest *digest,
                          const char *wanted) {
    uint8_t *bytes;
    size_t size;
    ASSERT_OK(store->ops->get_object(store, digest, &bytes, &size));
    if (!wanted) {
        assert_null(bytes);
        return;
    }
    assert_non_null(bytes);
    assert_int_equal(size, strlen(wanted));
    assert_memory_equal(bytes, wanted, size);
    us_free(bytes);
}

static void objects_come_back_as_plain_read_only_files(void **state) {
    (void)state;
    struct warnings warnings;
    struct us_store *store = open_store("plain", &warnings);
    struct us_digest byte_value = us_digest_of(large, strlen(large));
    struct us_digest image = us_digest_of("pixels", 6); /* another digest than the bytes' */
    assert_false(store->ops->has_object(store, &image));
    assert_object(store, &image, NULL);
    ASSERT_OK(store->ops->put_object(store, &byte_value, large, strlen(large)));
    ASSERT_OK(store->ops->put_object(store, &image, large, strlen(large)));
    assert_true(store->ops->has_object(store, &image));
    assert_object(store, &byte_value, large);
    assert_object(store, &image, large);
    char *path = file_of("plain", "objects", &image);
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0440);
    assert_int_equal(info.st_size, strlen(large));
    char *folder = us_path_folder(path);
    assert_int_equal(stat(folder, &info), 0);
    assert_int_equal(info.st_mode & 0027, 0);
    assert_int_equal(files_in("plain", "tmp"), 0);
    assert_int_equal(warnings.count, 0);
    us_free(folder);
    us_free(path);
    us_cache_close(store);
}

static void the_first_writer_wins(void **state) {
    (void)state;
    struct warnings warnings;
    struct us_store *store = open_store("first", &warnings);
    struct us_digest key = us_digest_of("key", 3);
    bool won;
    ASSERT_OK(store->ops->put_record(store, &key, NULL, "one", 3, &won));
    assert_true(won);
    ASSERT_OK(store->ops->put_record(store, &key, NULL, "two", 3, &won));
    assert_false(won);
    uint8_t *bytes;
    size_t size;
    ASSERT_OK(store->ops->find_record(store, &key, &bytes, &size));
    assert_int_equal(size, 3);
    assert_memory_equal(bytes, "one", 3);
    us_free(bytes);
    ASSERT_OK(store->ops->drop_record(store, &key));
    ASSERT_OK(store->ops->drop_record(store, &key));
    ASSERT_OK(store->ops->find_record(store, &key, &bytes, &size));
    assert_null(bytes);
    /* two encodings of one image: either is right */
    ASSERT_OK(store->ops->put_object(store, &key, "encoded so", 10));
    ASSERT_OK(store->ops->put_object(store, &key, "or so", 5));
    assert_object(store, &key, "encoded so");
    assert_int_equal(files_in("first", "tmp"), 0);
    us_cache_close(store);
}

static void a_flipped_bit_anywhere_is_a_miss_reported_once(void **state) {
    (void)state;
    struct warnings warnings;
    struct us_store *store = open_store("flip", &warnings);
    struct us_digest image = us_digest_of("pixels", 6);
    char *path = file_of("flip", "objects", &image);
    for (off_t at = 0; at < (off_t)strlen(large); at += 97) {
        ASSERT_OK(store->ops->put_object(store, &image, large, strlen(large)));
        flip_bit(path, at);
        assert_object(store, &image, NULL);
        assert_object(store, &image, NULL);
        assert_int_equal(warnings.count, at / 97 + 1);
        assert_non_null(strstr(warnings.last, path));
    }
    assert_int_equal(files_in("flip", "quarantine"), (strlen(large) + 96) / 97);
    us_free(path);
    us_cache_close(store);
}

static void verify_finds_each_damaged_entry_once(void **state) {
    (void)state;
    struct warnings warnings;
    struct us_store *store = open_store("verify", &warnings);
    struct us_digest objects[20];
    bool won;
    for (int i = 0; i < 20; i++) {
        char name[16];
        snprintf(name, sizeof name, "object %d", i);
        objects[i] = us_digest_of(name, strlen(name));
        ASSERT_OK(store->ops->put_object(store, &objects[i], i < 10 ? name : large,
                                         i < 10 ? strlen(name) : strlen(large)));
        ASSERT_OK(store->ops->put_record(store, &objects[i], NULL, name, strlen(name), &won));
    }
    struct us_cache_check check;
    ASSERT_OK(us_cache_verify(store, &check));
    assert_int_equal(check.objects, 20);
    assert_int_equal(check.records, 20);
    assert_int_equal(check.damaged, 0);
    char *object = file_of("verify", "objects", &objects[13]);
    struct us_found found;
    struct cache *cache = us_cache_of(store);
    assert_true(us_records_locate(cache, &objects[7], US_ENTRY_RECORD, &found));
    char record[CACHE_PATH];
    us_records_path(cache, found.file->name, record);
    flip_bit(object, 2);
    flip_bit(record, (off_t)found.row.offset + 70);
    ASSERT_OK(us_cache_verify(store, &check));
    assert_int_equal(check.damaged, 2);
    assert_int_equal(warnings.count, 2);
    ASSERT_OK(us_cache_verify(store, &check));
    assert_int_equal(check.damaged, 0);
    assert_int_equal(check.objects, 19);
    assert_int_equal(check.records, 19);
    struct us_cache_stats stats;
    ASSERT_OK(us_cache_stats(store, &stats));
    assert_int_equal(stats.objects[US_CACHE_OTHER].files + stats.inlined.files, 19);
    assert_int_equal(stats.records.files, 19);
    assert_int_equal(stats.quarantined.files, 2);
    us_free(object);
    us_cache_close(store);
}

static void a_cache_removed_while_open_is_made_again(void **state) {
    (void)state;
    struct warnings warnings;
    struct us_store *store = open_store("removed", &warnings);
    struct us_digest key = us_digest_of("key", 3);
    bool won;
    ASSERT_OK(store->ops->put_record(store, &key, NULL, "one", 3, &won));
    struct us_digest before = store->ops->generation(store);
    char command[512];
    snprintf(command, sizeof command, "rm -r '%s/removed'", us_test_folder());
    assert_int_equal(system(command), 0);
    struct us_digest after = store->ops->generation(store);
    assert_false(us_digest_equal(&before, &after)); /* and no hit is believed from now on */
    uint8_t *bytes;
    size_t size;
    ASSERT_OK(store->ops->find_record(store, &key, &bytes, &size));
    assert_null(bytes);
    ASSERT_OK(store->ops->put_record(store, &key, NULL, "two", 3, &won));
    assert_true(won);
    ASSERT_OK(store->ops->put_object(store, &key, text, strlen(text)));
    assert_object(store, &key, text);
    us_cache_close(store);
}

static void a_workspace_lasts(void **state) {
    (void)state;
    struct warnings warnings;
    struct us_store *store = open_store("work", &warnings);
    struct us_digest key = us_digest_of("key", 3);
    char *first, *second;
    ASSERT_OK(store->ops->workspace(store, &key, &first));
    ASSERT_OK(store->ops->workspace(store, &key, &second));
    assert_string_equal(first, second);
    struct stat info;
    assert_int_equal(stat(first, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0750);
    us_free(first);
    us_free(second);
    us_cache_close(store);
}

static void an_unusable_folder_is_an_error_with_a_way_out(void **state) {
    (void)state;
    char *path = us_path_join(us_test_folder(), "plainfile");
    ASSERT_OK(us_write_file(path, "x", 1));
    struct us_store *store;
    ASSERT_ERROR(us_cache_open(path, &store), "--cache");
    assert_null(store);
    us_free(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(objects_come_back_as_plain_read_only_files),
        cmocka_unit_test(the_first_writer_wins),
        cmocka_unit_test(a_flipped_bit_anywhere_is_a_miss_reported_once),
        cmocka_unit_test(verify_finds_each_damaged_entry_once),
        cmocka_unit_test(a_cache_removed_while_open_is_made_again),
        cmocka_unit_test(a_workspace_lasts),
        cmocka_unit_test(an_unusable_folder_is_an_error_with_a_way_out),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
