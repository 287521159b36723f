#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cache/cache.h"
#include "cache/records.h"
#include "runtime/api/run.h"
#include "runtime/api/task.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "runtime/base/str.h"
#include "tests/support/check.h"
#include "tests/support/toy_nodes.h"

/* A folder with a graph, its sources and its cache; each test has its own. */
struct shot {
    char folder[256], graph[300], cache[300];
};

static int shots;

static struct shot make_shot(const char *graph) {
    struct shot shot;
    snprintf(shot.folder, sizeof shot.folder, "%s/shot%d", us_test_folder(), shots++);
    snprintf(shot.graph, sizeof shot.graph, "%s/shot.yaml", shot.folder);
    snprintf(shot.cache, sizeof shot.cache, "%s/cache", shot.folder);
    ASSERT_OK(us_write_file(shot.graph, graph, strlen(graph)));
    return shot;
}

static void put_source(const struct shot *shot, const char *name, const char *text) {
    char *path = us_path_join(shot->folder, name);
    ASSERT_OK(us_write_file(path, text, strlen(text)));
    us_free(path);
}

static char *get_file(const struct shot *shot, const char *name) {
    char *path = us_path_join(shot->folder, name);
    uint8_t *bytes;
    size_t size;
    ASSERT_OK(us_read_file(path, 0, &bytes, &size));
    us_free(path);
    return (char *)bytes;
}

/* A training: every run of it comes to another result. */
static int trainings;

static struct us_error *train_run(struct us_task *task) {
    struct us_str text = {0};
    us_str_printf(&text, "%d000000", ++trainings);
    size_t size = text.length;
    us_task_output(task, 0, us_value_from_bytes(US_METRICS, (uint8_t *)us_str_take(&text), size));
    return NULL;
}

static const struct us_port train_inputs[] = {
    {.name = "value", .data = US_METRICS, .reach = US_ALL_FRAMES}, {.name = NULL}};
static const struct us_port train_outputs[] = {{.name = "model", .data = US_METRICS},
                                               {.name = NULL}};
static const struct us_node_type toy_train = {.name = "toy_train",
                                              .version = 1,
                                              .inputs = train_inputs,
                                              .outputs = train_outputs,
                                              .volatile_result = true,
                                              .run = train_run};

/* Frames 1 to 6; each wants more memory than half of what there is, so never two at once. */
static atomic_int heavy_now, heavy_most;

static struct us_error *six_frames(const void *params, struct us_frames *frames) {
    (void)params;
    us_toy_frames(6, frames);
    return NULL;
}

static void heavy_needs(const void *params, struct us_needs *needs) {
    (void)params;
    needs->host_bytes = SIZE_MAX / 2;
}

static struct us_error *heavy_run(struct us_task *task) {
    int now = atomic_fetch_add(&heavy_now, 1) + 1;
    if (now > heavy_most) {
        heavy_most = now;
    }
    usleep(3000);
    atomic_fetch_sub(&heavy_now, 1);
    us_toy_number(task, us_task_frame(task).number);
    return NULL;
}

static const struct us_node_type toy_heavy = {.name = "toy_heavy",
                                              .version = 1,
                                              .outputs = train_outputs,
                                              .per_frame = true,
                                              .frames = six_frames,
                                              .needs = heavy_needs,
                                              .run = heavy_run};

/* Fails at frame 3. */
static struct us_error *frail_run(struct us_task *task) {
    if (us_task_frame(task).number == 3) {
        return us_fail(US_RETRY, "the disk is full of toys");
    }
    us_toy_number(task, us_task_frame(task).number);
    return NULL;
}

static const struct us_node_type toy_frail = {.name = "toy_frail",
                                              .version = 1,
                                              .outputs = train_outputs,
                                              .per_frame = true,
                                              .frames = six_frames,
                                              .run = frail_run};

static bool keep_going;

