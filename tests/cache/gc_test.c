#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cache/cache_internal.h"
#include "cache/hold.h"
#include "runtime/base/mem.h"
#include "tests/support/care_cache.h"
#include "tests/support/check.h"

/* Cheap before dear, unused before used, large before small; nobody's first. */
static void the_least_worth_goes_first(void **state) {
    (void)state;
    struct us_store *store = care_open("order");
    struct us_digest dear = care_put(store, "train", 0, SIZE, 3600);
    struct us_digest cheap = care_put(store, "blur", 1, SIZE, 0.5);
    struct us_digest fresh = care_put(store, "blur", 2, SIZE, 0.5);
    struct us_digest nobodys = care_put(store, "stray", 3, 4 * SIZE, -1);
    struct us_digest small = care_put(store, "blur", 4, SIZE / 4, 0.5);
    us_cache_close(store);
    care_age(&dear, 20 * DAY);
    care_age(&cheap, 10 * DAY);
    care_age(&fresh, 60);
    care_age(&nobodys, 2 * DAY);
    care_age(&small, 10 * DAY);
    store = care_open("order");
    const struct us_digest *order[] = {&nobodys, &cheap, &small, &dear, &fresh};
    struct us_gc_report report = care_collect(store, 0, 0, true);
    uint64_t all = report.before;
    assert_int_equal(report.objects.files, 1);
    us_gc_report_finish(&report);
    uint64_t sizes[] = {4 * SIZE, SIZE, SIZE / 4};
    uint64_t left = all;
    for (int i = 0; i < 3; i++) {
        assert_true(care_is_there(order[i]));
        report = care_collect(store, left - 1, 0, false);
        assert_true(report.met);
        us_gc_report_finish(&report);
        left -= sizes[i];
        for (int k = 0; k < 5; k++) {
            if (care_is_there(order[k]) != (k > i)) {
                fail_msg("round %d: object %d", i, k);
            }
        }
    }
    us_cache_close(store);
}

static uint64_t bytes_on_disk(struct us_store *store) {
    struct us_cache_stats stats;
    ASSERT_OK(us_cache_stats(store, &stats));
    uint64_t bytes = stats.records.bytes + stats.inlined.bytes + stats.attempts.bytes;
    for (int i = 0; i < US_CACHE_KINDS; i++) {
        bytes += stats.objects[i].bytes;
    }
    return bytes;
}

static void a_budget_is_kept_and_told_before(void **state) {
    (void)state;
    struct us_store *store = care_open("budget");
    care_fill(store, 200);
    us_cache_close(store);
    store = care_open("budget");
    uint64_t budget = 100 * SIZE;
    struct us_gc_report said = care_collect(store, budget, 0, true), done;
    assert_int_equal(care_files_in("trash"), 0);
    assert_true(bytes_on_disk(store) > 200 * SIZE);
    done = care_collect(store, budget, 0, false);
    assert_int_equal(said.objects.files, done.objects.files);
    assert_int_equal(said.objects.bytes, done.objects.bytes);
    assert_int_equal(said.records.files, done.records.files);
    assert_int_equal(said.before, done.before);
    assert_int_equal(said.after, done.after);
    assert_int_equal(said.type_count, 1);
    assert_string_equal(done.types[0].type, "grade");
    assert_int_equal(done.types[0].freed.bytes, done.objects.bytes);
    uint64_t bytes = bytes_on_disk(store);
    assert_int_equal(bytes, done.after);
    assert_true(bytes <= budget && bytes >= 0.85 * (double)budget);
    assert_int_equal(care_files_in("trash"), 0);
    assert_int_equal(200 - (int)done.objects.files, care_markers());
    us_gc_report_finish(&said);
    us_gc_report_finish(&done);
    struct us_cache_check check;
    ASSERT_OK(us_cache_verify(store, &check));
    assert_int_equal(check.damaged + check.orphans, 0);
    done = care_collect(store, budget, 0, false);
    assert_int_equal(done.objects.files, 0);
    us_gc_report_finish(&done);
    us_cache_close(store);
}

