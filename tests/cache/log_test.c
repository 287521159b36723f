/* Logs beside the index. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cache/cache_internal.h"
#include "runtime/api/runs.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "tests/support/check.h"

static struct us_store *open_cache(const char *name) {
    char path[300];
    struct us_store *store;
    snprintf(path, sizeof path, "%s/%s", us_test_folder(), name);
    unsetenv("XDG_STATE_HOME");
    ASSERT_OK(us_cache_open(path, &store));
    return store;
}

static void test_lines(void **state) {
    (void)state;
    struct us_store *store = open_cache("lines");
    int64_t first;
    assert_null(store->ops->log_read(store, "shot", &first));
    store->ops->log_add(store, "shot", "one");
    store->ops->log_add(store, "shot", "two");
    store->ops->log_add(store, "other", "three");
    struct us_store *again = open_cache("lines");
    char *lines = again->ops->log_read(again, "shot", &first);
    assert_string_equal(lines, "one\ntwo\n");
    assert_int_equal(first, 1);
    us_free(lines);
    us_cache_close(again);
    us_cache_close(store);
}

static void test_runs(void **state) {
    (void)state;
    struct us_store *store = open_cache("runs");
    struct us_runs runs;
    us_runs_read(store, "/shot.yaml", &runs);
    assert_int_equal(runs.count, 0);
    us_runs_finish(&runs);
    char text[16];
    for (int i = 1; i <= 1005; i++) {
        snprintf(text, sizeof text, "run %d", i);
        us_runs_add(store, "/shot.yaml", text);
    }
    us_runs_read(store, "/shot.yaml", &runs);
    assert_int_equal(runs.count, 1000);
    assert_int_equal(runs.first, 6);
    assert_string_equal(runs.texts[0], "run 6");
    assert_string_equal(runs.texts[999], "run 1005");
    us_runs_finish(&runs);
    us_cache_close(store);
}

/* Writes the store's only log anew, longer than it may become. */
static void write_log(struct us_store *store, const char *head) {
    char *folder = us_path_join(us_cache_of(store)->index.folder, "logs"), *path = NULL;
    DIR *names = opendir(folder);
    assert_non_null(names);
    for (struct dirent *entry; (entry = readdir(names));) {
        if (entry->d_name[0] != '.') {
            us_free(path);
            path = us_path_join(folder, entry->d_name);
        }
    }
    closedir(names);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(head, file);
    for (int i = 0; i < (8 << 20) / 4096 + 1; i++) {
        fprintf(file, "%4095s\n", "");
    }
    fclose(file);
    us_free(path);
    us_free(folder);
}

/* A damaged first line: nothing can be counted on from the largest number there is. */
static void test_numbers(void **state) {
    (void)state;
    static const char *const heads[] = {"#9223372036854775807\n", "#4611686018427387903\n",
                                        "#99999999999999999999\n", "#-7\n", "#\n"};
    struct us_store *store = open_cache("numbers");
    store->ops->log_add(store, "shot", "one");
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        int64_t first;
        write_log(store, heads[i]);
        store->ops->log_add(store, "shot", "two"); /* which shortens it */
        us_free(store->ops->log_read(store, "shot", &first));
        assert_in_range(first, 1000, 3000);
    }
    us_cache_close(store);
}

/* Long lines of several processes at once: the log is shortened on the way, and none is lost but
 * those that are too old. */
static void test_bounded(void **state) {
    (void)state;
    enum { PROCESSES = 4, LINES = 1200, LONG = 4000 };
    static char line[LONG + 1];
    for (int p = 0; p < PROCESSES; p++) {
        if (fork() == 0) {
            struct us_store *store = open_cache("bounded");
            memset(line, 'a' + p, LONG);
            for (int i = 0; i < LINES; i++) {
                store->ops->log_add(store, "shot", line);
            }
            us_cache_close(store);
            _exit(0);
        }
    }
    for (int p = 0; p < PROCESSES; p++) {
        int status;
        assert_true(wait(&status) > 0 && status == 0);
    }
    struct us_store *store = open_cache("bounded");
    int64_t first, count = 0;
    char *lines = store->ops->log_read(store, "shot", &first);
    assert_true(strlen(lines) < (8 << 20) + LONG + 64);
    for (const char *at = lines; *at; at += LONG + 1) {
        for (int i = 1; i < LONG; i++) {
            assert_int_equal(at[i], at[0]);
        }
        assert_int_equal(at[LONG], '\n');
        count++;
    }
    assert_int_equal(first - 1 + count, PROCESSES * LINES);
    assert_true(count >= US_LOG_KEPT && first > 1);
    us_free(lines);
    us_cache_close(store);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_lines), cmocka_unit_test(test_runs),
                                       cmocka_unit_test(test_numbers),
                                       cmocka_unit_test(test_bounded)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