static const struct us_registry *toys(void) {
    static const struct us_node_type *types[32];
    static struct us_registry registry;
    memcpy(types, us_toys.types, us_toys.count * sizeof *types);
    types[us_toys.count] = &toy_train;
    types[us_toys.count + 1] = &toy_heavy;
    types[us_toys.count + 2] = &toy_frail;
    registry = (struct us_registry){types, us_toys.count + 3, us_toys.codec};
    return &registry;
}

struct outcome {
    struct us_summary summary;
    size_t plan_run, plan_maybe;
    struct us_str why; /* "label: why\n" of what the plan would run */
    struct us_str failures;
};

static void note(void *context, const struct us_event *event) {
    struct outcome *outcome = context;
    if (event->kind == US_EVENT_FAILED) {
        for (const struct us_error *e = event->error; e; e = e->cause) {
            us_str_printf(&outcome->failures, "%s|", e->text);
        }
    }
}

static struct us_error *try_run(const struct shot *shot, const struct us_setting *setting,
                                bool execute, struct outcome *outcome) {
    *outcome = (struct outcome){0};
    struct us_graph *graph;
    struct us_store *store;
    struct us_run *run = NULL;
    US_TRY(us_graph_load(toys(), shot->graph, setting, setting ? 1 : 0, &graph));
    ASSERT_OK(us_cache_open(shot->cache, &store));
    struct us_run_options options = {
        .threads = 2, .event = note, .context = outcome, .keep_going = keep_going};
    struct us_error *error = us_run_create(graph, store, &options, &run);
    for (size_t i = 0; !error && i < us_run_plan_count(run); i++) {
        struct us_plan_entry entry = us_run_plan_entry(run, i);
        outcome->plan_run += entry.run;
        outcome->plan_maybe += entry.maybe;
        if (entry.run) {
            us_str_printf(&outcome->why, "%s: %s\n", entry.label, entry.why);
        }
    }
    if (!error && execute) {
        error = us_run_execute(run, &outcome->summary);
    }
    us_run_destroy(run);
    us_cache_close(store);
    us_graph_destroy(graph);
    return error;
}

static struct outcome run_shot(const struct shot *shot, const struct us_setting *setting) {
    struct outcome outcome;
    ASSERT_OK(try_run(shot, setting, true, &outcome));
    return outcome;
}

static void finish(struct outcome *outcome) {
    us_str_finish(&outcome->why);
    us_str_finish(&outcome->failures);
}

static void assert_ran(const struct shot *shot, const struct us_setting *setting, size_t wanted) {
    struct outcome outcome = run_shot(shot, setting);
    assert_int_equal(outcome.summary.ran, wanted);
    assert_true(outcome.plan_run - outcome.plan_maybe <= wanted && wanted <= outcome.plan_run);
    assert_int_equal(outcome.summary.status, 0);
    finish(&outcome);
}

static const char chain[] = "understudy: 1\n"
                            "params: {plus: {type: int, default: 0}}\n"
                            "nodes:\n"
                            "  a: {type: toy_read, path: a.####.txt, frames: 1001-1008}\n"
                            "  b: {type: toy_number, value: 5, frames: 1001-1008}\n"
                            "  c: {type: toy_add, values: [a, b], plus: $(plus)}\n"
                            "  w: {type: toy_window, value: c, radius: 1}\n"
                            "  s: {type: toy_sum, value: a, steps: 2}\n"
                            "  out: {type: toy_write, value: w, path: out.####.txt}\n"
                            "  total: {type: toy_write, value: s2, path: total.####.txt}\n"
                            "  s2: {type: toy_add, values: [s, b]}\n"
                            "outputs: [out, total]\n";

static struct shot chain_shot(void) {
    struct shot shot = make_shot(chain);
    for (int i = 1001; i <= 1008; i++) {
        char name[32], text[32];
        snprintf(name, sizeof name, "a.%04d.txt", i);
        snprintf(text, sizeof text, "%d", 10 * (i - 1000));
        put_source(&shot, name, text);
    }
    return shot;
}

