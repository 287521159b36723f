/* What a run makes of devices, batches and full devices. No device is touched. */
#include <pthread.h>
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

enum { FRAMES = 12 };

static const struct us_run_device gpus[] = {{.ordinal = 0, .budget = 100 << 20},
                                            {.ordinal = 1, .budget = 100 << 20}};
static const struct us_run_device parts[] = {{.kind = US_DEVICE_CPU, .ordinal = 0},
                                             {.kind = US_DEVICE_CPU, .ordinal = 1}};

static atomic_int now, most, alone, on_cpu, on_gpu[2], threads_seen, sizes[9];
static const char *batch_fault; /* of the whole batch, once; then NULL */
static struct us_str story;
static int begun; /* starts that were told */

static struct us_error *some_frames(const void *params, struct us_frames *frames) {
    (void)params;
    us_toy_frames(FRAMES, frames);
    return NULL;
}

static void shares(const void *params, struct us_needs *needs) {
    (void)params;
    *needs = (struct us_needs){
        .device = US_DEVICE_PREFERRED, .device_bytes = 40 << 20, .shared = true, .batch = 4};
}

static void wants_all(const void *params, struct us_needs *needs) {
    (void)params;
    needs->device = US_DEVICE_ALL;
    needs->threads = -1;
}

/* Two fit on a device; each finds none of its memory free while another is there. */
static struct us_error *crowd_run(struct us_task *task) {
    const int together = atomic_fetch_add(&now, 1) + 1;
    most = together > most ? together : most;
    const bool odd = us_task_frame(task).number % 2;
    bool crowded = together > 1;
    for (int i = 0; i < 3 || (odd && !crowded && i < 20); i++) {
        usleep(1000);
        crowded = crowded || atomic_load(&now) > 1;
    }
    atomic_fetch_sub(&now, 1);
    if (crowded && odd) {
        return us_task_device_full(task, 40 << 20, 0);
    }
    alone += !crowded;
    us_toy_number(task, us_task_frame(task).number);
    return NULL;
}

/* Has no memory on any GPU. */
static struct us_error *large_run(struct us_task *task) {
    const int device = us_task_device(task);
    if (device >= 0) {
        on_gpu[device]++;
        return us_task_device_full(task, 3 << 20, 1 << 20);
    }
    on_cpu++;
    us_toy_number(task, us_task_frame(task).number);
    return NULL;
}

static struct us_error *count_threads(struct us_task *task) {
    threads_seen = us_task_threads(task);
    on_cpu += us_task_device(task) < 0;
    const int together = atomic_fetch_add(&now, 1) + 1;
    most = together > most ? together : most;
    usleep(2000);
    atomic_fetch_sub(&now, 1);
    us_toy_number(task, us_task_frame(task).number);
    return NULL;
}

static void batches(const void *params, struct us_needs *needs) {
    (void)params;
    *needs = (struct us_needs){.device = US_DEVICE_PREFERRED, .batch = 8};
}

static struct us_error *one_run(struct us_task *task) {
    sizes[1]++;
    if (us_task_frame(task).number == 5) {
        return us_fail(US_FAILED, "five is out of order");
    }
    us_toy_number(task, us_task_frame(task).number);
    return NULL;
}

static struct us_error *many_run(struct us_task **tasks, size_t count) {
    sizes[count]++;
    if (batch_fault && strcmp(batch_fault, "full") == 0 && count > 2) {
        return us_task_device_full(tasks[0], 8, 4);
    }
    if (batch_fault && strcmp(batch_fault, "bad") == 0) {
        us_toy_number(tasks[0], us_task_frame(tasks[0]).number); /* is not kept */
        return us_fail(US_FAILED, "one of them is wrong");
    }
    for (size_t i = 0; i < count; i++) {
        if (us_task_frame(tasks[i]).number == 5) {
            us_task_fail(tasks[i], us_fail(US_FAILED, "five is out of order"));
        } else {
            us_toy_number(tasks[i], us_task_frame(tasks[i]).number);
        }
    }
    return NULL;
}

static const struct us_port outputs[] = {{.name = "value", .data = US_METRICS}, {.name = NULL}};
#define TOY(toy_name, toy_needs, toy_run)                                                         \
    .name = toy_name, .version = 1, .outputs = outputs, .per_frame = true, .frames = some_frames, \
    .needs = toy_needs, .run = toy_run, .keyed_by_frame = true
static const struct us_node_type toy_crowd = {TOY("toy_crowd", shares, crowd_run)};
static const struct us_node_type toy_large = {TOY("toy_large", us_toy_wants_one, large_run)};
static const struct us_node_type toy_model = {TOY("toy_model", us_toy_wants_one, large_run),
                                              .volatile_result = true};
static const struct us_node_type toy_threads = {
    TOY("toy_threads", us_toy_wants_one, count_threads)};
static const struct us_node_type toy_gang = {TOY("toy_gang", wants_all, count_threads)};
static const struct us_node_type toy_batch = {TOY("toy_batch", batches, one_run),
                                              .run_batch = many_run};

static void note(void *context, const struct us_event *event) {
    (void)context;
    begun += event->kind == US_EVENT_START;
    if (event->kind == US_EVENT_WARNING) {
        us_str_printf(&story, "%s\n", event->status);
    }
    for (const struct us_error *e = event->kind == US_EVENT_FAILED ? event->error : NULL; e;
         e = e->cause) {
        us_str_printf(&story, "%s|%s\n", e->text, e->hint ? e->hint : "");
    }
}

