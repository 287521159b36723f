/* What becomes an object of the cache, and how the rest comes back. The quick node's results would
 * take ten times as long to read as to make, the slow one's are worth it many times over. */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cache/cache.h"
#include "runtime/api/run.h"
#include "runtime/api/task.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "runtime/base/str.h"
#include "tests/support/check.h"
#include "tests/support/toy_nodes.h"
#include "tests/support/toy_run.h"

enum { FRAMES = 2, BYTES = 8192 };
static const double crawling = 1000, usual = 0;

static atomic_int quick_ran, slow_ran;
static bool restless; /* the quick node's result is another each time */

static struct us_error *some_frames(const void *params, struct us_frames *frames) {
    (void)params;
    us_toy_frames(FRAMES, frames);
    return NULL;
}

static void put(struct us_task *task, size_t size, int number) {
    uint8_t *bytes = us_calloc(size, 1);
    snprintf((char *)bytes, 16, "%d", number);
    us_task_output(task, 0, us_value_from_bytes(US_METRICS, bytes, size));
}

static struct us_error *quick_run(struct us_task *task) {
    const int times = ++quick_ran;
    put(task, BYTES, us_task_frame(task).number + (restless ? 10 * times : 0));
    return NULL;
}

static struct us_error *slow_run(struct us_task *task) {
    slow_ran++;
    usleep(20000);
    put(task, BYTES, us_task_frame(task).number);
    return NULL;
}

static struct us_error *copy_run(struct us_task *task) {
    struct us_value *value;
    US_TRY(us_task_input(task, 0, 0, &value));
    put(task, BYTES, 100 + value->bytes[0]);
    return NULL;
}

struct count_params {
    int64_t plus;
};
#define PARAMS struct count_params
static const struct us_param count_table[] = {US_INT(PARAMS, plus, 0, 0, 100, "", "Added."),
                                              US_PARAMS_END};

static struct us_error *count_run(struct us_task *task) {
    struct us_value *value;
    US_TRY(us_task_input(task, 0, 0, &value));
    put(task, 16, value->bytes[0] + (int)((const struct count_params *)us_task_params(task))->plus);
    return NULL;
}

static const struct us_port outputs[] = {{.name = "value", .data = US_METRICS}, {.name = NULL}};
static const struct us_port inputs[] = {{.name = "value", .data = US_METRICS}, {.name = NULL}};
#define TOY(toy_name, toy_run) \
    .name = toy_name, .version = 1, .outputs = outputs, .per_frame = true, .run = toy_run
static const struct us_node_type toy_quick = {TOY("toy_quick", quick_run), .frames = some_frames,
                                              .keyed_by_frame = true};
static const struct us_node_type toy_slow = {TOY("toy_slow", slow_run), .frames = some_frames,
                                             .keyed_by_frame = true};
static const struct us_node_type toy_copy = {TOY("toy_copy", copy_run), .inputs = inputs};
static const struct us_node_type toy_count = {TOY("toy_count", count_run), .inputs = inputs,
                                              .params = count_table, .params_size = sizeof(PARAMS)};

static int shots, told;
static char graph_path[300], cache[300];

static void open_shot(const char *nodes) {
    char text[500];
    snprintf(graph_path, sizeof graph_path, "%s/%d/shot.yaml", us_test_folder(), shots);
    snprintf(cache, sizeof cache, "%s/%d/cache", us_test_folder(), shots++);
    snprintf(text, sizeof text,
             "understudy: 1\nparams: {plus: {type: int, default: 0}}\nnodes:\n%s"
             "  n: {type: toy_count, value: a, plus: $(plus)}\noutputs: [n]\n",
             nodes);
    ASSERT_OK(us_write_file(graph_path, text, strlen(text)));
    quick_ran = slow_ran = 0;
}

static void note(void *context, const struct us_event *event) {
    (void)context;
    told += event->kind == US_EVENT_REMADE;
}

