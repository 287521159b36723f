/* What the executor and the cache cost by themselves: graphs of trivial tasks in this process.
 *
 *     bench_scale FOLDER NODES FRAMES [PHASE...]
 *
 * A file a frame is read, NODES - 1 nodes that do next to nothing follow; the last one is asked
 * for. Phases, each in a process of its own: cold, noop, plan, edit (one file of FRAMES changes),
 * memory (cold, nothing but the last node stored). Without phases: cold noop plan edit. A row a
 * phase: CPU seconds, wall seconds, peak memory, tasks that ran, CPU microseconds a task. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cache/cache.h"
#include "runtime/api/run.h"
#include "runtime/api/task.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "runtime/base/str.h"

struct read_params {
    const char *path;
    struct us_frames frames;
};
#define PARAMS struct read_params
static const struct us_param read_table[] = {
    {.name = "path",
     .type = US_PARAM_PATH,
     .offset = offsetof(PARAMS, path),
     .unit = "",
     .required = true,
     .doc = "The files."},
    US_FRAMES(PARAMS, frames, "all", "Which frames to read."),
    US_PARAMS_END};
#undef PARAMS

static const struct us_port out_port[] = {{.name = "out", .doc = "Text.", .data = US_METRICS},
                                          {.name = NULL}};

static struct us_error *read_frames(const void *params, struct us_frames *frames) {
    us_frames_copy(&((const struct read_params *)params)->frames, frames);
    return NULL;
}

static struct us_error *read_sources(const void *params, struct us_frame frame,
                                     struct us_sources *sources) {
    char *path = us_pattern_path(((const struct read_params *)params)->path, frame.number);
    us_source_add(sources, "file", path, "write it");
    us_free(path);
    return NULL;
}

static struct us_error *read_run(struct us_task *task) {
    uint8_t *bytes;
    size_t size;
    US_TRY(us_read_file(us_task_source(task, "file", 0), 100, &bytes, &size));
    us_task_output(task, 0, us_value_from_bytes(US_METRICS, bytes, size));
    return NULL;
}

static const struct us_node_type read_type = {.name = "bench_read",
                                              .group = "io",
                                              .version = 1,
                                              .summary = "A file a frame.",
                                              .outputs = out_port,
                                              .params = read_table,
                                              .params_size = sizeof(struct read_params),
                                              .per_frame = true,
                                              .frames = read_frames,
                                              .sources = read_sources,
                                              .run = read_run};

struct step_params {
    int64_t plus;
};
#define PARAMS struct step_params
static const struct us_param step_table[] = {
    US_INT(PARAMS, plus, 0, 0, 1000000, "", "Told apart by it."), US_PARAMS_END};
#undef PARAMS

static const struct us_port step_in[] = {
    {.name = "in", .doc = "Text.", .data = US_METRICS, .reach = US_THIS_FRAME}, {.name = NULL}};

static struct us_error *step_run(struct us_task *task) {
    struct us_value *in;
    US_TRY(us_task_input(task, 0, 0, &in));
    const struct step_params *p = us_task_params(task);
    const size_t kept = in->size < 31 ? in->size : 31; /* "frame NNNNNNNN version NNNNNNNN" */
    char text[64];
    int size = snprintf(text, sizeof text, "%lld %.*s", (long long)p->plus, (int)kept,
                        (const char *)in->bytes + in->size - kept);
    us_task_output(task, 0,
                   us_value_from_bytes(US_METRICS, (uint8_t *)us_strdup(text), (size_t)size));
    return NULL;
}

static const struct us_node_type step_type = {.name = "bench_step",
                                              .group = "util",
                                              .version = 1,
                                              .summary = "Next to nothing.",
                                              .inputs = step_in,
                                              .outputs = out_port,
                                              .params = step_table,
                                              .params_size = sizeof(struct step_params),
                                              .per_frame = true,
                                              .run = step_run};

static const struct us_node_type *const types[] = {&read_type, &step_type};
static const struct us_registry registry = {types, 2, NULL};

static void must(struct us_error *error) {
    if (error) {
        for (const struct us_error *at = error; at; at = at->cause) {
            fprintf(stderr, "%s\n", at->text);
        }
        exit(1);
    }
}

static void write_text(const char *path, const char *text) {
    FILE *file = fopen(path, "w");
    if (!file || fputs(text, file) < 0 || fclose(file) != 0) {
        perror(path);
        exit(1);
    }
}

