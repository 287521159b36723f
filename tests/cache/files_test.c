#include "cache/cache.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "tests/support/check.h"

static char path[512], cache[512];

static int setup(void **state) {
    (void)state;
    unsetenv("XDG_STATE_HOME");
    snprintf(path, sizeof path, "%s/plate.exr", us_test_folder());
    snprintf(cache, sizeof cache, "%s/cache", us_test_folder());
    return 0;
}

static struct us_store *open_store(void) {
    struct us_store *store;
    ASSERT_OK(us_cache_open(cache, &store));
    return store;
}

static void write_file(const char *text) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void assert_digest(struct us_store *store, const char *text) {
    struct us_digest digest, wanted = us_digest_of(text, strlen(text));
    ASSERT_OK(store->ops->file_digest(store, path, &digest));
    assert_memory_equal(&digest, &wanted, sizeof digest);
}

static void an_edit_in_the_same_moment_is_found(void **state) {
    (void)state;
    struct us_store *store = open_store();
    for (int i = 0; i < 50; i++) {
        char text[32];
        snprintf(text, sizeof text, "edit %04d", i); /* same size each time */
        write_file(text);
        assert_digest(store, text);
    }
    us_cache_close(store);
}

/* Where time stamps move with the kernel's timer, a second edit may leave all of them as they were;
 * so no digest is told or remembered before a stamp is older than that. */
static void a_digest_waits_until_time_stamps_have_settled(void **state) {
    (void)state;
    struct us_store *store = open_store();
    write_file("just now");
    assert_digest(store, "just now");
    struct timespec now;
    struct stat info;
    clock_gettime(CLOCK_REALTIME, &now);
    assert_int_equal(stat(path, &info), 0);
    int64_t age = (now.tv_sec - info.st_ctim.tv_sec) * INT64_C(1000000000) + now.tv_nsec -
                  info.st_ctim.tv_nsec;
    assert_true(age >= 20 * 1000 * 1000);
    us_cache_close(store);
}

static void an_edit_that_keeps_size_and_mtime_is_found(void **state) {
    (void)state;
    struct us_store *store = open_store();
    write_file("frame A");
    struct stat before;
    assert_digest(store, "frame A");
    assert_int_equal(stat(path, &before), 0);
    write_file("frame B");
    const struct timespec times[2] = {before.st_atim, before.st_mtim};
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
    assert_digest(store, "frame B");
    us_cache_close(store);
}

static void a_restored_older_file_is_found(void **state) {
    (void)state;
    struct us_store *store = open_store();
    char older[600];
    snprintf(older, sizeof older, "%s.older", path);
    write_file("older one");
    const struct timespec past[2] = {{.tv_sec = 1000000000}, {.tv_sec = 1000000000}};
    assert_int_equal(utimensat(AT_FDCWD, path, past, 0), 0);
    assert_int_equal(rename(path, older), 0);
    write_file("newer one");
    assert_digest(store, "newer one");
    assert_int_equal(rename(older, path), 0);
    assert_digest(store, "older one");
    us_cache_close(store);
}

/* The index answers without reading: bytes changed behind the back of every time stamp do not
 * show. No file system offers that, so another file's entry is what is looked at: the remembered
 * digest of a file that holds something else. */
static void what_was_remembered_is_not_read_again(void **state) {
    (void)state;
    struct us_store *store = open_store();
    write_file("as written");
    struct us_digest claimed = us_digest_of("as claimed", 10), digest;
    store->ops->remember_file(store, path, &claimed);
    us_cache_close(store);
    store = open_store();
    ASSERT_OK(store->ops->file_digest(store, path, &digest));
    assert_memory_equal(&digest, &claimed, sizeof digest);
    write_file("and edited");
    assert_digest(store, "and edited");
    us_cache_close(store);
}

