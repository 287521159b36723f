#include "cache/cache.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cache/cache_internal.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "tests/support/check.h"

static char folder[512];

static struct us_store *open_store(const char *name) {
    snprintf(folder, sizeof folder, "%s/%s", us_test_folder(), name);
    struct us_store *store;
    ASSERT_OK(us_cache_open(folder, &store));
    return store;
}

static int entries(const char *room) {
    char path[600];
    snprintf(path, sizeof path, "%s/%s", folder, room);
    DIR *list = opendir(path);
    int count = 0;
    for (struct dirent *entry; list && (entry = readdir(list));) {
        count += entry->d_name[0] != '.';
    }
    if (list) {
        closedir(list);
    }
    return count;
}

static void fill(uint8_t *bytes, size_t size, unsigned seed) {
    for (size_t i = 0; i < size; i++) {
        seed = seed * 1664525u + 1013904223u;
        bytes[i] = (uint8_t)(seed >> 24);
    }
}

static struct us_digest nth_key(int n) {
    char name[32];
    snprintf(name, sizeof name, "key %d", n);
    return us_digest_of(name, strlen(name));
}

/* What one key's object holds depends on the writer, as with two encodings of one image. */
enum { KEYS = 24, WRITERS = 4 };

static void write_everything(struct us_store *store, unsigned seed, bool forever) {
    uint8_t *bytes = us_malloc(100000);
    do {
        for (int i = 0; i < KEYS; i++) {
            struct us_digest key = nth_key(i);
            size_t size = 1000 + (seed * 7919u + (unsigned)i * 104729u) % 99000;
            fill(bytes, size, seed + (unsigned)i);
            bool won;
            us_error_free(store->ops->put_object(store, &key, bytes, size));
            us_error_free(store->ops->put_record(store, &key, NULL, bytes, 200, &won));
            if (forever) {
                us_error_free(store->ops->drop_record(store, &key));
                char path[CACHE_PATH];
                us_cache_fan_path(us_cache_of(store), "objects", &key, path);
                unlink(path);
            }
        }
    } while (forever);
    us_free(bytes);
}

static pid_t start_writer(unsigned seed, bool forever) {
    pid_t child = fork();
    if (child == 0) {
        struct us_store *store;
        if (us_cache_open(folder, &store)) {
            _exit(1);
        }
        write_everything(store, seed, forever);
        us_cache_close(store);
        _exit(0);
    }
    return child;
}

static int warned;

static void count_warning(void *context, const char *message) {
    (void)context;
    print_error("%s\n", message);
    warned++;
}

static void assert_all_well(void) {
    struct us_store *store;
    ASSERT_OK(us_cache_open(folder, &store));
    store->warn = count_warning;
    struct us_cache_check check;
    ASSERT_OK(us_cache_verify(store, &check));
    assert_int_equal(check.damaged, 0);
    assert_int_equal(warned, 0);
    us_cache_close(store);
}

static void writers_race_and_one_wins(void **state) {
    (void)state;
    us_cache_close(open_store("race"));
    pid_t children[WRITERS];
    for (unsigned i = 0; i < WRITERS; i++) {
        children[i] = start_writer(i, false);
    }
    for (int i = 0; i < WRITERS; i++) {
        int status;
        waitpid(children[i], &status, 0);
        assert_int_equal(status, 0);
    }
    assert_all_well();
    assert_int_equal(entries("tmp"), 0);
    struct us_store *store = open_store("race");
    for (int i = 0; i < KEYS; i++) {
        struct us_digest key = nth_key(i);
        uint8_t *bytes;
        size_t size;
        ASSERT_OK(store->ops->get_object(store, &key, &bytes, &size));
        assert_non_null(bytes);
        us_free(bytes);
        ASSERT_OK(store->ops->find_record(store, &key, &bytes, &size));
        assert_int_equal(size, 200);
        us_free(bytes);
    }
    us_cache_close(store);
}

