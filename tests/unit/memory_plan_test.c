/* What nodes say about memory decides what may run. No memory is taken and no device touched. */
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

enum { FRAMES = 12 };

static const size_t mib = (size_t)1 << 20;
static atomic_int ran, drawing, drawing_most;
static struct us_str warnings;

static struct us_error *put(struct us_task *task, int64_t number) {
    char text[32];
    ran++;
    snprintf(text, sizeof text, "%lld", (long long)number);
    us_task_output(task, 0,
                   us_value_from_bytes(US_METRICS, (uint8_t *)us_strdup(text), strlen(text)));
    return NULL;
}

static struct us_error *some_frames(const void *params, struct us_frames *frames) {
    (void)params;
    us_toy_frames(FRAMES, frames);
    return NULL;
}

static const struct us_port outputs[] = {{.name = "value", .data = US_METRICS}, {.name = NULL}};
static const struct us_port inputs[] = {{.name = "value", .data = US_METRICS}, {.name = NULL}};
static const struct us_port all_inputs[] = {
    {.name = "value", .data = US_METRICS, .reach = US_ALL_FRAMES}, {.name = NULL}};

/* Tens of its number: another number may give the same. */
struct toy {
    int64_t number;
};
#define PARAMS struct toy
static const struct us_param params[] = {US_INT(PARAMS, number, 1, 0, 1000000, "", "A number."),
                                         US_PARAMS_END};

static int64_t number_of(const struct us_task *task) {
    return ((const struct toy *)us_task_params(task))->number;
}

static struct us_error *tens_run(struct us_task *task) {
    return put(task, number_of(task) / 10 * 100 + us_task_frame(task).number);
}

static struct us_error *crop_run(struct us_task *task) {
    return put(task, number_of(task) * 100 + us_task_frame(task).number);
}

static void crop_describe(const struct us_outlook *outlook, struct us_geometry *made) {
    made->size = (int)((const struct toy *)outlook->params)->number;
    assert_int_equal(made->count, FRAMES);
}

static struct us_error *learn_run(struct us_task *task) {
    return put(task, 7);
}

/* A MiB a pixel of a side on its device, or on the host with as many for the images there. */
static struct us_error *learn_memory(const struct us_outlook *outlook, struct us_memory *memory) {
    const struct us_geometry *crops = &outlook->inputs[0].items[0];
    const int place = outlook->device_count ? outlook->devices[0] : US_HOST_MEMORY;
    if (crops->size == 13) {
        return us_fail(US_FAILED, "13 px bring bad luck");
    }
    us_memory_add(memory, place, "weights", (size_t)crops->size * mib / 2);
    us_memory_add(memory, US_HOST_MEMORY, "images", crops->count * mib);
    us_memory_add(memory, place, "weights", (size_t)crops->size * mib / 2);
    us_memory_note(memory, "%zu images", crops->count);
    memory->hint = "make them smaller";
    return NULL;
}

static void learn_needs(const void *values, struct us_needs *needs) {
    (void)values;
    needs->threads = -1;
    needs->device = US_DEVICE_PREFERRED;
}

static struct us_error *draw_run(struct us_task *task) {
    const int now = ++drawing;
    drawing_most = now > drawing_most ? now : drawing_most;
    usleep(2000);
    drawing--;
    return put(task, 1);
}

static struct us_error *draw_memory(const struct us_outlook *outlook, struct us_memory *memory) {
    us_memory_add(memory, US_HOST_MEMORY, "work",
                  (size_t)((const struct toy *)outlook->params)->number * mib);
    return NULL;
}

#define TOY(toy_name, toy_inputs, toy_run)                                                      \
    .name = toy_name, .version = 1, .inputs = toy_inputs, .outputs = outputs, .params = params, \
    .params_size = sizeof(PARAMS), .run = toy_run
static const struct us_node_type toy_tens = {TOY("toy_tens", NULL, tens_run), .per_frame = true,
                                             .frames = some_frames, .keyed_by_frame = true};
static const struct us_node_type toy_crop = {TOY("toy_crop", inputs, crop_run), .per_frame = true,
                                             .describe = crop_describe};
static const struct us_node_type toy_learn = {TOY("toy_learn", all_inputs, learn_run),
                                              .needs = learn_needs, .memory = learn_memory};
