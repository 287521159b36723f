#include "tests/support/toy_nodes.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/api/task.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "runtime/base/str.h"

static _Atomic int ran;

int us_toys_ran(void) {
    return atomic_exchange(&ran, 0);
}

void us_toy_frames(int32_t count, struct us_frames *frames) {
    for (int32_t i = 1; i <= count; i++) {
        us_frames_add(frames, (struct us_frame){0, i});
    }
}

void us_toy_number(struct us_task *task, int64_t number) {
    struct us_str text = {0};
    us_str_printf(&text, "%" PRId64, number);
    size_t size = text.length;
    uint8_t *bytes = (uint8_t *)us_str_take(&text);
    us_task_output(task, 0, us_value_from_bytes(US_METRICS, bytes, size));
}

static void put_number(struct us_task *task, int64_t number) {
    us_toy_number(task, number);
    atomic_fetch_add(&ran, 1);
}

/* Sums the numbers at port 0. */
static struct us_error *sum_inputs(struct us_task *task, int64_t *sum) {
    *sum = 0;
    for (size_t i = 0; i < us_task_input_count(task, 0); i++) {
        struct us_value *value;
        US_TRY(us_task_input(task, 0, i, &value));
        char *text = us_strndup((const char *)value->bytes, value->size);
        *sum += strtoll(text, NULL, 10);
        us_free(text);
    }
    return NULL;
}

static const struct us_port number_out[] = {
    {.name = "out", .doc = "The number.", .data = US_METRICS}, {.name = NULL}};

struct number_params {
    int64_t value;
    struct us_frames frames;
};
#define PARAMS struct number_params
static const struct us_param number_table[] = {
    US_INT(PARAMS, value, 0, -1000, 1000, "", "Added to the frame's number."),
    US_FRAMES(PARAMS, frames, "1-3", "Which frames there are."), US_PARAMS_END};
#undef PARAMS

static struct us_error *number_frames(const void *params, struct us_frames *frames) {
    us_frames_copy(&((const struct number_params *)params)->frames, frames);
    return NULL;
}

static struct us_error *number_run(struct us_task *task) {
    const struct number_params *p = us_task_params(task);
    put_number(task, p->value + us_task_frame(task).number);
    return NULL;
}

static const struct us_node_type number = {.name = "toy_number",
                                           .group = "util",
                                           .version = 1,
                                           .summary = "A number for each frame.",
                                           .doc = "Gives value plus the number of the frame.",
                                           .example = "one: {type: toy_number, value: 1}",
                                           .outputs = number_out,
                                           .params = number_table,
                                           .params_size = sizeof(struct number_params),
                                           .per_frame = true,
                                           .frames = number_frames,
                                           .run = number_run};

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

static struct us_error *read_frames(const void *params, struct us_frames *frames) {
    const struct read_params *p = params;
    if (!p->frames.all) {
        us_frames_copy(&p->frames, frames);
        return NULL;
    }
    return us_pattern_scan(p->path, 0, frames);
}

static struct us_error *read_sources(const void *params, struct us_frame frame,
                                     struct us_sources *sources) {
    char *path = us_pattern_path(((const struct read_params *)params)->path, frame.number);
    us_source_add(sources, "number", path, "write it");
    us_free(path);
    return NULL;
}

static struct us_error *read_run(struct us_task *task) {
    uint8_t *bytes;
    size_t size;
    US_TRY(us_read_file(us_task_source(task, "number", 0), 100, &bytes, &size));
    us_task_output(task, 0, us_value_from_bytes(US_METRICS, bytes, size));
    atomic_fetch_add(&ran, 1);
    return NULL;
}

