/* A run knows from the last one how long tasks take, and lets short ones in between while a gang
 * waits for its devices. */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runtime/api/task.h"
#include "runtime/base/path.h"
#include "tests/support/check.h"
#include "tests/support/toy_nodes.h"
#include "tests/support/toy_run.h"

static const struct us_run_device gpus[] = {{.ordinal = 0, .budget = 100 << 20},
                                            {.ordinal = 1, .budget = 100 << 20}};
static atomic_int shorts, shorts_before;
static bool again; /* the second run */

static struct us_error *six_frames(const void *params, struct us_frames *frames) {
    (void)params;
    us_toy_frames(6, frames);
    return NULL;
}

/* A second by the clock of the first run; in the second until something ran beside it. */
static struct us_error *hold_run(struct us_task *task) {
    const int least = again ? 0 : 1000, most = again ? 10000 : 1000;
    for (int ms = 0; ms < most && (ms < least || shorts == 0); ms++) {
        usleep(1000);
    }
    us_toy_number(task, 1);
    return NULL;
}

static struct us_error *gang_run(struct us_task *task) {
    shorts_before = shorts;
    usleep(100000);
    us_toy_number(task, 2);
    return NULL;
}

static struct us_error *short_run(struct us_task *task) {
    shorts++;
    us_toy_number(task, us_task_frame(task).number);
    return NULL;
}

static const struct us_port outputs[] = {{.name = "value", .data = US_METRICS}, {.name = NULL}};

static void run(const char *path, const char *cache, uint32_t version) {
    const struct us_node_type hold = {.name = "hold",
                                      .version = version,
                                      .outputs = outputs,
                                      .needs = us_toy_wants_one,
                                      .run = hold_run},
                              gang = {.name = "gang",
                                      .version = version,
                                      .outputs = outputs,
                                      .needs = us_toy_wants_all,
                                      .run = gang_run},
                              brief = {.name = "short",
                                       .version = version,
                                       .outputs = outputs,
                                       .per_frame = true,
                                       .frames = six_frames,
                                       .needs = us_toy_wants_one,
                                       .run = short_run,
                                       .keyed_by_frame = true};
    const struct us_node_type *types[] = {&gang, &hold, &brief};
    const struct us_registry registry = {types, 3, us_toys.codec};
    const struct us_run_options options = {.threads = 4, .devices = gpus, .device_count = 2};
    shorts = shorts_before = 0;
    const struct us_summary summary = us_toy_run(&registry, path, NULL, cache, &options);
    assert_int_equal(summary.ran, 8);
    assert_int_equal(shorts, 6);
}

static void short_tasks_do_not_wait_for_a_gang(void **state) {
    (void)state;
    static const char text[] =
        "understudy: 1\n"
        "nodes: {a: {type: hold}, b: {type: gang}, c: {type: short}}\noutputs: [a, b, c]\n";
    char path[300], cache[300];
    snprintf(path, sizeof path, "%s/shot.yaml", us_test_folder());
    snprintf(cache, sizeof cache, "%s/cache", us_test_folder());
    ASSERT_OK(us_write_file(path, text, strlen(text)));
    again = false;
    run(path, cache, 1);
    again = true;
    run(path, cache, 2);
    assert_true(shorts_before > 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(short_tasks_do_not_wait_for_a_gang)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