static void test_values_and_no_op(void **state) {
    (void)state;
    struct shot shot = chain_shot();
    struct outcome first = run_shot(&shot, NULL);
    assert_int_equal(first.summary.status, 0);
    assert_int_equal(first.plan_run, first.summary.ran);
    assert_int_equal(first.summary.ran, 8 * 7 + 1);
    finish(&first);
    /* c = 10 (frame - 1000) + (5 + frame); at 1002 the window is 1001..1003. */
    char *text = get_file(&shot, "out.1002.txt");
    assert_int_equal(atoi(text), 3 * (20 + 5 + 1002));
    us_free(text);
    assert_ran(&shot, NULL, 0);
}

static void test_parameter(void **state) {
    (void)state;
    struct shot shot = chain_shot();
    struct us_setting plus = {"plus", "3"}, zero = {"plus", "0"};
    assert_ran(&shot, NULL, 57);
    struct outcome changed = run_shot(&shot, &plus);
    assert_int_equal(changed.summary.ran, 3 * 8);
    assert_non_null(strstr(us_str_text(&changed.why), "c@1001: plus 0 → 3\n"));
    assert_non_null(strstr(us_str_text(&changed.why), "w@1001: input 'value' changed: c@1001\n"));
    finish(&changed);
    /* Back again: everything is known but the files are to be written again. */
    assert_ran(&shot, &zero, 8);
    struct us_setting eight = {"plus", "8"};
    changed = run_shot(&shot, &eight);
    assert_non_null(strstr(us_str_text(&changed.why), "c@1001: plus 0 → 8\n"));
    finish(&changed);
}

static void test_source(void **state) {
    (void)state;
    struct shot shot = chain_shot();
    assert_ran(&shot, NULL, 57);
    put_source(&shot, "a.1004.txt", "40"); /* the same bytes in a new file */
    assert_ran(&shot, NULL, 0);
    put_source(&shot, "a.1004.txt", "400");
    struct outcome changed = run_shot(&shot, NULL);
    /* a and c at 1004, w and out at 1003..1005, s, s2 and total at every frame. */
    assert_int_equal(changed.summary.ran, 2 + 6 + 1 + 16);
    assert_int_equal(changed.plan_run, changed.summary.ran);
    assert_non_null(strstr(us_str_text(&changed.why), "a.1004.txt changed on disk"));
    finish(&changed);
}

static void test_cutoff(void **state) {
    (void)state;
    struct shot shot = chain_shot();
    assert_ran(&shot, NULL, 57);
    put_source(&shot, "a.1001.txt", "20");
    put_source(&shot, "a.1002.txt", "10"); /* swapped: the sum stays */
    struct outcome changed = run_shot(&shot, NULL);
    /* s runs and comes to the same sum: nothing below it does. */
    assert_true(changed.summary.ran < changed.plan_run);
    assert_true(changed.plan_maybe >= 16);
    finish(&changed);
    char *text = get_file(&shot, "out.1003.txt");
    assert_int_equal(atoi(text), (10 + 5 + 1002) + (30 + 5 + 1003) + (40 + 5 + 1004));
    us_free(text);
    assert_ran(&shot, NULL, 0);
}

static void test_output_file(void **state) {
    (void)state;
    struct shot shot = chain_shot();
    assert_ran(&shot, NULL, 57);
    char *path = us_path_join(shot.folder, "out.1005.txt");
    unlink(path);
    us_free(path);
    assert_ran(&shot, NULL, 1);
    put_source(&shot, "out.1006.txt", "scribbled over");
    struct outcome changed = run_shot(&shot, NULL);
    assert_int_equal(changed.summary.ran, 1);
    assert_non_null(strstr(us_str_text(&changed.why), "is not as it was written"));
    finish(&changed);
}

static bool is_record(void *context, const struct us_record_view *view) {
    (void)context;
    return !view->is_object;
}

static void remove_objects(const struct shot *shot) {
    struct us_store *store;
    uint64_t entries, bytes;
    ASSERT_OK(us_cache_open(shot->cache, &store));
    ASSERT_OK(us_records_compact((struct cache *)store, is_record, NULL, &entries, &bytes));
    assert_true(entries > 0);
    us_cache_close(store);
}