static const struct us_node_type read = {.name = "toy_read",
                                         .group = "io",
                                         .version = 1,
                                         .summary = "Numbers from files.",
                                         .doc = "Gives what stands in the file of each frame.",
                                         .example = "in: {type: toy_read, path: n.####.txt}",
                                         .outputs = number_out,
                                         .params = read_table,
                                         .params_size = sizeof(struct read_params),
                                         .per_frame = true,
                                         .frames = read_frames,
                                         .sources = read_sources,
                                         .run = read_run};

static const char *const modes[] = {"add", "subtract", NULL};
struct add_params {
    double plus;
    const char *mode;
    bool twice;
    const char *label;
};
#define PARAMS struct add_params
static const struct us_param add_table[] = {
    US_DOUBLE(PARAMS, plus, 0, 0, 512, "px", "Added to the sum."),
    US_CHOICE(PARAMS, mode, "add", modes, "What to do with plus."),
    US_BOOL(PARAMS, twice, false, "Doubles the result."),
    {.name = "label",
     .type = US_PARAM_STRING,
     .offset = offsetof(PARAMS, label),
     .unit = "",
     .role = US_UNKEYED,
     .doc = "Changes nothing."},
    US_PARAMS_END};
#undef PARAMS
static const struct us_port add_in[] = {
    {.name = "values", .doc = "What to add.", .data = US_METRICS, .list = true}, {.name = NULL}};

static struct us_error *add_run(struct us_task *task) {
    const struct add_params *p = us_task_params(task);
    int64_t sum;
    US_TRY(sum_inputs(task, &sum));
    sum += (int64_t)(strcmp(p->mode, "add") == 0 ? p->plus : -p->plus);
    put_number(task, p->twice ? 2 * sum : sum);
    return NULL;
}

static const struct us_node_type add = {.name = "toy_add",
                                        .group = "util",
                                        .version = 1,
                                        .summary = "The sum of numbers.",
                                        .doc = "Adds what arrives and a constant.",
                                        .example = "sum: {type: toy_add, values: [one, two]}",
                                        .inputs = add_in,
                                        .outputs = number_out,
                                        .params = add_table,
                                        .params_size = sizeof(struct add_params),
                                        .per_frame = true,
                                        .run = add_run};

struct window_params {
    int64_t radius;
};
#define PARAMS struct window_params
static const struct us_param window_table[] = {
    US_INT(PARAMS, radius, 1, 0, 100, "frames", "How many neighbours on each side."),
    US_PARAMS_END};
#undef PARAMS
static const struct us_port window_in[] = {
    {.name = "value", .doc = "Numbers.", .data = US_METRICS, .reach = US_WINDOW}, {.name = NULL}};

static void window_window(const void *params, int *before, int *after) {
    *before = *after = (int)((const struct window_params *)params)->radius;
}

static struct us_error *window_run(struct us_task *task) {
    int64_t sum;
    US_TRY(sum_inputs(task, &sum));
    put_number(task, sum);
    return NULL;
}

static const struct us_node_type window = {.name = "toy_window",
                                           .group = "util",
                                           .version = 1,
                                           .summary = "The sum over neighbouring frames.",
                                           .doc = "Adds the numbers of a window of frames.",
                                           .example = "near: {type: toy_window, value: one}",
                                           .inputs = window_in,
                                           .outputs = number_out,
                                           .params = window_table,
                                           .params_size = sizeof(struct window_params),
                                           .per_frame = true,
                                           .window = window_window,
                                           .run = window_run};

