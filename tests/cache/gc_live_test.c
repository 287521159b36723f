#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cache/cache_internal.h"
#include "cache/hold.h"
#include "runtime/base/mem.h"
#include "tests/support/care_cache.h"
#include "tests/support/check.h"

/* What a living store was told about, read or wrote stays; when it is closed, it goes. */
static void a_living_run_keeps_what_it_uses(void **state) {
    (void)state;
    struct us_store *store = care_open("live");
    care_fill(store, 20);
    us_cache_close(store);
    for (int i = 0; i < 20; i++) {
        struct us_digest digest = care_digest("grade", i);
        care_age(&digest, i < 10 ? 100 * DAY : 1800);
    }
    struct us_store *run = care_open("live");
    struct us_digest told = care_digest("grade", 3), read = care_digest("grade", 4),
                     put_again = care_digest("grade", 5), recent = care_digest("grade", 15);
    assert_true(run->ops->has_object(run, &told));
    assert_true(run->ops->has_object(run, &recent));
    uint8_t *bytes;
    size_t size;
    ASSERT_OK(run->ops->get_object(run, &read, &bytes, &size));
    us_free(bytes);
    care_put(run, "grade", 5, SIZE, 1);
    store = care_open("live");
    struct us_gc_report report = care_collect(store, 1, 0, false);
    assert_int_equal(report.runs, 1);
    assert_int_equal(report.in_use.files, 13); /* and stamps of the hour before it began */
    us_gc_report_finish(&report);
    assert_true(care_is_there(&told) && care_is_there(&read) && care_is_there(&put_again) &&
                care_is_there(&recent));
    us_cache_close(run);
    report = care_collect(store, 1, 0, false);
    assert_int_equal(report.runs, 0);
    assert_int_equal(report.objects.files, 13);
    us_gc_report_finish(&report);
    us_cache_close(store);
}

/* A process that was killed protects nothing. */
static void the_dead_keep_nothing(void **state) {
    (void)state;
    struct us_store *store = care_open("dead");
    care_fill(store, 3);
    us_cache_close(store);
    pid_t child = fork();
    if (child == 0) {
        struct us_store *run = care_open("dead");
        struct us_digest digest = care_digest("grade", 0);
        run->ops->has_object(run, &digest);
        raise(SIGKILL);
    }
    int status;
    waitpid(child, &status, 0);
    assert_int_equal(care_files_in("live"), 1);
    care_next_tick();
    store = care_open("dead");
    struct us_gc_report report = care_collect(store, 1, 0, false);
    assert_int_equal(report.runs, 0);
    assert_int_equal(report.objects.files, 3);
    us_gc_report_finish(&report);
    assert_int_equal(care_files_in("live"), 0);
    us_cache_close(store);
}

/* Names that no store makes, of times that no subtraction fits. */
static void names_of_no_time_are_no_runs(void **state) {
    (void)state;
    struct us_store *store = care_open("names");
    care_fill(store, 1);
    us_cache_close(store);
    static const char *const times[] = {"9223372036854775808", "18446744073709551615",
                                        "99999999999999999999"};
    for (size_t i = 0; i < 3; i++) {
        char path[1024];
        snprintf(path, sizeof path, "%s/live/elsewhere.1.1.%zu.%s", care_folder, i, times[i]);
        close(open(path, O_WRONLY | O_CREAT, 0640));
    }
    store = care_open("names");
    struct us_gc_report report = care_collect(store, 0, 0, true);
    assert_int_equal(report.runs, 0);
    us_gc_report_finish(&report);
    us_cache_close(store);
}

static void stamps_of_any_year_can_be_subtracted(void **state) {
    (void)state;
    static const int64_t seconds[] = {INT64_MIN, -1, 0, 1, 9000000000, 9000000001, INT64_MAX};
    int64_t before = 0;
    for (size_t i = 0; i < sizeof seconds / sizeof *seconds; i++) {
        const struct stat info = {.st_mtim = {.tv_sec = (time_t)seconds[i], .tv_nsec = 7}};
        const int64_t stamp = us_stamp_of(&info);
        assert_true(stamp >= before && stamp <= 9000000000 * 1000000000);
        before = stamp;
    }
    const struct stat info = {.st_mtim = {.tv_sec = 1, .tv_nsec = 7}};
    assert_int_equal(us_stamp_of(&info), 1000000007);
}