static void kill_9_at_any_moment_leaves_nothing_wrong(void **state) {
    (void)state;
    us_cache_close(open_store("kill"));
    unsigned random = 12345;
    for (int round = 0; round < 60; round++) {
        pid_t child = start_writer((unsigned)round, true);
        random = random * 1664525u + 1013904223u;
        nanosleep(&(struct timespec){.tv_nsec = 1000000 + (long)(random >> 8) % 15000000}, NULL);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        assert_all_well();
    }
    /* The next writer clears what the dead ones left. */
    struct us_store *store = open_store("kill");
    struct us_digest key = nth_key(1000);
    ASSERT_OK(store->ops->put_object(store, &key, "x", 1));
    assert_int_equal(entries("tmp"), 0);
    us_cache_close(store);
}

static void a_full_disk_is_worth_retrying(void **state) {
    (void)state;
    char disk[512];
    snprintf(disk, sizeof disk, "%s/disk", us_test_folder());
    assert_int_equal(mkdir(disk, 0755), 0);
    if (mount("tmpfs", disk, "tmpfs", 0, "size=512k") != 0) {
        print_message("skipped: no full disk to test with: mounting a tmpfs needs root (%s)\n",
                      strerror(errno));
        skip();
    }
    setenv("XDG_STATE_HOME", us_test_folder(), 1);
    struct us_store *store = open_store("disk/cache");
    uint8_t *bytes = us_calloc(1, 300000);
    struct us_digest a = nth_key(1), b = nth_key(2);
    ASSERT_OK(store->ops->put_object(store, &a, bytes, 300000));
    struct us_error *error = store->ops->put_object(store, &b, bytes, 300000);
    assert_true(us_error_is(error, US_RETRY));
    ASSERT_ERROR(error, "No space left on device");
    assert_false(store->ops->has_object(store, &b));
    assert_int_equal(entries("tmp"), 0);
    bool won;
    error = store->ops->put_record(store, &b, NULL, bytes, 300000, &won);
    ASSERT_ERROR(error, "--cache");
    uint8_t *back;
    size_t size;
    ASSERT_OK(store->ops->get_object(store, &a, &back, &size));
    assert_int_equal(size, 300000);
    us_free(back);
    us_free(bytes);
    us_cache_close(store);
    unsetenv("XDG_STATE_HOME");
    assert_int_equal(umount(disk), 0);
}

/* Records until the disk is full: the error names the log, what was written before stays, and with
 * room again so does what follows. */
static void a_log_on_a_full_disk_stays_whole(void **state) {
    (void)state;
    char disk[512];
    snprintf(disk, sizeof disk, "%s/small", us_test_folder());
    assert_int_equal(mkdir(disk, 0755), 0);
    if (mount("tmpfs", disk, "tmpfs", 0, "size=256k") != 0) {
        print_message("skipped: no full disk to test with: mounting a tmpfs needs root (%s)\n",
                      strerror(errno));
        skip();
    }
    setenv("XDG_STATE_HOME", us_test_folder(), 1);
    char ballast[600];
    snprintf(ballast, sizeof ballast, "%s/ballast", disk);
    static const uint8_t zeros[65536];
    ASSERT_OK(us_write_file(ballast, zeros, sizeof zeros));
    struct us_store *store = open_store("small/cache");
    struct us_error *error = NULL;
    bool won;
    int written = 0;
    for (; !error && written < 1000; written++) {
        struct us_digest key = nth_key(written);
        error = store->ops->put_record(store, &key, NULL, zeros, 900, &won);
    }
    assert_true(us_error_is(error, US_RETRY));
    assert_in_range(written, 50, 999);
    ASSERT_ERROR(error, ".log");
    assert_int_equal(unlink(ballast), 0);
    struct us_digest last = nth_key(5000);
    ASSERT_OK(store->ops->put_record(store, &last, NULL, zeros, 900, &won));
    us_cache_close(store);
    store = open_store("small/cache");
    struct us_cache_check check;
    ASSERT_OK(us_cache_verify(store, &check));
    assert_int_equal(check.damaged, 0);
    assert_int_equal(check.records, written); /* one failed, one came after */
    us_cache_close(store);
    unsetenv("XDG_STATE_HOME");
    assert_int_equal(umount(disk), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writers_race_and_one_wins),
        cmocka_unit_test(kill_9_at_any_moment_leaves_nothing_wrong),
        cmocka_unit_test(a_full_disk_is_worth_retrying),
        cmocka_unit_test(a_log_on_a_full_disk_stays_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