/* The log then looks as if its living process had more to write. */
static void damage_end_of_log(void) {
    char folder[600], path[1200] = "";
    snprintf(folder, sizeof folder, "%s/records", care_folder);
    DIR *at = opendir(folder);
    for (struct dirent *entry; (entry = readdir(at));) {
        if (strstr(entry->d_name, ".log")) {
            snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        }
    }
    closedir(at);
    int fd = open(path, O_RDWR);
    const off_t last = lseek(fd, 0, SEEK_END) - 1;
    uint8_t byte;
    assert_int_equal(pread(fd, &byte, 1, last), 1);
    byte ^= 1;
    assert_int_equal(pwrite(fd, &byte, 1, last), 1);
    close(fd);
}

static void where_small_objects_cannot_go_records_do(void **state) {
    (void)state;
    struct us_store *store = care_open("stuck");
    care_put(store, "small", 0, 1000, 1);
    us_cache_close(store);
    damage_end_of_log();
    store = care_open("stuck");
    for (int i = 0; i < 40; i++) {
        const struct us_record_note note = {.type = "lost", .show = "show", .seconds = 1};
        const struct us_digest key = care_digest("lost", i);
        bool won;
        ASSERT_OK(store->ops->put_record(store, &key, &note, "gone", 4, &won));
    }
    us_cache_close(store);
    usleep(1100000); /* ages are whole seconds */
    store = care_open("stuck");
    struct us_gc_report said = care_collect(store, 0, 0, true);
    struct us_gc_report done = care_collect(store, said.before - 500, 0, false);
    assert_true(done.met);
    assert_true(done.after <= said.before - 500);
    assert_int_equal(done.objects.files, 0);
    assert_true(done.records.files > 0);
    const uint64_t after = done.after;
    us_gc_report_finish(&done);
    done = care_collect(store, 0, 0, true);
    assert_int_equal(done.before, after); /* as much went as was said */
    const struct us_digest small = care_digest("small", 0);
    assert_true(store->ops->has_object(store, &small));
    us_gc_report_finish(&said);
    us_gc_report_finish(&done);
    us_cache_close(store);
}

static void what_was_used_lately_stays(void **state) {
    (void)state;
    struct us_store *store = care_open("keep");
    care_fill(store, 50);
    us_cache_close(store);
    store = care_open("keep");
    struct us_gc_report report = care_collect(store, 1, 24 * 3600, false);
    assert_int_equal(report.young.files, 24);
    assert_int_equal(report.objects.files, 26);
    assert_false(report.met);
    us_gc_report_finish(&report);
    us_cache_close(store);
}

static void pinned_objects_and_records_stay(void **state) {
    (void)state;
    struct us_store *store = care_open("pins");
    care_fill(store, 40);
    struct us_digest pinned[11], key = care_digest("no such key", 0);
    for (int i = 0; i < 10; i++) {
        pinned[i] = care_digest("grade", 4 * i);
    }
    pinned[10] = care_digest("never made", 0);
    struct us_pin_list list = {pinned, &key, 11, 1, "shot.yaml comp"};
    size_t missing;
    ASSERT_ERROR(us_cache_pin(store, "../x", &list, &missing), "cannot be called");
    ASSERT_ERROR(us_cache_pin(store, "", &list, &missing), "cannot be called");
    ASSERT_OK(us_cache_pin(store, "delivery", &list, &missing));
    assert_int_equal(missing, 1);
    us_cache_close(store);
    for (int i = 0; i < 40; i++) {
        struct us_digest digest = care_digest("grade", i);
        care_age(&digest, 100 * DAY);
    }
    store = care_open("pins");
    struct us_gc_report report = care_collect(store, 1, 0, false);
    assert_int_equal(report.pinned.files, 10);
    assert_int_equal(report.objects.files, 30);
    us_gc_report_finish(&report);
    for (int i = 0; i < 40; i++) {
        struct us_digest digest = care_digest("grade", i);
        assert_int_equal(care_is_there(&digest), i % 4 == 0);
    }
    struct us_pin *pins;
    size_t count;
    ASSERT_OK(us_cache_pins(store, &pins, &count));
    assert_int_equal(count, 1);
    assert_string_equal(pins[0].name, "delivery");
    assert_string_equal(pins[0].title, "shot.yaml comp");
    assert_int_equal(pins[0].object_count, 11);
    assert_int_equal(pins[0].key_count, 1);
    assert_int_equal(pins[0].missing, 1);
    assert_int_equal(pins[0].bytes, 10 * SIZE);
    us_pins_finish(pins, count);
    ASSERT_OK(us_cache_unpin(store, "delivery"));
    ASSERT_ERROR(us_cache_unpin(store, "delivery"), "no pin 'delivery'");
    report = care_collect(store, 1, 0, false);
    assert_int_equal(report.objects.files, 10);
    us_gc_report_finish(&report);
    us_cache_close(store);
}