/* A store that opens while a gc is announced renews every stamp: the gc may not know of it. */
static void a_run_that_begins_beside_a_gc_is_seen_by_its_stamps(void **state) {
    (void)state;
    struct us_store *store = care_open("beside");
    care_fill(store, 2);
    us_cache_close(store);
    struct us_digest used = care_digest("grade", 0), unused = care_digest("grade", 1);
    care_age(&used, 60);
    care_age(&unused, 60);
    store = care_open("beside");
    struct us_gc_watch watch;
    ASSERT_OK(us_live_look(us_cache_of(store), false, &watch));
    struct us_store *run = care_open("beside");
    assert_true(run->ops->has_object(run, &used));
    char path[2][1024];
    care_object_path(&used, path[0]);
    care_object_path(&unused, path[1]);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(us_trash_move(us_cache_of(store), path[i]), US_TAKEN);
        assert_int_equal(us_trash_empty(us_cache_of(store), path[i], watch.begun),
                         i ? US_TAKEN : US_TAKEN_IN_USE);
    }
    assert_true(care_is_there(&used));
    assert_false(care_is_there(&unused));
    us_live_leave(&watch);
    us_cache_close(run);
    us_cache_close(store);
}

/* Whoever looks for what lies in the trash takes it back. */
static void what_lies_in_the_trash_is_taken_back(void **state) {
    (void)state;
    struct us_store *store = care_open("trash");
    care_fill(store, 1);
    struct us_digest digest = care_digest("grade", 0);
    char path[1024];
    care_object_path(&digest, path);
    assert_int_equal(us_trash_move(us_cache_of(store), path), US_TAKEN);
    assert_false(care_is_there(&digest));
    assert_true(store->ops->has_object(store, &digest));
    assert_true(care_is_there(&digest));
    assert_int_equal(us_trash_empty(us_cache_of(store), path, 0), US_TAKEN_GONE);
    us_cache_close(store);
}

/* -- many threads use what a gc removes */

enum { HAMMERED = 200, HAMMERS = 3, ROUNDS = 2000 };
static atomic_bool hammering;
static atomic_int promises, broken;

static unsigned draw(unsigned *seed) {
    *seed = *seed * 1103515245u + 12345u;
    return *seed >> 16;
}

/* In a thread: a failed assertion would jump out of it. */
static bool fine(struct us_error *error) {
    if (error) {
        print_error("%s: %s\n", error->text, error->cause ? error->cause->text : "");
        us_error_free(error);
        atomic_fetch_add(&broken, 1);
        return false;
    }
    return true;
}

static void read_back(struct us_store *run, const struct us_digest *digest) {
    if (digest) {
        uint8_t *bytes;
        size_t size;
        bool read = fine(run->ops->get_object(run, digest, &bytes, &size));
        atomic_fetch_add(&promises, 1);
        atomic_fetch_add(&broken, read && bytes == NULL);
        us_free(bytes);
    }
}

/* As runs do: each opens the cache, asks, reads what it was told is there, makes what is not. */
static void *hammer(void *context) {
    unsigned seed = (unsigned)(uintptr_t)context;
    while (atomic_load(&hammering)) {
        struct us_store *run;
        if (!fine(us_cache_open(care_folder, &run))) {
            break;
        }
        struct us_digest told[40];
        unsigned count = 0;
        for (int i = 0; i < 40; i++) {
            int n = (int)(draw(&seed) % HAMMERED);
            struct us_digest digest = care_digest("grade", n);
            bool there = run->ops->has_object(run, &digest);
            if (!there && draw(&seed) % 16 == 0) {
                there = fine(care_try_put(run, "grade", n, SIZE, 1));
            }
            if (there) {
                told[count++] = digest;
            }
            read_back(run, count ? &told[draw(&seed) % count] : NULL);
        }
        us_cache_close(run);
    }
    return NULL;
}

static void warn_of_break(void *context, const char *message) {
    (void)context;
    print_error("%s\n", message);
    atomic_fetch_add(&broken, 1);
}

