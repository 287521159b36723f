#include <fcntl.h>
#include <ftw.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/statvfs.h>
#include <time.h>
#include <unistd.h>

#include "cache/cache.h"
#include "nodes/face/weights.h"
#include "nodes/io/exr_dwa.h"
#include "nodes/registry.h"
#include "runtime/api/task.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "tools/devices.h"
#include "tools/doctor_ops.h"
#include "tools/machine.h"
#include "tools/session.h"
#include "tools/show_error.h"

static int bad; /* findings that are wrong */

static void finding(bool fine, const char *text) {
    printf("%s  %s\n", fine ? "ok " : "BAD", text);
    bad += !fine;
}

/* Takes the error. */
static void finding_error(const char *what, struct us_error *error) {
    struct us_str text = {0};
    us_error_text(error, &text);
    printf("BAD  %s: %s", what, us_str_text(&text));
    us_str_finish(&text);
    us_error_free(error);
    bad++;
}

/* Shared libraries say their version in the name of their file. */
static int show_library(struct dl_phdr_info *info, size_t size, void *context) {
    static const char *const wanted[] = {"dnnl",    "OpenEXR", "yaml", "xxhash", "lmdb",
                                         "jansson", "sodium",  "png",  "jpeg"};
    (void)size;
    (void)context;
    const char *name = us_path_name(info->dlpi_name);
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
        size_t length = strlen(wanted[i]);
        if (strncmp(name, "lib", 3) == 0 && strncmp(name + 3, wanted[i], length) == 0) {
            char *real = realpath(info->dlpi_name, NULL);
            printf("     %s\n", us_path_name(real ? real : info->dlpi_name));
            us_free(real);
        }
    }
    return 0;
}

/* Those that are opened when they are needed are, by now. */
static void check_libraries(void) {
    char problem[512];
    if (us_dwa_open(problem, sizeof problem) != 0) {
        finding(false, problem);
    }
    dl_iterate_phdr(show_library, NULL);
}

static void check_machine(void) {
    struct us_machine machine;
    us_machine_read(&machine);
    char text[512];
    snprintf(text, sizeof text, "cpu: %s, %d cores, %.1f GiB memory, %s", machine.model,
             machine.cores, (double)machine.memory / 0x1p30, machine.features);
    finding(machine.cores > 0, text);
    bad += us_devices_check();
}

static void check_weights(void) {
    bool missing = false;
    for (int i = 0; i < US_WEIGHTS_COUNT; i++) {
        const struct us_tflite *network;
        struct us_error *error = us_weights_load((enum us_weights)i, &network);
        if (error) {
            missing = true;
            finding_error("weights", error);
        }
    }
    if (!missing) {
        char text[4200];
        snprintf(text, sizeof text, "weights: %d files in '%s', hashes right", US_WEIGHTS_COUNT,
                 us_models_folder());
        finding(true, text);
    }
}

static double seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Writes and syncs 32 MiB in the cache's folder for temporary files. */
static struct us_error *measure_disk(const char *folder, double *mib_per_second) {
    enum { SIZE = 32 << 20 };
    struct us_str path = {0};
    us_str_printf(&path, "%s/tmp/doctor", folder);
    uint8_t *bytes = us_malloc(SIZE);
    for (size_t i = 0; i < SIZE; i++) {
        bytes[i] = (uint8_t)(i * 2654435761u >> 13);
    }
    double begun = seconds();
    struct us_error *error = us_write_file(us_str_text(&path), bytes, SIZE);
    *mib_per_second = 32 / (seconds() - begun);
    unlink(us_str_text(&path));
    us_free(bytes);
    us_str_finish(&path);
    return error;
}

static struct us_error *check_cache(const struct us_arguments *arguments) {
    char *folder, text[4400];
    struct us_store *store;
    US_TRY(us_cache_folder(arguments, &folder));
    struct us_error *error = us_cache_open(folder, &store);
    if (!error) {
        us_cache_close(store);
        double speed;
        error = measure_disk(folder, &speed);
        struct statvfs space;
        if (!error && statvfs(folder, &space) == 0) {
            snprintf(text, sizeof text, "cache: '%s', %.1f GiB free, writes %.0f MiB/s", folder,
                     (double)space.f_bavail * (double)space.f_frsize / 0x1p30, speed);
            finding(true, text);
        }
    }
    us_free(folder);
    return error;
}

static struct us_error *run_graph(struct us_graph *graph, struct us_store *store,
                                  struct us_summary *summary) {
    const struct us_run_options options = {.threads = 2};
    struct us_run *run;
    US_TRY(us_run_create(graph, store, &options, &run));
    struct us_error *error = us_run_execute(run, summary);
    us_run_destroy(run);
    return error;
}

/* Two rendered frames to EXR, twice: the second run must find everything. */
static struct us_error *run_twice(const char *folder) {
    static const char text[] = "understudy: 1\nnodes:\n"
                               "  plate: {type: synth_plate, frames: 1-2, width: 32, height: 24}\n"
                               "  out: {type: exr_write, image: plate.image, path: out.####.exr}\n";
    char *path = us_path_join(folder, "graph.yaml"), *cache = us_path_join(folder, "cache");
    struct us_graph *graph = NULL;
    struct us_store *store = NULL;
    struct us_summary first = {0}, second = {0};
    struct us_error *error = us_write_file(path, text, strlen(text));
    error = error ? error : us_graph_load(&us_nodes, path, NULL, 0, &graph);
    error = error ? error : us_cache_open(cache, &store);
    error = error ? error : run_graph(graph, store, &first);
    error = error ? error : run_graph(graph, store, &second);
    if (!error && (first.ran != 4 || second.ran != 0 || second.cached < 2)) {
        error =
            us_fail(US_FAILED, "the first run made %zu of 4 results and the second %zu of 0 again",
                    first.ran, second.ran);
    }
    us_cache_close(store);
    us_graph_destroy(graph);
    us_free(path);
    us_free(cache);
    return error;
}

static int remove_entry(const char *path, const struct stat *info, int type, struct FTW *walk) {
    (void)info;
    (void)type;
    (void)walk;
    return remove(path);
}

static struct us_error *check_run(void) {
    const char *parent = getenv("TMPDIR");
    char *folder = us_path_join(parent && parent[0] ? parent : "/tmp", "understudy-doctor-XXXXXX");
    struct us_error *error = NULL;
    double begun = seconds();
    if (!mkdtemp(folder)) {
        error = us_fail(US_RETRY, "cannot make a folder in '%s'", folder);
    } else {
        error = run_twice(folder);
        nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    }
    us_free(folder);
    char text[64];
    snprintf(text, sizeof text, "self-test: a graph ran in %.2f s", seconds() - begun);
    if (!error) {
        finding(true, text);
    }
    return error;
}

int us_command_doctor(const struct us_arguments *arguments) {
    us_find_models(arguments);
    printf("ok   understudy " UNDERSTUDY_VERSION ", %zu node types\n", us_nodes.count);
    check_machine();
    bad += us_doctor_ops(arguments->verbose);
    check_libraries();
    check_weights();
    struct us_error *error = check_cache(arguments);
    if (error) {
        finding_error("cache", error);
    }
    error = check_run();
    if (error) {
        finding_error("self-test", error);
    }
    return bad ? 3 : 0;
}
