/* What records and leases cost: bench_records [FOLDER] [RECORDS]. Prints microseconds of CPU and of
 * the clock for each put, hit, miss, lease with release, and milliseconds for the first look-up in
 * a cache with that many records in packs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "cache/cache.h"
#include "cache/records.h"

enum { COUNT = 20000 };

static double seconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void must(struct us_error *error) {
    if (error) {
        fprintf(stderr, "bench_records: %s\n", error->text);
        exit(1);
    }
}

static struct us_digest nth(uint64_t n, const char *what) {
    char name[64];
    int length = snprintf(name, sizeof name, "%s %llu", what, (unsigned long long)n);
    return us_digest_of(name, (size_t)length);
}

struct timer {
    double cpu, wall;
};

static struct timer start(void) {
    return (struct timer){seconds(CLOCK_PROCESS_CPUTIME_ID), seconds(CLOCK_MONOTONIC)};
}

static void stop(const char *what, struct timer timer, double count) {
    printf("%-28s %8.2f us CPU %8.2f us\n", what,
           1e6 * (seconds(CLOCK_PROCESS_CPUTIME_ID) - timer.cpu) / count,
           1e6 * (seconds(CLOCK_MONOTONIC) - timer.wall) / count);
}

static void put(struct us_store *store, const char *what, uint64_t count, bool leased) {
    char payload[300];
    memset(payload, 'p', sizeof payload);
    for (uint64_t i = 0; i < count; i++) {
        struct us_digest key = nth(i, what);
        const struct us_digest object = nth(i, "object");
        const uint64_t size = 3u << 20;
        const struct us_record_note note = {.type = "toy_add",
                                            .show = "bench",
                                            .seconds = 0.5,
                                            .objects = &object,
                                            .sizes = &size,
                                            .object_count = 1};
        bool won = true;
        if (leased) {
            must(store->ops->lease(store, &key, &won));
        }
        must(store->ops->put_record(store, &key, &note, payload, sizeof payload, &won));
        if (leased) {
            store->ops->release(store, &key);
        }
    }
}

static void find(struct us_store *store, const char *what, uint64_t count) {
    for (uint64_t i = 0; i < count; i++) {
        struct us_digest key = nth(i, what);
        uint8_t *bytes;
        size_t size;
        must(store->ops->find_record(store, &key, &bytes, &size));
        free(bytes);
    }
}

static void take_leases(struct us_store *store) {
    for (uint64_t i = 0; i < COUNT; i++) {
        struct us_digest key = nth(i, "lease");
        bool taken;
        must(store->ops->lease(store, &key, &taken));
        store->ops->release(store, &key);
    }
}

static void measure_calls(const char *folder) {
    struct us_store *store;
    must(us_cache_open(folder, &store));
    put(store, "first", 1, false);
    struct timer timer = start();
    put(store, "plain", COUNT, false);
    stop("put, no lease", timer, COUNT);
    timer = start();
    put(store, "leased", COUNT, true);
    stop("lease, put, release", timer, COUNT);
    timer = start();
    find(store, "plain", COUNT);
    stop("hit in a log", timer, COUNT);
    timer = start();
    find(store, "nothing", COUNT);
    stop("miss", timer, COUNT);
    timer = start();
    take_leases(store);
    stop("lease and release", timer, COUNT);
    uint64_t entries, bytes;
    must(us_records_compact((struct cache *)store, NULL, NULL, &entries, &bytes));
    timer = start();
    find(store, "plain", COUNT);
    stop("hit in a pack", timer, COUNT);
    timer = start();
    find(store, "nothing", COUNT);
    stop("miss beside a pack", timer, COUNT);
    us_cache_close(store);
}

static void measure_open(const char *folder, uint64_t count) {
    struct us_store *store;
    must(us_cache_open(folder, &store));
    put(store, "many", count, false);
    struct timer timer = start();
    us_cache_close(store);
    stop("close, which packs all", timer, 1);
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    timer = start();
    must(us_cache_open(folder, &store));
    find(store, "many", 1);
    stop("open and first look-up", timer, 1);
    getrusage(RUSAGE_SELF, &after);
    timer = start();
    find(store, "many", COUNT);
    stop("hit among so many", timer, COUNT);
    us_cache_close(store);
}

int main(int argc, char **argv) {
    char folder[] = "/tmp/bench-records-XXXXXX";
    const char *where = argc > 1 ? argv[1] : mkdtemp(folder);
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 1000000;
    char small[4096], many[4096];
    snprintf(small, sizeof small, "%s/calls", where);
    snprintf(many, sizeof many, "%s/many", where);
    measure_calls(small);
    printf("%llu records:\n", (unsigned long long)count);
    measure_open(many, count);
    return 0;
}