static struct us_summary run(const char *type, const struct us_run_device *devices, size_t count) {
    const struct us_node_type *types[] = {&toy_batch, &toy_crowd, &toy_gang,
                                          &toy_large, &toy_model, &toy_threads};
    const struct us_registry registry = {types, 6, us_toys.codec};
    static int runs;
    char path[300], cache[300], text[200];
    snprintf(path, sizeof path, "%s/%d/shot.yaml", us_test_folder(), runs);
    snprintf(cache, sizeof cache, "%s/%d/cache", us_test_folder(), runs++);
    snprintf(text, sizeof text, "understudy: 1\nnodes: {a: {type: %s}}\noutputs: [a]\n", type);
    ASSERT_OK(us_write_file(path, text, strlen(text)));
    now = most = alone = on_cpu = on_gpu[0] = on_gpu[1] = 0;
    memset(sizes, 0, sizeof sizes);
    us_str_clear(&story);
    begun = 0;
    const struct us_run_options options = {
        .threads = 4, .devices = devices, .device_count = count, .keep_going = true, .event = note};
    return us_toy_run(&registry, path, NULL, cache, &options);
}

static bool told(const char *text) {
    return strstr(us_str_text(&story), text) != NULL;
}

static int times(const char *text) {
    int count = 0;
    for (const char *at = us_str_text(&story); (at = strstr(at, text)) != NULL; at++) {
        count++;
    }
    return count;
}

static void a_part_of_the_cpu_is_a_device(void **state) {
    (void)state;
    assert_int_equal(run("toy_threads", parts, 2).ran, FRAMES);
    assert_int_equal(threads_seen, 2); /* of four */
    assert_int_equal(on_cpu, FRAMES);
    assert_int_equal(most, 2);
    assert_int_equal(run("toy_gang", parts, 2).ran, FRAMES);
    assert_int_equal(threads_seen, 4);
    assert_int_equal(most, 1);
    assert_int_equal(run("toy_threads", NULL, 0).ran, FRAMES);
    assert_int_equal(threads_seen, 1);
}

static void a_crowded_device_is_tried_alone(void **state) {
    (void)state;
    assert_int_equal(run("toy_crowd", gpus, 1).ran, FRAMES);
    assert_true(most == 2); /* more than two do not fit */
    assert_true(alone > 0);
    assert_true(told("cuda:0 is out of memory: 40.0 MiB wanted"));
    assert_true(told("; again with the device for itself"));
    assert_false(told("on the CPU"));
}

static void a_full_device_is_left_for_another_and_then_the_cpu(void **state) {
    (void)state;
    assert_int_equal(run("toy_large", gpus, 2).ran, FRAMES);
    assert_int_equal(on_cpu, FRAMES);
    assert_in_range(on_gpu[0], 3, FRAMES - 1); /* later frames do not try what failed in a row */
    assert_in_range(on_gpu[1], 3, FRAMES - 1);
    assert_int_equal(begun, FRAMES); /* once, however often it is tried */
    assert_true(told("cuda:0 is out of memory: 3.0 MiB wanted, 1.0 MiB free; on another device"));
    assert_true(told("cuda:1 is out of memory: 3.0 MiB wanted, 1.0 MiB free; on"));
    assert_in_range(times("; on another device"), 1, 2); /* once a device, not once a frame */
    assert_in_range(times("; on the CPU"), 1, 2);
}

static void a_training_does_not_change_its_kind_of_device(void **state) {
    (void)state;
    const struct us_summary summary = run("toy_model", gpus, 2);
    assert_int_equal(summary.failed, FRAMES);
    assert_int_equal(summary.status, 75);
    assert_int_equal(on_gpu[0] + on_gpu[1], 2 * FRAMES);
    assert_int_equal(on_cpu, 0);
    assert_true(told("node 'a' (toy_model), frame 3|"));
    assert_true(told(" is out of memory: 3.0 MiB wanted, 1.0 MiB free|"));
    assert_true(told("give it a device with more memory (--devices)"));
}

static int batched(void) {
    int frames = 0;
    for (int i = 2; i <= 8; i++) {
        frames += i * sizes[i];
    }
    return frames;
}

static void ready_frames_come_together(void **state) {
    (void)state;
    struct us_summary summary = run("toy_batch", gpus, 1);
    assert_int_equal(summary.ran, FRAMES - 1);
    assert_int_equal(summary.failed, 1); /* the one it named */
    assert_int_equal(sizes[8], 1);
    assert_int_equal(sizes[4], 1);
    assert_int_equal(sizes[1], 0);
    assert_true(told("node 'a' (toy_batch), frame 5|"));
    summary = run("toy_batch", NULL, 0);
    assert_int_equal(summary.ran, FRAMES - 1);
    assert_true(batched() + sizes[1] == FRAMES);
}

static void a_batch_that_fails_is_taken_apart(void **state) {
    (void)state;
    batch_fault = "bad";
    struct us_summary summary = run("toy_batch", gpus, 1);
    assert_int_equal(summary.ran, FRAMES - 1);
    assert_int_equal(summary.failed, 1);
    assert_int_equal(sizes[1], FRAMES);
    batch_fault = "full";
    summary = run("toy_batch", gpus, 1);
    assert_int_equal(summary.ran, FRAMES - 1);
    assert_int_equal(sizes[8] + sizes[4], 1 + 2 + 1); /* 8, 4 and 4; 4 */
    assert_int_equal(sizes[2], FRAMES / 2);
    assert_int_equal(sizes[1], 0);
    batch_fault = NULL;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_part_of_the_cpu_is_a_device),
        cmocka_unit_test(a_crowded_device_is_tried_alone),
        cmocka_unit_test(a_full_device_is_left_for_another_and_then_the_cpu),
        cmocka_unit_test(a_training_does_not_change_its_kind_of_device),
        cmocka_unit_test(ready_frames_come_together),
        cmocka_unit_test(a_batch_that_fails_is_taken_apart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