struct sum_params {
    int64_t steps;
    double loss, seconds;
    struct us_strings notes, files;
};
#define PARAMS struct sum_params
static const struct us_param sum_table[] = {{.name = "steps",
                                             .type = US_PARAM_INT,
                                             .offset = offsetof(PARAMS, steps),
                                             .number = 1,
                                             .min = 1,
                                             .max = 1e9,
                                             .unit = "steps",
                                             .role = US_EXTENDING,
                                             .doc = "Multiplies the sum."},
                                            {.name = "until.loss",
                                             .type = US_PARAM_DOUBLE,
                                             .offset = offsetof(PARAMS, loss),
                                             .number = (double)NAN,
                                             .min = 0,
                                             .max = HUGE_VAL,
                                             .unit = "",
                                             .doc = "Changes nothing."},
                                            {.name = "until.seconds",
                                             .type = US_PARAM_DOUBLE,
                                             .offset = offsetof(PARAMS, seconds),
                                             .number = (double)NAN,
                                             .min = 0,
                                             .max = HUGE_VAL,
                                             .unit = "s",
                                             .doc = "Changes nothing."},
                                            US_STRINGS(PARAMS, notes, "Any texts."),
                                            US_PATHS(PARAMS, files, "Any files."),
                                            US_PARAMS_END};
#undef PARAMS
static const struct us_port sum_in[] = {
    {.name = "value", .doc = "Numbers.", .data = US_METRICS, .reach = US_ALL_FRAMES},
    {.name = NULL}};

static struct us_error *sum_check(const void *params) {
    const struct sum_params *p = params;
    return p->loss > p->seconds ? us_fail(US_USAGE, "until.loss is above until.seconds") : NULL;
}

static struct us_error *sum_run(struct us_task *task) {
    const struct sum_params *p = us_task_params(task);
    int64_t sum;
    US_TRY(sum_inputs(task, &sum));
    put_number(task, sum * p->steps);
    return NULL;
}

static const struct us_node_type sum = {.name = "toy_sum",
                                        .group = "learn",
                                        .version = 1,
                                        .summary = "The sum over all frames.",
                                        .doc = "Adds the numbers of all frames, times steps.",
                                        .example = "all: {type: toy_sum, value: one, steps: 2}",
                                        .inputs = sum_in,
                                        .outputs = number_out,
                                        .params = sum_table,
                                        .params_size = sizeof(struct sum_params),
                                        .check = sum_check,
                                        .run = sum_run};

struct image_params {
    int64_t size;
    double level;
    struct us_frames frames;
};
#define PARAMS struct image_params
static const struct us_param image_table[] = {
    US_INT(PARAMS, size, 4, 1, 512, "px", "Width and height."),
    US_DOUBLE(PARAMS, level, 1, -HUGE_VAL, HUGE_VAL, "", "Value of every pixel."),
    US_FRAMES(PARAMS, frames, "1-3", "Which frames there are."), US_PARAMS_END};
#undef PARAMS
static const struct us_port image_out[] = {
    {.name = "image", .doc = "A grey square.", .data = US_IMAGE},
    {.name = "faces", .doc = "A text with the frame's number.", .data = US_FACES},
    {.name = NULL}};

static struct us_error *image_frames(const void *params, struct us_frames *frames) {
    us_frames_copy(&((const struct image_params *)params)->frames, frames);
    return NULL;
}

static struct us_error *put_image(struct us_task *task, int32_t size, float level) {
    struct us_window box = {0, 0, size - 1, size - 1};
    struct us_image *image = us_image_create(box, box);
    struct us_channel *channel;
    struct us_error *error = us_image_add_channel(image, "Y", US_FLOAT, &channel);
    if (error) {
        us_image_unref(image);
        return error;
    }
    float *pixels = channel->data;
    for (int32_t i = 0; i < size * size; i++) {
        pixels[i] = level;
    }
    us_task_output(task, 0, us_value_from_image(image));
    atomic_fetch_add(&ran, 1);
    return NULL;
}

static struct us_error *image_run(struct us_task *task) {
    const struct image_params *p = us_task_params(task);
    struct us_str text = {0};
    us_str_printf(&text, "face %" PRId32, us_task_frame(task).number);
    size_t size = text.length;
    uint8_t *bytes = (uint8_t *)us_str_take(&text);
    us_task_output(task, 1, us_value_from_bytes(US_FACES, bytes, size));
    return put_image(task, (int32_t)p->size, (float)p->level);
}