static void losing_the_index_loses_nothing(void **state) {
    (void)state;
    struct us_store *store = open_store();
    write_file("kept");
    assert_digest(store, "kept");
    store->ops->remember(store, "fact", "value", 5);
    us_cache_close(store);
    char data[600];
    snprintf(data, sizeof data, "%s/index/data.mdb", cache);
    struct stat info;
    assert_int_equal(stat(data, &info), 0);
    for (int round = 0; round < 2; round++) {
        if (round == 0) { /* garbage in place of it */
            int fd = open(data, O_WRONLY | O_TRUNC);
            assert_true(fd >= 0);
            for (int i = 0; i < 4096; i++) {
                assert_int_equal(write(fd, "garbage!", 8), 8);
            }
            close(fd);
        } else {
            char command[700];
            snprintf(command, sizeof command, "rm -r '%s/index'", cache);
            assert_int_equal(system(command), 0);
        }
        store = open_store();
        assert_digest(store, "kept");
        size_t size;
        assert_null(store->ops->recall(store, "fact", &size));
        store->ops->remember(store, "fact", "value", 5);
        us_cache_close(store);
        store = open_store();
        uint8_t *bytes = store->ops->recall(store, "fact", &size);
        assert_non_null(bytes);
        assert_int_equal(size, 5);
        us_free(bytes);
        us_cache_close(store);
    }
}

static void facts_last_and_are_replaced(void **state) {
    (void)state;
    struct us_store *store = open_store();
    enum { COUNT = 5000 };
    for (int i = 0; i < COUNT; i++) {
        char name[32];
        snprintf(name, sizeof name, "fact %d", i);
        store->ops->remember(store, name, &i, sizeof i);
    }
    store->ops->remember(store, "fact 17", "seventeen", 9);
    us_cache_close(store);
    store = open_store();
    size_t size;
    for (int i = 0; i < COUNT; i++) {
        char name[32];
        snprintf(name, sizeof name, "fact %d", i);
        uint8_t *bytes = store->ops->recall(store, name, &size);
        assert_non_null(bytes);
        if (i == 17) {
            assert_int_equal(size, 9);
            assert_memory_equal(bytes, "seventeen", 9);
        } else {
            assert_memory_equal(bytes, &i, sizeof i);
        }
        us_free(bytes);
    }
    assert_null(store->ops->recall(store, "never told", &size));
    us_cache_close(store);
}

/* A value damaged on disk is not believed: the index starts anew. */
static void a_damaged_value_is_not_told(void **state) {
    (void)state;
    struct us_store *store = open_store();
    static const char mark[] = "a value long enough to be found in the file";
    store->ops->remember(store, "damaged", mark, sizeof mark);
    us_cache_close(store);
    char data[600];
    snprintf(data, sizeof data, "%s/index/data.mdb", cache);
    uint8_t *bytes;
    size_t size;
    ASSERT_OK(us_read_file(data, 0, &bytes, &size));
    uint8_t *at = memmem(bytes, size, mark, sizeof mark);
    assert_non_null(at);
    int fd = open(data, O_WRONLY);
    assert_int_equal(pwrite(fd, "A", 1, at - bytes), 1);
    close(fd);
    us_free(bytes);
    store = open_store();
    assert_null(store->ops->recall(store, "damaged", &size));
    store->ops->remember(store, "damaged", mark, sizeof mark);
    us_cache_close(store);
    store = open_store();
    bytes = store->ops->recall(store, "damaged", &size);
    assert_non_null(bytes);
    assert_memory_equal(bytes, mark, sizeof mark);
    us_free(bytes);
    us_cache_close(store);
}

enum { FILES = 300 };

static void name_of(int i, char name[600]) {
    snprintf(name, 600, "%s/many.%04d", us_test_folder(), i);
}

static void write_nth(int i, const char *text) {
    char saved[512];
    memcpy(saved, path, sizeof saved);
    char name[600];
    name_of(i, name);
    snprintf(path, sizeof path, "%.500s", name);
    write_file(text);
    memcpy(path, saved, sizeof saved);
}

