/* What gc costs on a large cache.
 *
 *     bench_gc FOLDER [OBJECTS]    makes a cache of so many objects (1000000), with a marker and a
 *                                  record each, unless FOLDER is there; then reads it all as a dry
 *                                  run does, and collects nine tenths of it
 *
 * Files hold nothing but a length: what is measured is names, not bytes. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "cache/care.h"
#include "cache/hold.h"
#include "cache/stock.h"

enum { OBJECT_BYTES = 65536 };

/* Of the processor: a busy machine changes nothing. */
static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

static void need(struct us_error *error) {
    if (error) {
        fprintf(stderr, "%s\n", error->text);
        exit(1);
    }
}

static void make_file(const char *path, off_t size, time_t used) {
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0440);
    const struct timespec times[2] = {{used, 0}, {used, 0}};
    if (fd < 0 || ftruncate(fd, size) != 0 || futimens(fd, times) != 0 || close(fd) != 0) {
        perror(path);
        exit(1);
    }
}

static void make_object(struct us_store *store, const char *folder, unsigned n) {
    static const char *const types[] = {"exr_read", "face_crop", "composite", "train_swap"};
    char path[4096], hex[US_DIGEST_HEX], sum[US_DIGEST_HEX];
    struct us_digest digest = us_digest_of(&n, sizeof n), other = us_digest_of(&digest, 16);
    us_digest_hex(&digest, hex);
    snprintf(path, sizeof path, "%s/objects/%.2s", folder, hex);
    mkdir(path, 0750);
    snprintf(path, sizeof path, "%s/objects/%.2s/%s", folder, hex, hex);
    make_file(path, OBJECT_BYTES, time(NULL) - 3600 * (time_t)(1 + n % 1000));
    strcat(strcat(path, "."), us_digest_hex(&other, sum));
    make_file(path, 0, time(NULL) - 3600 * 1000);
    const uint64_t size = OBJECT_BYTES;
    const struct us_record_note note = {types[n % 4], "bench", 0.01 * (1 + n % 100),
                                        &digest,      &size,   1};
    bool won;
    need(store->ops->put_record(store, &other, &note, path, 200, &won));
}

static void make_cache(const char *folder, unsigned count) {
    struct us_store *store;
    double begun = now();
    need(us_cache_open(folder, &store));
    for (unsigned n = 0; n < count; n++) {
        make_object(store, folder, n);
    }
    us_cache_close(store);
    printf("made in %.0f s of CPU\n", now() - begun);
}

static long peak_kib(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

static void collect(struct us_store *store, uint64_t max, bool dry) {
    struct us_gc_report report;
    double begun = now();
    need(us_cache_gc(store, &(struct us_gc_options){.max_bytes = max, .dry_run = dry}, &report));
    double seconds = now() - begun;
    uint64_t files = report.objects.files;
    printf("%s: %.2f s of CPU, %llu objects and %llu records of %.1f GiB", dry ? "dry run" : "gc",
           seconds, (unsigned long long)files, (unsigned long long)report.records.files,
           (double)report.before / 0x1p30);
    if (!dry) {
        printf(", %.0f objects and markers a second of CPU", 2 * (double)files / seconds);
    }
    printf("\n");
    us_gc_report_finish(&report);
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: bench_gc FOLDER [OBJECTS]\n");
        return 2;
    }
    unsigned count = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 1000000;
    if (access(argv[1], F_OK) != 0) {
        make_cache(argv[1], count);
    }
    struct us_store *store;
    need(us_cache_open(argv[1], &store));
    uint64_t all = (uint64_t)count * OBJECT_BYTES;
    struct us_stock stock;
    long before = peak_kib();
    double begun = now();
    need(us_stock_take((struct cache *)store, &stock));
    printf("marking: %.2f s of CPU for %llu objects and %llu records, %.0f bytes an object\n",
           now() - begun, (unsigned long long)stock.objects, (unsigned long long)stock.records,
           1024.0 * (double)(peak_kib() - before) / (double)stock.objects);
    us_stock_finish(&stock);
    collect(store, all / 10, true);
    collect(store, all / 10, false);
    us_cache_close(store);
    return 0;
}