/* What the plan says is what runs. */
static struct us_summary run(const char *plus, double rate, size_t wanted) {
    const struct us_node_type *types[] = {&toy_copy, &toy_count, &toy_quick, &toy_slow};
    const struct us_registry registry = {types, 4, us_toys.codec};
    const struct us_setting setting = {"plus", plus};
    const struct us_run_options options = {.threads = 2, .event = note, .read_rate = rate};
    struct us_graph *graph;
    struct us_store *store;
    struct us_run *made;
    struct us_summary summary;
    size_t planned = 0;
    told = 0;
    ASSERT_OK(us_graph_load(&registry, graph_path, &setting, 1, &graph));
    ASSERT_OK(us_cache_open(cache, &store));
    ASSERT_OK(us_run_create(graph, store, &options, &made));
    for (size_t i = 0; i < us_run_plan_count(made); i++) {
        planned += us_run_plan_entry(made, i).run;
    }
    ASSERT_OK(us_run_execute(made, &summary));
    assert_int_equal(planned, wanted);
    assert_int_equal(summary.ran + summary.failed + summary.cancelled, wanted);
    assert_int_equal(told, summary.remade);
    us_run_destroy(made);
    us_cache_close(store);
    us_graph_destroy(graph);
    return summary;
}

static void what_is_quick_is_made_again_and_no_rerun(void **state) {
    (void)state;
    open_shot("  a: {type: toy_quick}\n");
    assert_int_equal(run("0", crawling, 2 * FRAMES).remade, 0);
    assert_int_equal(run("0", crawling, 0).remade, 0);
    assert_int_equal(run("1", crawling, FRAMES).remade, FRAMES);
    assert_int_equal(quick_ran, 2 * FRAMES);
    assert_int_equal(run("1", crawling, 0).remade, 0);
}

static void what_is_slow_is_read_back(void **state) {
    (void)state;
    open_shot("  a: {type: toy_slow}\n");
    run("0", usual, 2 * FRAMES);
    assert_int_equal(run("1", usual, FRAMES).remade, 0);
    assert_int_equal(slow_ran, FRAMES);
}

static void the_graph_can_say_otherwise(void **state) {
    (void)state;
    open_shot("  a: {type: toy_quick, cache: keep}\n");
    run("0", crawling, 2 * FRAMES);
    assert_int_equal(run("1", crawling, FRAMES).remade, 0);
    assert_int_equal(quick_ran, FRAMES);
    open_shot("  a: {type: toy_slow, cache: drop}\n");
    run("0", crawling, 2 * FRAMES);
    assert_int_equal(run("1", crawling, FRAMES).remade, FRAMES);
    assert_int_equal(slow_ran, 2 * FRAMES);
}

/* A quick node below one that is not kept costs what both do. */
static void what_is_above_and_not_stored_counts(void **state) {
    (void)state;
    open_shot("  s: {type: toy_slow, cache: drop}\n  a: {type: toy_copy, value: s}\n");
    run("0", usual, 3 * FRAMES);
    assert_int_equal(run("1", usual, FRAMES).remade, 0);
    assert_int_equal(slow_ran, FRAMES);
    open_shot("  s: {type: toy_quick}\n  a: {type: toy_copy, value: s}\n");
    run("0", crawling, 3 * FRAMES);
    assert_int_equal(run("1", crawling, FRAMES).remade,
                     2 * FRAMES); /* one for the sake of the other */
    assert_int_equal(quick_ran, 2 * FRAMES);
}

/* What does not come out the same again is an error, once: then it is made anew. */
static void what_comes_out_different_heals(void **state) {
    (void)state;
    open_shot("  a: {type: toy_quick}\n");
    restless = true;
    run("0", crawling, 2 * FRAMES);
    assert_true(run("1", crawling, FRAMES).failed > 0);
    restless = false;
    struct us_summary summary = {0};
    for (int tries = 0; tries < FRAMES + 1 && summary.ran == 0; tries++) {
        const struct us_registry registry = {
            (const struct us_node_type *[]){&toy_count, &toy_quick}, 2, us_toys.codec};
        const struct us_setting setting = {"plus", "1"};
        const struct us_run_options options = {.threads = 1, .read_rate = crawling};
        summary = us_toy_run(&registry, graph_path, &setting, cache, &options);
        summary.ran = summary.failed ? 0 : summary.ran;
    }
    assert_int_equal(summary.failed, 0);
    assert_true(summary.ran > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_quick_is_made_again_and_no_rerun),
        cmocka_unit_test(what_is_slow_is_read_back),
        cmocka_unit_test(the_graph_can_say_otherwise),
        cmocka_unit_test(what_is_above_and_not_stored_counts),
        cmocka_unit_test(what_comes_out_different_heals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