static void test_lost_objects(void **state) {
    (void)state;
    struct shot shot = chain_shot();
    assert_ran(&shot, NULL, 57);
    remove_objects(&shot);
    char *path = us_path_join(shot.folder, "out.1001.txt");
    unlink(path);
    us_free(path);
    /* out needs w, which needs c at 1001 and 1002, which need a and b there. */
    struct outcome changed = run_shot(&shot, NULL);
    assert_int_equal(changed.summary.status, 0);
    assert_int_equal(changed.plan_run, changed.summary.ran);
    assert_true(changed.summary.ran >= 2 && changed.summary.ran <= 8);
    finish(&changed);
    assert_ran(&shot, NULL, 0);
}

static void test_swapped_inputs(void **state) {
    (void)state;
    static const char *const graphs[2] = {
        "understudy: 1\nnodes:\n"
        "  a: {type: toy_number, value: 1, frames: 1-2}\n"
        "  b: {type: toy_number, value: 2, frames: 1-2}\n"
        "  c: {type: toy_add, values: [a, b]}\n"
        "  out: {type: toy_write, value: c, path: out.#.txt}\noutputs: [out]\n",
        "understudy: 1\nnodes:\n"
        "  a: {type: toy_number, value: 1, frames: 1-2}\n"
        "  b: {type: toy_number, value: 2, frames: 1-2}\n"
        "  c: {type: toy_add, values: [b, a]}\n"
        "  out: {type: toy_write, value: c, path: out.#.txt}\noutputs: [out]\n"};
    struct shot shot = make_shot(graphs[0]);
    assert_ran(&shot, NULL, 8);
    ASSERT_OK(us_write_file(shot.graph, graphs[1], strlen(graphs[1])));
    /* Swapped inputs are another key; the sum is the same, so what is below stands. */
    assert_ran(&shot, NULL, 2);
}

static void test_lost_model(void **state) {
    (void)state;
    struct shot shot = make_shot("understudy: 1\n"
                                 "params: {plus: {type: int, default: 0}}\n"
                                 "nodes:\n"
                                 "  a: {type: toy_number, value: 7, frames: 1-3}\n"
                                 "  m: {type: toy_train, value: a}\n"
                                 "  x: {type: toy_add, values: [a, m]}\n"
                                 "  y: {type: toy_add, values: [a, m], plus: $(plus)}\n"
                                 "  fx: {type: toy_write, value: x, path: x.#.txt}\n"
                                 "  fy: {type: toy_write, value: y, path: y.#.txt}\n"
                                 "outputs: [fx, fy]\n");
    trainings = 0;
    struct us_setting one = {"plus", "1"}, two = {"plus", "2"};
    assert_ran(&shot, &one, 3 + 1 + 12);
    assert_ran(&shot, &two, 6); /* y and fy; the model is at hand */
    assert_int_equal(trainings, 1);
    remove_objects(&shot);
    /* y at plus 1 is known and its files are remade: a and m are trained anew for it, and x, which
     * was made with the lost model, must not stand beside it. */
    struct us_setting three = {"plus", "3"};
    struct outcome changed = run_shot(&shot, &three);
    assert_int_equal(changed.summary.status, 0);
    assert_int_equal(trainings, 2);
    assert_int_equal(changed.summary.ran, 3 + 1 + 12);
    finish(&changed);
    char *x = get_file(&shot, "x.2.txt"), *y = get_file(&shot, "y.2.txt");
    assert_int_equal(atoi(x), 2000000 + 7 + 2);
    assert_int_equal(atoi(y), 2000000 + 7 + 2 + 3);
    us_free(x);
    us_free(y);
    assert_ran(&shot, &three, 0);
    assert_int_equal(trainings, 2);
}

static void test_memory_slots(void **state) {
    (void)state;
    struct shot shot = make_shot("understudy: 1\nnodes:\n  h: {type: toy_heavy}\noutputs: [h]\n");
    heavy_most = 0;
    assert_ran(&shot, NULL, 6);
    assert_int_equal(heavy_most, 1);
}