static const struct us_node_type image = {.name = "toy_image",
                                          .group = "io",
                                          .version = 1,
                                          .summary = "A grey square for each frame.",
                                          .doc = "Renders a grey square, and a text beside it.",
                                          .example = "grey: {type: toy_image, level: 0.18}",
                                          .outputs = image_out,
                                          .params = image_table,
                                          .params_size = sizeof(struct image_params),
                                          .per_frame = true,
                                          .frames = image_frames,
                                          .run = image_run};

struct grade_params {
    double gain;
};
#define PARAMS struct grade_params
static const struct us_param grade_table[] = {
    US_DOUBLE(PARAMS, gain, 1, 0, 100, "", "What to multiply by."), US_PARAMS_END};
#undef PARAMS
static const struct us_port grade_in[] = {
    {.name = "image", .doc = "The image.", .data = US_IMAGE},
    {.name = "faces", .doc = "Not looked at.", .data = US_FACES, .optional = true},
    {.name = NULL}};
static const struct us_port grade_out[] = {
    {.name = "image", .doc = "The image, graded.", .data = US_IMAGE}, {.name = NULL}};

static struct us_error *grade_run(struct us_task *task) {
    const struct grade_params *p = us_task_params(task);
    struct us_value *value;
    US_TRY(us_task_input(task, 0, 0, &value));
    const struct us_channel *channel = us_image_channel(value->image, "Y");
    return put_image(task, channel->width, *(float *)channel->data * (float)p->gain);
}

static const struct us_node_type grade = {.name = "toy_grade",
                                          .group = "comp",
                                          .version = 1,
                                          .summary = "Multiplies an image.",
                                          .doc = "Multiplies every pixel by the gain.",
                                          .example = "out: {type: toy_grade, image: grey}",
                                          .inputs = grade_in,
                                          .outputs = grade_out,
                                          .params = grade_table,
                                          .params_size = sizeof(struct grade_params),
                                          .per_frame = true,
                                          .run = grade_run};

struct write_params {
    const char *path;
};
#define PARAMS struct write_params
static const struct us_param write_table[] = {{.name = "path",
                                               .type = US_PARAM_PATH,
                                               .offset = offsetof(PARAMS, path),
                                               .unit = "",
                                               .required = true,
                                               .role = US_UNKEYED,
                                               .doc = "Where to write."},
                                              US_PARAMS_END};
#undef PARAMS
static const struct us_port write_in[] = {
    {.name = "value", .doc = "What to write.", .data = US_METRICS | US_FACES | US_FILE},
    {.name = NULL}};
static const struct us_port write_out[] = {{.name = "file", .doc = "The file.", .data = US_FILE},
                                           {.name = NULL}};

static char *write_destination(const void *params, struct us_frame frame) {
    return us_pattern_path(((const struct write_params *)params)->path, frame.number);
}

static struct us_error *write_run(struct us_task *task) {
    struct us_value *value;
    US_TRY(us_task_input(task, 0, 0, &value));
    US_TRY(us_write_file(us_task_destination(task), value->bytes, value->size));
    atomic_fetch_add(&ran, 1);
    return us_task_written(task);
}

static const struct us_node_type write = {.name = "toy_write",
                                          .group = "io",
                                          .version = 1,
                                          .summary = "Writes what arrives.",
                                          .doc = "Writes the bytes of each frame to a file.",
                                          .example = "out: {type: toy_write, value: one, "
                                                     "path: n.####.txt}",
                                          .inputs = write_in,
                                          .outputs = write_out,
                                          .params = write_table,
                                          .params_size = sizeof(struct write_params),
                                          .per_frame = true,
                                          .writes = true,
                                          .destination = write_destination,
                                          .run = write_run};

static const struct us_node_type *const types[] = {&add,  &grade, &image,  &number,
                                                   &read, &sum,   &window, &write};

const struct us_registry us_toys = {.types = types, .count = sizeof types / sizeof *types};