static void nothing_promised_vanishes(void **state) {
    (void)state;
    us_cache_close(care_open("hammer"));
    us_stamp_seconds = 0.01;
    us_stamp_slack = 0;
    atomic_store(&hammering, true);
    pthread_t threads[HAMMERS];
    for (uintptr_t i = 0; i < HAMMERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, (void *)(i + 1)), 0);
    }
    uint64_t removed = 0, rescued = 0;
    for (int i = 0; i < ROUNDS && (removed < 100 || rescued < 100 || promises < 1000); i++) {
        struct us_store *store;
        ASSERT_OK(us_cache_open(care_folder, &store));
        store->warn = warn_of_break;
        struct us_gc_report report;
        ASSERT_OK(us_cache_gc(store, &(struct us_gc_options){.max_bytes = 1}, &report));
        removed += report.objects.files;
        rescued += report.rescued;
        us_gc_report_finish(&report);
        us_cache_close(store);
    }
    atomic_store(&hammering, false);
    for (int i = 0; i < HAMMERS; i++) {
        pthread_join(threads[i], NULL);
    }
    print_message("%d reads of what was promised, %llu removed, %llu put back\n",
                  atomic_load(&promises), (unsigned long long)removed, (unsigned long long)rescued);
    us_stamp_seconds = 3600;
    us_stamp_slack = 60;
    assert_int_equal(broken, 0);
    assert_true(promises >= 1000 && removed >= 100 && rescued >= 100);
    assert_int_equal(care_files_in("trash"), 0);
}

/* Killed at any moment: what is pinned is there, all that is there is whole, the next one ends the
 * work. */
static void a_killed_gc_leaves_nothing_wrong(void **state) {
    (void)state;
    enum { OBJECTS = 120, KILLS = 12 };
    struct us_store *store = care_open("killed");
    care_fill(store, OBJECTS);
    struct us_digest pinned = care_digest("grade", 7);
    size_t missing;
    ASSERT_OK(us_cache_pin(store, "p", &(struct us_pin_list){.objects = &pinned, .object_count = 1},
                           &missing));
    us_cache_close(store);
    int killed = 0;
    us_cache_beat_seconds = 0.05;
    for (int round = 0; round < KILLS; round++) {
        pid_t child = fork();
        if (child == 0) {
            struct us_gc_report report;
            store = care_open("killed");
            us_error_free(us_cache_gc(
                store, &(struct us_gc_options){.max_bytes = (uint64_t)(KILLS - round) * 8 * SIZE},
                &report));
            _exit(0);
        }
        nanosleep(&(struct timespec){0, 1000000 + round * 300000}, NULL);
        kill(child, SIGKILL);
        int status;
        waitpid(child, &status, 0);
        killed += WIFSIGNALED(status);
        store = care_open("killed");
        struct us_cache_check check;
        ASSERT_OK(us_cache_verify(store, &check));
        assert_int_equal(check.damaged, 0);
        assert_true(care_is_there(&pinned));
        us_cache_close(store);
    }
    us_cache_beat_seconds = 0.3;
    assert_true(killed > 0);
    care_next_tick();
    store = care_open("killed");
    struct us_gc_report report = care_collect(store, 1, 0, false);
    us_gc_report_finish(&report);
    assert_int_equal(care_markers(), 1);
    assert_int_equal(care_files_in("trash"), 0);
    assert_int_equal(care_files_in("live"), 0);
    us_cache_close(store);
    assert_int_equal(care_files_in("tmp"), 0);
    us_cache_beat_seconds = 5;
}

int main(void) {
    us_test_folder(); /* before anybody forks */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_living_run_keeps_what_it_uses),
        cmocka_unit_test(the_dead_keep_nothing),
        cmocka_unit_test(names_of_no_time_are_no_runs),
        cmocka_unit_test(stamps_of_any_year_can_be_subtracted),
        cmocka_unit_test(a_run_that_begins_beside_a_gc_is_seen_by_its_stamps),
        cmocka_unit_test(what_lies_in_the_trash_is_taken_back),
        cmocka_unit_test(nothing_promised_vanishes),
        cmocka_unit_test(a_killed_gc_leaves_nothing_wrong),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