static const struct us_node_type toy_draw = {TOY("toy_draw", NULL, draw_run), .per_frame = true,
                                             .frames = some_frames, .memory = draw_memory};
static const struct us_node_type *const types[] = {&toy_crop, &toy_draw, &toy_learn, &toy_tens};

static const char learning[] = "understudy: 1\n"
                               "params: {tens: {type: int, default: 30}, "
                               "size: {type: int, default: 40}}\n"
                               "nodes:\n"
                               "  tens: {type: toy_tens, number: $(tens)}\n"
                               "  crop: {type: toy_crop, value: tens, number: $(size)}\n"
                               "  model: {type: toy_learn, value: crop}\n"
                               "outputs: [model]\n";

static void note(void *context, const struct us_event *event) {
    (void)context;
    if (event->kind == US_EVENT_WARNING) {
        us_str_append(&warnings, event->status);
    }
}

/* A graph in a folder with a cache of its own, until `close`. */
struct shot {
    char path[300], cache[300];
    struct us_graph *graph;
    struct us_store *store;
    struct us_run *run;
};

static struct shot make_shot(const char *text) {
    static int shots;
    struct shot shot = {0};
    snprintf(shot.path, sizeof shot.path, "%s/shot%d/shot.yaml", us_test_folder(), shots);
    snprintf(shot.cache, sizeof shot.cache, "%s/shot%d/cache", us_test_folder(), shots++);
    ASSERT_OK(us_write_file(shot.path, text, strlen(text)));
    return shot;
}

static void plan(struct shot *shot, const char *name, const char *value,
                 struct us_run_options options) {
    const struct us_registry registry = {types, 4, us_toys.codec};
    const struct us_setting setting = {name, value};
    us_str_clear(&warnings);
    ran = 0;
    options.threads = 4;
    options.event = note;
    ASSERT_OK(us_graph_load(&registry, shot->path, &setting, name ? 1 : 0, &shot->graph));
    ASSERT_OK(us_cache_open(shot->cache, &shot->store));
    ASSERT_OK(us_run_create(shot->graph, shot->store, &options, &shot->run));
}

static void close_shot(struct shot *shot) {
    us_run_destroy(shot->run);
    us_cache_close(shot->store);
    us_graph_destroy(shot->graph);
}

static void runs(struct shot *shot, int tasks) {
    struct us_summary summary;
    ASSERT_OK(us_run_execute(shot->run, &summary));
    assert_int_equal(summary.status, 0);
    assert_int_equal(ran, tasks);
    close_shot(shot);
}

static void is_refused(struct shot *shot, enum us_code code, const char *text) {
    struct us_summary summary;
    struct us_error *error = us_run_execute(shot->run, &summary);
    assert_non_null(error);
    assert_int_equal(error->code, code);
    assert_string_equal(error->text, text);
    assert_string_equal(error->pos.file, shot->path);
    assert_int_equal(error->pos.line, 6);
    us_error_free(error);
    error = us_run_execute(shot->run, &summary); /* for good */
    assert_non_null(error);
    us_error_free(error);
    assert_int_equal(ran, 0);
    close_shot(shot);
}

static void what_is_taken_is_told_by_place(void **state) {
    (void)state;
    static const struct us_run_device devices[] = {
        {.ordinal = 5, .has = {80 * 1048576ul, 70 * 1048576ul}},
        {.ordinal = 2, .has = {80 * 1048576ul, 60 * 1048576ul}}};
    const struct us_memory_use *uses;
    struct shot shot = make_shot(learning);
    plan(&shot, NULL, NULL, (struct us_run_options){.memory_bytes = 100 * mib});
    assert_int_equal(us_run_memory(shot.run, &uses), 1);
    assert_int_equal(uses->place, US_HOST_MEMORY);
    assert_int_equal(uses->bytes, (40 + FRAMES) * mib);
    assert_int_equal(uses->part_count, 2); /* what has one name is one part */
    assert_string_equal(uses->parts[0].name, "weights");
    assert_int_equal(uses->parts[0].bytes, 40 * mib);
    assert_int_equal(uses->available, 100 * mib);
    assert_string_equal(uses->note, "12 images");
    close_shot(&shot);
    plan(&shot, NULL, NULL, (struct us_run_options){.devices_later = true});
    us_run_use_devices(shot.run, devices, 2);
    assert_int_equal(us_run_memory(shot.run, &uses), 2);
    assert_int_equal(uses[0].place, 2); /* it may be given the one that has least */
    assert_int_equal(uses[0].bytes, 40 * mib);
    assert_int_equal(uses[0].available, 60 * mib);
    assert_int_equal(uses[1].place, US_HOST_MEMORY);
    assert_int_equal(uses[1].bytes, FRAMES * mib);
    runs(&shot, 2 * FRAMES + 1);
    plan(&shot, NULL, NULL, (struct us_run_options){0});
    assert_false(us_run_takes_memory(shot.run)); /* all is cached */
    assert_int_equal(us_run_memory(shot.run, &uses), 0);
    close_shot(&shot);
}

