#include <dirent.h>
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
#include "cache/care.h"
#include "cache/gc_remove.h"
#include "cache/hold.h"
#include "runtime/base/mem.h"
#include "runtime/base/str.h"
#include "tests/support/check.h"

enum { SIZE = 20000, DAY = 24 * 3600 };

static char folder[512];

static struct us_store *open_store(const char *name) {
    snprintf(folder, sizeof folder, "%s/%s", us_test_folder(), name);
    struct us_store *store;
    ASSERT_OK(us_cache_open(folder, &store));
    return store;
}

static struct us_digest nth(const char *kind, int n) {
    char name[64];
    snprintf(name, sizeof name, "%s %d", kind, n);
    return us_digest_of(name, strlen(name));
}

/* An object whose digest is not its bytes' checksum (so it has a marker), with a record of
 * `seconds` seconds of work, or none below 0. */
static struct us_error *try_put(struct us_store *store, const char *type, int n, size_t size,
                                double seconds) {
    struct us_digest digest = nth(type, n);
    uint8_t *bytes = us_malloc(size);
    for (size_t i = 0; i < size; i++) {
        bytes[i] = (uint8_t)((size_t)n * 31 + i);
    }
    struct us_error *error = store->ops->put_object(store, &digest, bytes, size);
    us_free(bytes);
    if (!error && seconds >= 0) {
        uint64_t sizes[1] = {size};
        struct us_record_note note = {type, "show", seconds, &digest, sizes, 1};
        char text[64];
        snprintf(text, sizeof text, "record of %s %d", type, n);
        struct us_digest of = us_digest_of(text, strlen(text));
        bool won;
        error = store->ops->put_record(store, &of, &note, text, strlen(text), &won);
    }
    return error;
}

static struct us_digest put(struct us_store *store, const char *type, int n, size_t size,
                            double seconds) {
    ASSERT_OK(try_put(store, type, n, size, seconds));
    return nth(type, n);
}

static void object_path(const struct us_digest *digest, char path[1024]) {
    char hex[US_DIGEST_HEX];
    us_digest_hex(digest, hex);
    snprintf(path, 1024, "%s/objects/%.2s/%s", folder, hex, hex);
}

static bool is_there(const struct us_digest *digest) {
    char path[1024];
    object_path(digest, path);
    return access(path, F_OK) == 0;
}

static void age(const struct us_digest *digest, double seconds) {
    char path[1024];
    object_path(digest, path);
    struct timespec times[2];
    clock_gettime(CLOCK_REALTIME, &times[0]);
    times[0].tv_sec -= (time_t)seconds;
    times[1] = times[0];
    assert_int_equal(utimensat(AT_FDCWD, path, times, 0), 0);
}

static int files_in(const char *room) {
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, room);
    DIR *at = opendir(path);
    assert_non_null(at);
    int count = 0;
    for (struct dirent *entry; (entry = readdir(at));) {
        count += entry->d_name[0] != '.';
    }
    closedir(at);
    return count;
}

