/* A source file that somebody writes to while a task reads it. */
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "cache/cache.h"
#include "runtime/api/run.h"
#include "runtime/api/task.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "runtime/base/str.h"
#include "tests/support/check.h"

static const char *meddled; /* written to the file just before the task reads it; then NULL */
static struct us_str failures;
static char seen[16]; /* what the last task read */

struct read_params {
    const char *path;
};
static const struct us_param read_table[] = {{.name = "path",
                                              .type = US_PARAM_PATH,
                                              .offset = offsetof(struct read_params, path),
                                              .unit = "",
                                              .required = true,
                                              .doc = "The file."},
                                             US_PARAMS_END};
static const struct us_port outputs[] = {{.name = "value", .data = US_METRICS}, {.name = NULL}};

static struct us_error *read_sources(const void *params, struct us_frame frame,
                                     struct us_sources *sources) {
    (void)frame;
    us_source_add(sources, "file", ((const struct read_params *)params)->path, NULL);
    return NULL;
}

static struct us_error *read_run(struct us_task *task) {
    const char *path = us_task_source(task, "file", 0);
    uint8_t *bytes;
    size_t size;
    if (meddled) {
        US_TRY(us_write_file(path, meddled, strlen(meddled)));
        meddled = NULL;
    }
    US_TRY(us_read_file(path, 0, &bytes, &size));
    snprintf(seen, sizeof seen, "%.*s", (int)size, (const char *)bytes);
    us_task_output(task, 0, us_value_from_bytes(US_METRICS, bytes, size));
    return NULL;
}

static const struct us_node_type toy = {.name = "toy_slow_read",
                                        .version = 1,
                                        .outputs = outputs,
                                        .params = read_table,
                                        .params_size = sizeof(struct read_params),
                                        .sources = read_sources,
                                        .run = read_run};
static const struct us_node_type *const types[] = {&toy};
static const struct us_registry registry = {types, 1, NULL};

static void put(const char *name, const char *text) {
    char *path = us_path_join(us_test_folder(), name);
    ASSERT_OK(us_write_file(path, text, strlen(text)));
    us_free(path);
}

static void note(void *context, const struct us_event *event) {
    (void)context;
    for (const struct us_error *e = event->error; e; e = e->cause) {
        us_str_append(&failures, e->text);
    }
}

static struct us_summary run_once(void) {
    char *file = us_path_join(us_test_folder(), "shot.yaml");
    char *cache = us_path_join(us_test_folder(), "cache");
    struct us_graph *graph;
    struct us_store *store;
    struct us_run *run;
    struct us_summary summary;
    const struct us_run_options options = {.threads = 1, .event = note};
    ASSERT_OK(us_cache_open(cache, &store));
    ASSERT_OK(us_graph_load(&registry, file, NULL, 0, &graph));
    ASSERT_OK(us_run_create(graph, store, &options, &run));
    us_str_clear(&failures);
    ASSERT_OK(us_run_execute(run, &summary));
    us_run_destroy(run);
    us_graph_destroy(graph);
    us_cache_close(store);
    us_free(file);
    us_free(cache);
    return summary;
}

/* What was read is not what the key says: it must be found under neither content's key. */
static void what_was_read_meanwhile_is_not_kept(void **state) {
    (void)state;
    put("shot.yaml",
        "understudy: 1\nnodes:\n  a: {type: toy_slow_read, path: a.txt}\noutputs: [a]\n");
    put("a.txt", "1");
    meddled = "2";
    assert_int_equal(run_once().failed, 1);
    assert_non_null(strstr(us_str_text(&failures), "changed while it ran"));
    put("a.txt", "1");
    assert_int_equal(run_once().ran, 1);
    assert_string_equal(seen, "1");
    put("a.txt", "2");
    assert_int_equal(run_once().ran, 1);
    assert_string_equal(seen, "2");
    assert_int_equal(run_once().ran, 0);
    us_str_finish(&failures);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(what_was_read_meanwhile_is_not_kept)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