static void what_cannot_fit_is_refused(void **state) {
    (void)state;
    static const struct us_run_device known = {.ordinal = 3,
                                               .has = {80 * 1048576ul, 39 * 1048576ul}},
                                      unknown = {.ordinal = 3};
    struct shot shot = make_shot(learning);
    plan(&shot, NULL, NULL, (struct us_run_options){.memory_bytes = 50 * mib});
    is_refused(&shot, US_MISSING,
               "node 'model' (toy_learn) takes 52.0 MiB of memory, this run may take 50.0 MiB: 2.0 "
               "MiB too much");
    const struct us_run_options options = {.devices = &known, .device_count = 1};
    plan(&shot, NULL, NULL, options);
    is_refused(&shot, US_MISSING,
               "node 'model' (toy_learn) takes 40.0 MiB on cuda:3, which has 39.0 MiB free: 1.0 "
               "MiB too much");
    plan(&shot, "size", "13", options);
    is_refused(&shot, US_FAILED, "node 'model' (toy_learn)");
    plan(&shot, "size", "39", options);
    runs(&shot, 2 * FRAMES + 1);
    plan(&shot, NULL, NULL, (struct us_run_options){.devices = &unknown, .device_count = 1});
    runs(&shot, FRAMES + 1);
}

/* Where what changed may come to the same, a result from a larger machine may serve. */
static void what_may_not_run_is_warned_of(void **state) {
    (void)state;
    const struct us_run_options little = {.memory_bytes = 50 * mib};
    const struct us_memory_use *uses;
    struct shot shot = make_shot(learning);
    plan(&shot, NULL, NULL, (struct us_run_options){.memory_bytes = 100 * mib});
    runs(&shot, 2 * FRAMES + 1);
    plan(&shot, "tens", "39", little);
    assert_int_equal(us_run_memory(shot.run, &uses), 1);
    assert_true(uses->maybe);
    runs(&shot, FRAMES);
    assert_non_null(strstr(us_str_text(&warnings), "2.0 MiB too much; it is refused if"));
    plan(&shot, "size", "41", little); /* the model's own input changes for certain */
    is_refused(&shot, US_MISSING,
               "node 'model' (toy_learn) takes 53.0 MiB of memory, this run may take 50.0 MiB: 3.0 "
               "MiB too much");
}

static void so_many_frames_at_a_time_as_fit(void **state) {
    (void)state;
    static const struct {
        size_t memory; /* a third of it is kept for values */
        int most;
    } cases[] = {{300, 4}, {90, 2}, {59, 1}, {31, 1}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct us_memory_use *uses;
        struct shot shot =
            make_shot("understudy: 1\nnodes: {draw: {type: toy_draw, number: 30}}\noutputs: "
                      "[draw]\n");
        drawing_most = 0;
        plan(&shot, NULL, NULL, (struct us_run_options){.memory_bytes = cases[i].memory * mib});
        assert_int_equal(us_run_memory(shot.run, &uses), 1);
        assert_int_equal(uses->at_once, cases[i].most);
        assert_int_equal(uses->bytes, (size_t)cases[i].most * 30 * mib);
        runs(&shot, FRAMES);
        assert_true(drawing_most <= cases[i].most);
        assert_true(cases[i].most == 1 || drawing_most > 1);
    }
}

static int finish(void **state) {
    (void)state;
    us_str_finish(&warnings);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_taken_is_told_by_place),
        cmocka_unit_test(what_cannot_fit_is_refused),
        cmocka_unit_test(what_may_not_run_is_warned_of),
        cmocka_unit_test(so_many_frames_at_a_time_as_fit),
    };
    return cmocka_run_group_tests(tests, NULL, finish);
}