static int markers(void) {
    int count = 0;
    for (int i = 0; i < 256; i++) {
        char path[1024];
        snprintf(path, sizeof path, "%s/objects/%02x", folder, i);
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

static struct us_gc_report collect(struct us_store *store, uint64_t max_bytes, double keep,
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

/* Cheap before dear, unused before used, large before small; nobody's first. */
static void the_least_worth_goes_first(void **state) {
    (void)state;
    struct us_store *store = open_store("order");
    struct us_digest dear = put(store, "train", 0, SIZE, 3600);
    struct us_digest cheap = put(store, "blur", 1, SIZE, 0.5);
    struct us_digest fresh = put(store, "blur", 2, SIZE, 0.5);
    struct us_digest nobodys = put(store, "stray", 3, 4 * SIZE, -1);
    struct us_digest small = put(store, "blur", 4, SIZE / 4, 0.5);
    us_cache_close(store);
    age(&dear, 20 * DAY);
    age(&cheap, 10 * DAY);
    age(&fresh, 60);
    age(&nobodys, 2 * DAY);
    age(&small, 10 * DAY);
    store = open_store("order");
    const struct us_digest *order[] = {&nobodys, &cheap, &small, &dear, &fresh};
    struct us_gc_report report = collect(store, 0, 0, true);
    uint64_t all = report.before;
    assert_int_equal(report.objects.files, 1);
    us_gc_report_finish(&report);
    uint64_t sizes[] = {4 * SIZE, SIZE, SIZE / 4};
    uint64_t left = all;
    for (int i = 0; i < 3; i++) {
        assert_true(is_there(order[i]));
        report = collect(store, left - 1, 0, false);
        assert_true(report.met);
        us_gc_report_finish(&report);
        left -= sizes[i];
        for (int k = 0; k < 5; k++) {
            if (is_there(order[k]) != (k > i)) {
                fail_msg("round %d: object %d", i, k);
            }
        }
    }
    us_cache_close(store);
}

static void fill(struct us_store *store, int count) {
    for (int i = 0; i < count; i++) {
        struct us_digest digest = put(store, "grade", i, SIZE, 1 + i % 7);
        age(&digest, (1 + i % 50) * 3600.0);
    }
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
    struct us_store *store = open_store("budget");
    fill(store, 200);
    us_cache_close(store);
    store = open_store("budget");
    uint64_t budget = 100 * SIZE;
    struct us_gc_report said = collect(store, budget, 0, true), done;
    assert_int_equal(files_in("trash"), 0);
    assert_true(bytes_on_disk(store) > 200 * SIZE);
    done = collect(store, budget, 0, false);
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
    assert_int_equal(files_in("trash"), 0);
    assert_int_equal(200 - (int)done.objects.files, markers());
    us_gc_report_finish(&said);
    us_gc_report_finish(&done);
    struct us_cache_check check;
    ASSERT_OK(us_cache_verify(store, &check));
    assert_int_equal(check.damaged + check.orphans, 0);
    done = collect(store, budget, 0, false);
    assert_int_equal(done.objects.files, 0);
    us_gc_report_finish(&done);
    us_cache_close(store);
}

static void what_was_used_lately_stays(void **state) {
    (void)state;
    struct us_store *store = open_store("keep");
    fill(store, 50);
    us_cache_close(store);
    store = open_store("keep");
    struct us_gc_report report = collect(store, 1, 24 * 3600, false);
    assert_int_equal(report.young.files, 24);
    assert_int_equal(report.objects.files, 26);
    assert_false(report.met);
    us_gc_report_finish(&report);
    us_cache_close(store);
}

static void pinned_objects_and_records_stay(void **state) {
    (void)state;
    struct us_store *store = open_store("pins");
    fill(store, 40);
    struct us_digest pinned[11], key = nth("no such key", 0);
    for (int i = 0; i < 10; i++) {
        pinned[i] = nth("grade", 4 * i);
    }
    pinned[10] = nth("never made", 0);
    struct us_pin_list list = {pinned, &key, 11, 1, "shot.yaml comp"};
    size_t missing;
    ASSERT_ERROR(us_cache_pin(store, "../x", &list, &missing), "cannot be called");
    ASSERT_ERROR(us_cache_pin(store, "", &list, &missing), "cannot be called");
    ASSERT_OK(us_cache_pin(store, "delivery", &list, &missing));
    assert_int_equal(missing, 1);
    us_cache_close(store);
    for (int i = 0; i < 40; i++) {
        struct us_digest digest = nth("grade", i);
        age(&digest, 100 * DAY);
    }
    store = open_store("pins");
    struct us_gc_report report = collect(store, 1, 0, false);
    assert_int_equal(report.pinned.files, 10);
    assert_int_equal(report.objects.files, 30);
    us_gc_report_finish(&report);
    for (int i = 0; i < 40; i++) {
        struct us_digest digest = nth("grade", i);
        assert_int_equal(is_there(&digest), i % 4 == 0);
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
    report = collect(store, 1, 0, false);
    assert_int_equal(report.objects.files, 10);
    us_gc_report_finish(&report);
    us_cache_close(store);
}

/* A gc that cannot read what is pinned removes nothing. */
static void a_damaged_pin_stops_a_gc(void **state) {
    (void)state;
    struct us_store *store = open_store("bad pin");
    fill(store, 5);
    struct us_digest pinned = nth("grade", 1);
    size_t missing;
    ASSERT_OK(us_cache_pin(store, "p", &(struct us_pin_list){.objects = &pinned, .object_count = 1},
                           &missing));
    char path[1024];
    snprintf(path, sizeof path, "%s/pins/p", folder);
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
    assert_int_equal(markers(), 5);
    assert_int_equal(files_in("live"), 1); /* this store: no gc is left announced */
    us_cache_close(store);
}

/* What a living store was told about, read or wrote stays; when it is closed, it goes. */
static void a_living_run_keeps_what_it_uses(void **state) {
    (void)state;
    struct us_store *store = open_store("live");
    fill(store, 20);
    us_cache_close(store);
    for (int i = 0; i < 20; i++) {
        struct us_digest digest = nth("grade", i);
        age(&digest, i < 10 ? 100 * DAY : 1800);
    }
    struct us_store *run = open_store("live");
    struct us_digest told = nth("grade", 3), read = nth("grade", 4), put_again = nth("grade", 5),
                     recent = nth("grade", 15);
    assert_true(run->ops->has_object(run, &told));
    assert_true(run->ops->has_object(run, &recent));
    uint8_t *bytes;
    size_t size;
    ASSERT_OK(run->ops->get_object(run, &read, &bytes, &size));
    us_free(bytes);
    put(run, "grade", 5, SIZE, 1);
    store = open_store("live");
    struct us_gc_report report = collect(store, 1, 0, false);
    assert_int_equal(report.runs, 1);
    assert_int_equal(report.in_use.files, 13); /* and stamps of the hour before it began */
    us_gc_report_finish(&report);
    assert_true(is_there(&told) && is_there(&read) && is_there(&put_again) && is_there(&recent));
    us_cache_close(run);
    report = collect(store, 1, 0, false);
    assert_int_equal(report.runs, 0);
    assert_int_equal(report.objects.files, 13);
    us_gc_report_finish(&report);
    us_cache_close(store);
}

/* Stamps of the tick in which a gc begins count as in use. */
static void next_tick(void) {
    nanosleep(&(struct timespec){0, 20000000}, NULL);
}

/* A process that was killed protects nothing. */
static void the_dead_keep_nothing(void **state) {
    (void)state;
    struct us_store *store = open_store("dead");
    fill(store, 3);
    us_cache_close(store);
    pid_t child = fork();
    if (child == 0) {
        struct us_store *run = open_store("dead");
        struct us_digest digest = nth("grade", 0);
        run->ops->has_object(run, &digest);
        raise(SIGKILL);
    }
    int status;
    waitpid(child, &status, 0);
    assert_int_equal(files_in("live"), 1);
    next_tick();
    store = open_store("dead");
    struct us_gc_report report = collect(store, 1, 0, false);
    assert_int_equal(report.runs, 0);
    assert_int_equal(report.objects.files, 3);
    us_gc_report_finish(&report);
    assert_int_equal(files_in("live"), 0);
    us_cache_close(store);
}

/* A store that opens while a gc is announced renews every stamp: the gc may not know of it. */
static void a_run_that_begins_beside_a_gc_is_seen_by_its_stamps(void **state) {
    (void)state;
    struct us_store *store = open_store("beside");
    fill(store, 2);
    us_cache_close(store);
    struct us_digest used = nth("grade", 0), unused = nth("grade", 1);
    age(&used, 60);
    age(&unused, 60);
    store = open_store("beside");
    struct us_gc_watch watch;
    ASSERT_OK(us_live_look(us_cache_of(store), false, &watch));
    struct us_store *run = open_store("beside");
    assert_true(run->ops->has_object(run, &used));
    char path[2][1024];
    object_path(&used, path[0]);
    object_path(&unused, path[1]);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(us_trash_move(us_cache_of(store), path[i]), US_TAKEN);
        assert_int_equal(us_trash_empty(us_cache_of(store), path[i], watch.begun),
                         i ? US_TAKEN : US_TAKEN_IN_USE);
    }
    assert_true(is_there(&used));
    assert_false(is_there(&unused));
    us_live_leave(&watch);
    us_cache_close(run);
    us_cache_close(store);
}

/* Whoever looks for what lies in the trash takes it back. */
static void what_lies_in_the_trash_is_taken_back(void **state) {
    (void)state;
    struct us_store *store = open_store("trash");
    fill(store, 1);
    struct us_digest digest = nth("grade", 0);
    char path[1024];
    object_path(&digest, path);
    assert_int_equal(us_trash_move(us_cache_of(store), path), US_TAKEN);
    assert_false(is_there(&digest));
    assert_true(store->ops->has_object(store, &digest));
    assert_true(is_there(&digest));
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
        if (!fine(us_cache_open(folder, &run))) {
            break;
        }
        struct us_digest told[40];
        unsigned count = 0;
        for (int i = 0; i < 40; i++) {
            int n = (int)(draw(&seed) % HAMMERED);
            struct us_digest digest = nth("grade", n);
            bool there = run->ops->has_object(run, &digest);
            if (!there && draw(&seed) % 16 == 0) {
                there = fine(try_put(run, "grade", n, SIZE, 1));
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
    us_cache_close(open_store("hammer"));
    us_stamp_seconds = 0.01;
    us_stamp_slack = 0;
    atomic_store(&hammering, true);
    pthread_t threads[HAMMERS];
    for (uintptr_t i = 0; i < HAMMERS; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, hammer, (void *)(i + 1)), 0);
    }
    uint64_t removed = 0, rescued = 0;
    for (int i = 0; i < ROUNDS && (removed < 100 || rescued < 100 || promises < 1000); i++) {
        struct us_store *store = open_store("hammer");
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
    assert_int_equal(files_in("trash"), 0);
}

/* Killed at any moment: what is pinned is there, all that is there is whole, the next one ends the
 * work. */
static void a_killed_gc_leaves_nothing_wrong(void **state) {
    (void)state;
    enum { OBJECTS = 120, KILLS = 12 };
    struct us_store *store = open_store("killed");
    fill(store, OBJECTS);
    struct us_digest pinned = nth("grade", 7);
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
            store = open_store("killed");
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
        store = open_store("killed");
        struct us_cache_check check;
        ASSERT_OK(us_cache_verify(store, &check));
        assert_int_equal(check.damaged, 0);
        assert_true(is_there(&pinned));
        us_cache_close(store);
    }
    us_cache_beat_seconds = 0.3;
    assert_true(killed > 0);
    next_tick();
    store = open_store("killed");
    struct us_gc_report report = collect(store, 1, 0, false);
    us_gc_report_finish(&report);
    assert_int_equal(markers(), 1);
    assert_int_equal(files_in("trash"), 0);
    assert_int_equal(files_in("live"), 0);
    assert_int_equal(files_in("tmp"), 0);
    us_cache_close(store);
    us_cache_beat_seconds = 5;
}

static void attempts_are_results_too(void **state) {
    (void)state;
    struct us_store *store = open_store("attempts");
    const int days[] = {40, 2, 0};
    char *paths[3];
    for (int i = 0; i < 3; i++) {
        struct us_digest key = nth("attempt", i);
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
    next_tick();
    store = open_store("attempts");
    struct us_gc_report report = collect(store, 0, 0, false);
    assert_int_equal(report.before, 300000);
    assert_int_equal(report.attempts.files, 1);
    assert_int_equal(report.attempts.bytes, 100000);
    us_gc_report_finish(&report);
    assert_int_not_equal(access(paths[0], F_OK), 0);
    /* A run that works in an old one keeps it. */
    struct us_store *run = open_store("attempts");
    struct us_digest key = nth("attempt", 1);
    char *same;
    ASSERT_OK(run->ops->workspace(run, &key, &same));
    assert_string_equal(same, paths[1]);
    us_free(same);
    report = collect(store, 1, 0, false);
    assert_int_equal(report.attempts.files, 0);
    us_gc_report_finish(&report);
    us_cache_close(run);
    next_tick();
    report = collect(store, 1, 0, false);
    assert_int_equal(report.attempts.files, 2);
    us_gc_report_finish(&report);
    assert_int_equal(files_in("attempts"), 0);
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
        cmocka_unit_test(what_was_used_lately_stays),
        cmocka_unit_test(pinned_objects_and_records_stay),
        cmocka_unit_test(a_damaged_pin_stops_a_gc),
        cmocka_unit_test(a_living_run_keeps_what_it_uses),
        cmocka_unit_test(the_dead_keep_nothing),
        cmocka_unit_test(a_run_that_begins_beside_a_gc_is_seen_by_its_stamps),
        cmocka_unit_test(what_lies_in_the_trash_is_taken_back),
        cmocka_unit_test(nothing_promised_vanishes),
        cmocka_unit_test(a_killed_gc_leaves_nothing_wrong),
        cmocka_unit_test(attempts_are_results_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