/* Many at once say what each by itself says: new, remembered, changed, missing, and twice. */
static void many_files_at_once(void **state) {
    (void)state;
    struct us_store *store = open_store();
    static char names[FILES][600], texts[FILES][32];
    const char *paths[FILES];
    for (int i = 0; i < FILES; i++) {
        name_of(i % 7 == 3 ? i - 1 : i, names[i]); /* some twice */
        paths[i] = names[i];
        snprintf(texts[i], sizeof texts[i], "file %d", i % 7 == 3 ? i - 1 : i);
        if (i % 7 != 3 && i % 50 != 49) {
            write_nth(i, texts[i]);
        }
    }
    for (int round = 0; round < 3; round++) {
        struct us_digest digests[FILES];
        struct us_error *errors[FILES];
        if (round == 2) {
            write_nth(120, "changed");
            snprintf(texts[120], sizeof texts[120], "changed");
        }
        store->ops->file_digests(store, paths, FILES, digests, errors);
        for (int i = 0; i < FILES; i++) {
            if (access(paths[i], F_OK) != 0) {
                assert_true(us_error_is(errors[i], US_MISSING));
                ASSERT_ERROR(errors[i], paths[i]);
                continue;
            }
            ASSERT_OK(errors[i]);
            struct us_digest wanted = us_digest_of(texts[i], strlen(texts[i]));
            assert_memory_equal(&digests[i], &wanted, sizeof wanted);
        }
        if (round == 0) {
            us_cache_close(store);
            store = open_store();
        }
    }
    store->ops->file_digests(store, paths, 0, NULL, NULL);
    us_cache_close(store);
}

struct writer {
    _Atomic int stop;
};

static void *keep_writing(void *context) {
    struct writer *writer = context;
    int fd = open(path, O_WRONLY);
    for (int i = 0; !writer->stop; i++) {
        pwrite(fd, "0123456789abcdef", 16, (i % 4096) * 16) < 0 ? abort() : (void)0;
    }
    close(fd);
    return NULL;
}

static void a_file_that_changes_while_it_is_read_is_an_error(void **state) {
    (void)state;
    struct us_store *store = open_store();
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    assert_int_equal(ftruncate(fd, 256 << 20), 0); /* long enough to read for the clock to tick */
    close(fd);
    struct writer writer = {0};
    pthread_t thread;
    pthread_create(&thread, NULL, keep_writing, &writer);
    struct us_digest digest;
    struct us_error *error = store->ops->file_digest(store, path, &digest);
    writer.stop = 1;
    pthread_join(thread, NULL);
    ASSERT_ERROR(error, "changed while it was read");
    us_cache_close(store);
}

static void what_is_not_there_is_missing(void **state) {
    (void)state;
    struct us_store *store = open_store();
    struct us_digest digest;
    struct us_error *error = store->ops->file_digest(store, "/nowhere/plate.exr", &digest);
    assert_true(us_error_is(error, US_MISSING));
    ASSERT_ERROR(error, "/nowhere/plate.exr");
    error = store->ops->file_digest(store, us_test_folder(), &digest);
    assert_true(us_error_is(error, US_MISSING));
    ASSERT_ERROR(error, "it is a folder");
    us_cache_close(store);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_edit_in_the_same_moment_is_found),
        cmocka_unit_test(a_digest_waits_until_time_stamps_have_settled),
        cmocka_unit_test(an_edit_that_keeps_size_and_mtime_is_found),
        cmocka_unit_test(a_restored_older_file_is_found),
        cmocka_unit_test(what_was_remembered_is_not_read_again),
        cmocka_unit_test(losing_the_index_loses_nothing),
        cmocka_unit_test(facts_last_and_are_replaced),
        cmocka_unit_test(a_damaged_value_is_not_told),
        cmocka_unit_test(many_files_at_once),
        cmocka_unit_test(a_file_that_changes_while_it_is_read_is_an_error),
        cmocka_unit_test(what_is_not_there_is_missing),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