static const char frail[] = "understudy: 1\nnodes:\n"
                            "  f: {type: toy_frail}\n"
                            "  g: {type: toy_add, values: [f]}\n"
                            "  s: {type: toy_sum, value: g}\noutputs: [g, s]\n";

static void test_keep_going(void **state) {
    (void)state;
    struct shot shot = make_shot(frail);
    keep_going = true;
    struct outcome outcome = run_shot(&shot, NULL);
    keep_going = false;
    assert_int_equal(outcome.summary.failed, 1);
    assert_int_equal(outcome.summary.ran, 5 + 5);
    assert_int_equal(outcome.summary.skipped, 2); /* g at 3, and the sum */
    assert_int_equal(outcome.summary.status, 75);
    assert_non_null(strstr(us_str_text(&outcome.failures), "node 'f' (toy_frail), frame 3|"));
    finish(&outcome);
    /* What was done stands; what failed is tried again. */
    outcome = run_shot(&shot, NULL);
    assert_int_equal(outcome.summary.ran, 0);
    assert_int_equal(outcome.summary.cached, 10);
    assert_int_equal(outcome.summary.failed, 1);
    finish(&outcome);
}

static void test_one_path_twice(void **state) {
    (void)state;
    struct shot shot = make_shot("understudy: 1\nnodes:\n"
                                 "  a: {type: toy_number, value: 1, frames: 1-2}\n"
                                 "  x: {type: toy_write, value: a, path: out.#.txt}\n"
                                 "  y: {type: toy_write, value: a, path: out.#.txt}\n"
                                 "outputs: [x, y]\n");
    struct outcome outcome;
    ASSERT_ERROR(try_run(&shot, NULL, true, &outcome), "both write");
    finish(&outcome);
}

static void test_write_over_source(void **state) {
    (void)state;
    struct shot shot = make_shot("understudy: 1\nnodes:\n"
                                 "  a: {type: toy_read, path: a.#.txt, frames: 1-2}\n"
                                 "  x: {type: toy_write, value: a, path: a.#.txt}\n"
                                 "outputs: [x]\n");
    put_source(&shot, "a.1.txt", "1");
    put_source(&shot, "a.2.txt", "2");
    struct outcome outcome;
    ASSERT_ERROR(try_run(&shot, NULL, true, &outcome), "would write over");
    finish(&outcome);
}

static void test_missing_source(void **state) {
    (void)state;
    struct shot shot = chain_shot();
    char *path = us_path_join(shot.folder, "a.1006.txt");
    unlink(path);
    us_free(path);
    struct outcome outcome;
    ASSERT_ERROR(try_run(&shot, NULL, true, &outcome), "frame 1006");
    finish(&outcome);
}

static void test_frames_differ(void **state) {
    (void)state;
    struct shot shot = make_shot("understudy: 1\nnodes:\n"
                                 "  a: {type: toy_number, value: 1, frames: 1-2}\n"
                                 "  b: {type: toy_number, value: 1, frames: 1-3}\n"
                                 "  c: {type: toy_add, values: [a, b]}\n"
                                 "outputs: [c]\n");
    struct outcome outcome;
    ASSERT_ERROR(try_run(&shot, NULL, true, &outcome), "'a' has 1-2, 'b' has 1-3");
    finish(&outcome);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values_and_no_op), cmocka_unit_test(test_parameter),
        cmocka_unit_test(test_source),           cmocka_unit_test(test_cutoff),
        cmocka_unit_test(test_output_file),      cmocka_unit_test(test_lost_objects),
        cmocka_unit_test(test_swapped_inputs),   cmocka_unit_test(test_one_path_twice),
        cmocka_unit_test(test_lost_model),       cmocka_unit_test(test_memory_slots),
        cmocka_unit_test(test_keep_going),       cmocka_unit_test(test_write_over_source),
        cmocka_unit_test(test_missing_source),   cmocka_unit_test(test_frames_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
