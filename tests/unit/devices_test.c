/* Which tasks get which devices. No device is touched: ordinals are only handed out. */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runtime/api/run.h"
#include "runtime/api/task.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "runtime/base/str.h"
#include "tests/support/check.h"
#include "tests/support/toy_nodes.h"
#include "tests/support/toy_run.h"

enum { FRAMES = 12, ORDINALS = 8 };

static const struct us_run_device two[] = {{.ordinal = 5}, {.ordinal = 2}};
static atomic_int users[ORDINALS]; /* of each ordinal, now */
static atomic_int most, together;  /* tasks with a device at once; uses of one by two tasks */
static atomic_int on_cpu, on_device[ORDINALS], on_all, plain;

static struct us_error *some_frames(const void *params, struct us_frames *frames) {
    (void)params;
    us_toy_frames(FRAMES, frames);
    return NULL;
}

static struct us_error *use_devices(struct us_task *task) {
    const int *ordinals;
    const size_t count = us_task_devices(task, &ordinals);
    int busy = 0;
    for (size_t i = 0; i < count; i++) {
        together += atomic_fetch_add(&users[ordinals[i]], 1) > 0;
    }
    for (int i = 0; i < ORDINALS; i++) {
        busy += users[i] > 0;
    }
    most = busy > most ? busy : most;
    usleep(3000);
    for (size_t i = 0; i < count; i++) {
        atomic_fetch_sub(&users[ordinals[i]], 1);
    }
    assert_int_equal(us_task_device(task), count ? ordinals[0] : -1);
    on_cpu += count == 0;
    on_all += count == 2;
    if (count == 1) {
        on_device[ordinals[0]]++;
    }
    us_toy_number(task, us_task_frame(task).number);
    return NULL;
}

static struct us_error *use_none(struct us_task *task) {
    assert_int_equal(us_task_device(task), -1);
    plain++;
    us_toy_number(task, us_task_frame(task).number);
    return NULL;
}

static const struct us_port outputs[] = {{.name = "value", .data = US_METRICS}, {.name = NULL}};
#define TOY(toy_name, toy_needs, toy_run)                                      \
    {                                                                          \
        .name = toy_name, .version = 1, .outputs = outputs, .per_frame = true, \
        .frames = some_frames, .needs = toy_needs, .run = toy_run              \
    }
static const struct us_node_type toy_one = TOY("toy_one", us_toy_wants_one, use_devices);
static const struct us_node_type toy_all = TOY("toy_all", us_toy_wants_all, use_devices);
static const struct us_node_type toy_plain = TOY("toy_plain", NULL, use_none);

static void run(const char *name, const char *text, const struct us_run_device *devices,
                size_t device_count) {
    const struct us_node_type *types[] = {&toy_one, &toy_all, &toy_plain};
    const struct us_registry registry = {types, 3, us_toys.codec};
    char folder[256], path[300], cache[300];
    snprintf(folder, sizeof folder, "%s/%s", us_test_folder(), name);
    snprintf(path, sizeof path, "%s/shot.yaml", folder);
    snprintf(cache, sizeof cache, "%s/cache", folder);
    ASSERT_OK(us_write_file(path, text, strlen(text)));
    most = together = on_cpu = on_all = plain = 0;
    memset(on_device, 0, sizeof on_device);
    const struct us_run_options options = {
        .threads = 4, .devices = devices, .device_count = device_count};
    assert_int_equal(us_toy_run(&registry, path, NULL, cache, &options).status, 0);
}

static void each_has_one_to_itself(void **state) {
    (void)state;
    run("one", "understudy: 1\nnodes: {a: {type: toy_one}}\noutputs: [a]\n", two, 2);
    assert_int_equal(together, 0);
    assert_int_equal(most, 2);
    assert_int_equal(on_device[2] + on_device[5], FRAMES);
    assert_true(on_device[2] > 0 && on_device[5] > 0);
    assert_int_equal(on_cpu, 0);
}

static void one_task_can_have_all(void **state) {
    (void)state;
    run("all",
        "understudy: 1\nnodes: {a: {type: toy_one}, b: {type: toy_all}, c: {type: toy_plain}}\n"
        "outputs: [a, b, c]\n",
        two, 2);
    assert_int_equal(together, 0);
    assert_int_equal(on_all, FRAMES);
    assert_int_equal(on_device[2] + on_device[5], FRAMES);
    assert_int_equal(plain, FRAMES);
}

static void without_devices_all_compute_on_the_cpu(void **state) {
    (void)state;
    run("none", "understudy: 1\nnodes: {a: {type: toy_one}, b: {type: toy_all}}\noutputs: [a, b]\n",
        NULL, 0);
    assert_int_equal(on_cpu, 2 * FRAMES);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_has_one_to_itself),
        cmocka_unit_test(one_task_can_have_all),
        cmocka_unit_test(without_devices_all_compute_on_the_cpu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
