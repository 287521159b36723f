/* Runs, gc, verify and flipped bits in a loop, in one process: nothing grows, nothing promised is
 * lost, results are the same as the first time. 20 seconds; MINUTES=60 for long, with a line a
 * minute. */
#include <dirent.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cache/care.h"
#include "cache/live.h"
#include "nodes/registry.h"
#include "runtime/api/run.h"
#include "runtime/base/mem.h"
#include "runtime/base/str.h"
#include "tests/support/check.h"
#include "tests/support/toy_nodes.h"

enum { LEVELS = 100, GAINS = 20, FRAMES = 8, LIMIT = 2 << 20, PINNED = 0 };

static struct us_registry registry;
static char cache_folder[600], graph_file[600];
static unsigned seed = 1;
static char last_flip[2200];
static int flips, runs, collected;
static atomic_int damages; /* told by any thread */
static struct us_digest results[LEVELS][GAINS], pinned[FRAMES];

static unsigned draw(unsigned below) {
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed % below;
}

static void count_damage(void *context, const struct us_event *event) {
    (void)context;
    damages += event->kind == US_EVENT_WARNING;
}

static void count_warning(void *context, const char *message) {
    (void)context;
    (void)message;
    damages++;
}

static void write_graph(unsigned level, unsigned gain) {
    FILE *file = fopen(graph_file, "w");
    assert_non_null(file);
    fprintf(file,
            "understudy: 1\nshow: soak\nnodes:\n"
            "  image: {type: toy_image, size: 64, level: %u, frames: 1-%d, cache: keep}\n"
            "  grade: {type: toy_grade, image: image, gain: %u, cache: keep}\n"
            "outputs: [grade]\n",
            level + 1, FRAMES, gain + 1);
    fclose(file);
}

static struct us_digest results_of(struct us_run *run, struct us_digest *each) {
    struct us_hasher *hasher = us_hasher_create();
    for (size_t i = 0, n = 0; i < us_run_plan_count(run); i++) {
        struct us_plan_result result = us_run_plan_result(run, i);
        if (strcmp(us_run_plan_entry(run, i).node->name, "grade") == 0) {
            us_hasher_digest(hasher, &result.objects[0]);
            if (each) {
                each[n++] = result.objects[0];
            }
        }
    }
    struct us_digest digest = us_hasher_finish(hasher);
    us_hasher_destroy(hasher);
    return digest;
}

/* A run as the program does it; its results are those of the first time. */
static void run_once(unsigned level, unsigned gain, struct us_digest *each) {
    struct us_store *store;
    struct us_graph *graph;
    struct us_run *run;
    struct us_summary summary;
    write_graph(level, gain);
    ASSERT_OK(us_cache_open(cache_folder, &store));
    ASSERT_OK(us_graph_load(&registry, graph_file, NULL, 0, &graph));
    const struct us_run_options options = {.threads = 2, .event = count_damage};
    ASSERT_OK(us_run_create(graph, store, &options, &run));
    ASSERT_OK(us_run_execute(run, &summary));
    assert_int_equal(summary.failed + summary.skipped, 0);
    struct us_digest digest = results_of(run, each), *first = &results[level][gain];
    if (us_digest_is_zero(first)) {
        *first = digest;
    }
    assert_true(us_digest_equal(first, &digest));
    us_run_destroy(run);
    us_graph_destroy(graph);
    us_cache_close(store);
    runs++;
}

static void pin_first(void) {
    struct us_store *store;
    size_t missing;
    run_once(PINNED, PINNED, pinned);
    ASSERT_OK(us_cache_open(cache_folder, &store));
    const struct us_pin_list list = {.objects = pinned, .object_count = FRAMES, .title = "soak"};
    ASSERT_OK(us_cache_pin(store, "soak", &list, &missing));
    assert_int_equal(missing, 0);
    us_cache_close(store);
}

static void collect(void) {
    struct us_store *store;
    struct us_gc_report report;
    struct us_pin *pins;
    size_t count;
    ASSERT_OK(us_cache_open(cache_folder, &store));
    store->warn = count_warning;
    ASSERT_OK(us_cache_gc(store, &(struct us_gc_options){.max_bytes = LIMIT}, &report));
    if (!report.met || (double)report.after > 1.05 * LIMIT) {
        fail_msg("%llu bytes after a gc of %llu to %d: %llu rescued, %llu objects freed, %llu B "
                 "pinned, %llu B in use, busy %d",
                 (unsigned long long)report.after, (unsigned long long)report.before, LIMIT,
                 (unsigned long long)report.rescued, (unsigned long long)report.objects.files,
                 (unsigned long long)report.pinned.bytes, (unsigned long long)report.in_use.bytes,
                 report.busy);
    }
    collected += report.objects.files > 0;
    us_gc_report_finish(&report);
    ASSERT_OK(us_cache_pins(store, &pins, &count));
    assert_int_equal(count, 1);
    assert_int_equal(pins[0].missing, 0);
    us_pins_finish(pins, count);
    us_cache_close(store);
}

static bool is_pinned(const char *name) {
    struct us_digest digest;
    bool found = false;
    for (int i = 0; i < FRAMES && us_digest_parse(name, &digest); i++) {
        found |= us_digest_equal(&digest, &pinned[i]);
    }
    return found;
}