/* A gc that cannot read what is pinned removes nothing. */
static void a_damaged_pin_stops_a_gc(void **state) {
    (void)state;
    struct us_store *store = care_open("bad pin");
    care_fill(store, 5);
    struct us_digest pinned = care_digest("grade", 1);
    size_t missing;
    ASSERT_OK(us_cache_pin(store, "p", &(struct us_pin_list){.objects = &pinned, .object_count = 1},
                           &missing));
    char path[1024];
    snprintf(path, sizeof path, "%s/pins/p", care_folder);
    for (off_t at = 0; at < 90; at += 7) {
        assert_int_equal(chmod(path, 0640), 0);
        int fd = open(path, O_RDWR);
        uint8_t byte;
        assert_int_equal(pread(fd, &byte, 1, at), 1);
        byte ^= 1;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        struct us_gc_report report;
        ASSERT_ERROR(us_cache_gc(store, &(struct us_gc_options){.max_bytes = 1}, &report),
                     "is damaged");
        byte ^= 1;
        assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        close(fd);
    }
    assert_int_equal(care_markers(), 5);
    assert_int_equal(care_files_in("live"), 1); /* this store: no gc is left announced */
    us_cache_close(store);
}

static void attempts_are_results_too(void **state) {
    (void)state;
    struct us_store *store = care_open("attempts");
    const int days[] = {40, 2, 0};
    char *paths[3];
    for (int i = 0; i < 3; i++) {
        struct us_digest key = care_digest("attempt", i);
        ASSERT_OK(store->ops->workspace(store, &key, &paths[i]));
        char file[1024];
        snprintf(file, sizeof file, "%s/checkpoint", paths[i]);
        int fd = open(file, O_WRONLY | O_CREAT, 0600);
        assert_int_equal(ftruncate(fd, 100000), 0);
        close(fd);
        struct timespec times[2];
        clock_gettime(CLOCK_REALTIME, &times[0]);
        times[0].tv_sec -= days[i] * DAY;
        times[1] = times[0];
        assert_int_equal(utimensat(AT_FDCWD, file, times, 0), 0);
        assert_int_equal(utimensat(AT_FDCWD, paths[i], times, 0), 0);
    }
    us_cache_close(store);
    care_next_tick();
    store = care_open("attempts");
    struct us_gc_report report = care_collect(store, 0, 0, false);
    assert_int_equal(report.before, 300000);
    assert_int_equal(report.attempts.files, 1);
    assert_int_equal(report.attempts.bytes, 100000);
    us_gc_report_finish(&report);
    assert_int_not_equal(access(paths[0], F_OK), 0);
    /* A run that works in an old one keeps it. */
    struct us_store *run = care_open("attempts");
    struct us_digest key = care_digest("attempt", 1);
    char *same;
    ASSERT_OK(run->ops->workspace(run, &key, &same));
    assert_string_equal(same, paths[1]);
    us_free(same);
    report = care_collect(store, 1, 0, false);
    assert_int_equal(report.attempts.files, 0);
    us_gc_report_finish(&report);
    us_cache_close(run);
    care_next_tick();
    report = care_collect(store, 1, 0, false);
    assert_int_equal(report.attempts.files, 2);
    us_gc_report_finish(&report);
    assert_int_equal(care_files_in("attempts"), 0);
    us_cache_close(store);
    for (int i = 0; i < 3; i++) {
        us_free(paths[i]);
    }
}

int main(void) {
    us_test_folder(); /* before anybody forks */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_least_worth_goes_first),
        cmocka_unit_test(a_budget_is_kept_and_told_before),
        cmocka_unit_test(where_small_objects_cannot_go_records_do),
        cmocka_unit_test(what_was_used_lately_stays),
        cmocka_unit_test(pinned_objects_and_records_stay),
        cmocka_unit_test(a_damaged_pin_stops_a_gc),
        cmocka_unit_test(attempts_are_results_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