static void write_graph(const char *folder, int nodes, int frames, bool memory) {
    struct us_str text = {0};
    us_str_printf(&text,
                  "understudy: 1\nnodes:\n  n0: {type: bench_read, path: src/f.#######.txt, "
                  "frames: 1-%d}\n",
                  frames);
    for (int i = 1; i < nodes; i++) {
        us_str_printf(&text, "  n%d: {type: bench_step, in: n%d, plus: %d%s}\n", i, i - 1, i,
                      memory && i + 1 < nodes ? ", cache: drop" : "");
    }
    us_str_printf(&text, "outputs: [n%d]\n", nodes - 1);
    char *path = us_path_join(folder, memory ? "memory.yaml" : "graph.yaml");
    write_text(path, us_str_text(&text));
    us_free(path);
    us_str_finish(&text);
}

static void write_source(const char *folder, int frame, int version) {
    char name[64], text[64];
    snprintf(name, sizeof name, "src/f.%07d.txt", frame);
    snprintf(text, sizeof text, "frame %08d version %08d", frame, version);
    char *path = us_path_join(folder, name);
    write_text(path, text);
    us_free(path);
}

static void prepare(const char *folder, int nodes, int frames) {
    char *path = us_path_join(folder, "src");
    must(us_make_folders(path));
    us_free(path);
    for (int frame = 1; frame <= frames; frame++) {
        write_source(folder, frame, 0);
    }
    write_graph(folder, nodes, frames, false);
    write_graph(folder, nodes, frames, true);
}

/* Plans, and runs when `execute`; how many ran, or would. */
static size_t go(const char *folder, bool memory, bool execute) {
    char *path = us_path_join(folder, memory ? "memory.yaml" : "graph.yaml");
    char *cache = us_path_join(folder, memory ? "cache-memory" : "cache");
    struct us_graph *graph;
    struct us_store *store;
    struct us_run *run;
    struct us_run_options options = {0};
    struct us_summary summary = {0};
    must(us_cache_open(cache, &store));
    must(us_graph_load(&registry, path, NULL, 0, &graph));
    must(us_run_create(graph, store, &options, &run));
    if (execute) {
        must(us_run_execute(run, &summary));
    } else {
        for (size_t i = 0; i < us_run_plan_count(run); i++) {
            summary.ran += us_run_plan_brief(run, i).run;
        }
    }
    us_run_destroy(run);
    us_cache_close(store);
    us_graph_destroy(graph);
    us_free(path);
    us_free(cache);
    return summary.ran;
}

static double seconds_of(struct timeval time) {
    return (double)time.tv_sec + (double)time.tv_usec * 1e-6;
}

static void phase(const char *name, const char *folder, int nodes, int frames) {
    struct timespec begun, ended;
    clock_gettime(CLOCK_MONOTONIC, &begun);
    int result[2];
    if (pipe(result) != 0) {
        exit(1);
    }
    pid_t child = fork();
    if (child == 0) {
        size_t ran = go(folder, strcmp(name, "memory") == 0, strcmp(name, "plan") != 0);
        _exit(write(result[1], &ran, sizeof ran) == sizeof ran ? 0 : 1);
    }
    struct rusage use;
    int status;
    size_t ran = 0;
    if (wait4(child, &status, 0, &use) < 0 || status != 0 ||
        read(result[0], &ran, sizeof ran) != sizeof ran) {
        fprintf(stderr, "%s failed\n", name);
        exit(1);
    }
    close(result[0]);
    close(result[1]);
    clock_gettime(CLOCK_MONOTONIC, &ended);
    const double cpu = seconds_of(use.ru_utime) + seconds_of(use.ru_stime);
    const double wall =
        (double)(ended.tv_sec - begun.tv_sec) + 1e-9 * (double)(ended.tv_nsec - begun.tv_nsec);
    const double tasks = (double)nodes * frames;
    printf("%-7s %9.0f tasks  cpu %8.4f s  wall %8.4f s  peak %7.1f MiB  ran %8zu  %8.3f us/task\n",
           name, tasks, cpu, wall, (double)use.ru_maxrss / 1024, ran, 1e6 * cpu / tasks);
    fflush(stdout);
}

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: bench_scale FOLDER NODES FRAMES [PHASE...]\n");
        return 2;
    }
    static const char *const usual[] = {"cold", "noop", "plan", "edit"};
    const char *folder = argv[1];
    const int nodes = atoi(argv[2]), frames = atoi(argv[3]);
    char *marker = us_path_join(folder, "graph.yaml");
    if (access(marker, F_OK) != 0) {
        prepare(folder, nodes, frames);
    }
    us_free(marker);
    for (int i = 0; i < (argc > 4 ? argc - 4 : 4); i++) {
        const char *name = argc > 4 ? argv[4 + i] : usual[i];
        if (strcmp(name, "edit") == 0) {
            write_source(folder, frames / 2 + 1, (int)time(NULL));
        }
        phase(name, folder, nodes, frames);
    }
    return 0;
}