/* A bit of some file of a folder; of objects, of one that was not hurt before. */
static bool flip_in(const char *folder, bool objects) {
    DIR *at = opendir(folder);
    char path[2048];
    bool flipped = false;
    for (struct dirent *entry; at && !flipped && (entry = readdir(at));) {
        struct stat info;
        snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
        if (entry->d_name[0] == '.' || is_pinned(entry->d_name) || stat(path, &info) != 0 ||
            !S_ISREG(info.st_mode) || info.st_size < 100 || (objects && info.st_mode & 0200) ||
            draw(2)) {
            continue;
        }
        off_t where = (off_t)draw((unsigned)info.st_size);
        uint8_t byte;
        chmod(path, 0640);
        int fd = open(path, O_RDWR);
        flipped = fd >= 0 && pread(fd, &byte, 1, where) == 1;
        byte ^= (uint8_t)(1u << draw(8));
        flipped = flipped && pwrite(fd, &byte, 1, where) == 1;
        close(fd);
        snprintf(last_flip, sizeof last_flip, "%s at %ld of %ld", path, (long)where,
                 (long)info.st_size);
    }
    if (at) {
        closedir(at);
    }
    return flipped;
}

static void flip_and_verify(void) {
    char folder[700];
    int hurt = 0;
    for (int i = 0; i < 40 && hurt < 2; i++) {
        snprintf(folder, sizeof folder, "%s/objects/%02x", cache_folder, draw(256));
        hurt += flip_in(folder, true);
    }
    snprintf(folder, sizeof folder, "%s/records", cache_folder);
    /* The end of a log whose process lives may be on its way: told later. */
    flips += hurt + flip_in(folder, false);
    struct us_store *store;
    struct us_cache_check check;
    int before = damages;
    ASSERT_OK(us_cache_open(cache_folder, &store));
    store->warn = count_warning;
    ASSERT_OK(us_cache_verify(store, &check));
    assert_int_equal((int)check.damaged, damages - before);
    if ((int)check.damaged < hurt) {
        fail_msg("%d of %d flips found, the last in %s", (int)check.damaged, hurt, last_flip);
    }
    ASSERT_OK(us_cache_verify(store, &check));
    assert_int_equal((int)check.damaged, 0);
    us_cache_close(store);
}

static long status_kib(const char *name) {
    char line[256];
    long value = 0;
    FILE *file = fopen("/proc/self/status", "re");
    assert_non_null(file);
    while (fgets(line, sizeof line, file)) {
        if (us_str_starts(line, name)) {
            value = strtol(line + strlen(name) + 1, NULL, 10);
        }
    }
    fclose(file);
    return value;
}

static int descriptors(void) {
    DIR *folder = opendir("/proc/self/fd");
    int count = 0;
    while (readdir(folder)) {
        count++;
    }
    closedir(folder);
    return count;
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void say(double minutes, long anon, int fds) {
    print_message(
        "%5.1f min: %d runs, %d collections, %d flips, %d told, %ld KiB (%ld anonymous, %zu in "
        "use), %d descriptors\n",
        minutes, runs, collected, flips, damages, status_kib("VmRSS"), anon,
        mallinfo2().uordblks / 1024, fds);
}

static void nothing_grows_and_nothing_is_lost(void **state) {
    (void)state;
    const char *asked = getenv("MINUTES");
    double seconds = asked ? 60 * strtod(asked, NULL) : 20, begun = now(), told = begun;
    long most[4] = {0}; /* of anonymous memory, in each quarter of the time: it swings */
    size_t used = 0;
    int fds = 0;
    pin_first();
    while (now() - begun < seconds) {
        run_once(draw(LEVELS), draw(GAINS), NULL);
        if (draw(4) == 0) {
            collect();
        }
        if (draw(10) == 0) {
            flip_and_verify();
        }
        int quarter = (int)(4 * (now() - begun) / seconds);
        long anon = status_kib("RssAnon");
        if (quarter < 4 && anon > most[quarter]) {
            most[quarter] = anon;
        }
        if (!used && quarter == 1) {
            used = mallinfo2().uordblks;
            fds = descriptors();
        }
        if (now() - told > 60) {
            told = now();
            say((told - begun) / 60, anon, descriptors());
        }
    }
    say((now() - begun) / 60, status_kib("RssAnon"), descriptors());
    collect();
    assert_true(runs > 10 && collected > 0 && flips > 0);
    assert_int_equal(descriptors(), fds);
    assert_true(used == 0 || mallinfo2().uordblks <= used + used / 100);
    if (seconds >= 240) { /* before, the heap is still finding its size */
        assert_true(most[3] - most[1] <= most[1] / 100);
    }
}

/* One arena without caches of threads: what is in use is what was asked for. */
static void plain_malloc(char **argv) {
    if (!getenv("GLIBC_TUNABLES")) {
        setenv("GLIBC_TUNABLES", "glibc.malloc.tcache_count=0:glibc.malloc.arena_max=1", 1);
        execv("/proc/self/exe", argv);
    }
}

int main(int argc, char **argv) {
    (void)argc;
    plain_malloc(argv);
    registry = us_toys;
    registry.codec = us_nodes.codec;
    snprintf(cache_folder, sizeof cache_folder, "%s/cache", us_test_folder());
    snprintf(graph_file, sizeof graph_file, "%s/soak.yaml", us_test_folder());
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_grows_and_nothing_is_lost)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
