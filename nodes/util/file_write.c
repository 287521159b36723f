#include "runtime/api/task.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"

struct file_write_params {
    const char *path;
};

static const struct us_port inputs[] = {
    {.name = "file",
     .doc = "What is written: a model, a data set, metrics, or any file a node made.",
     .data = US_DATASET | US_MODEL | US_METRICS | US_FILE,
     .reach = US_ALL_FRAMES},
    {.name = NULL}};

static const struct us_port outputs[] = {
    {.name = "file", .doc = "The written file.", .data = US_FILE}, {.name = NULL}};

#define PARAMS struct file_write_params
static const struct us_param params[] = {{.name = "path",
                                          .type = US_PARAM_PATH,
                                          .offset = offsetof(PARAMS, path),
                                          .unit = "",
                                          .required = true,
                                          .role = US_UNKEYED,
                                          .doc = "The file to write; missing folders are made."},
                                         US_PARAMS_END};

static struct us_error *run(struct us_task *task) {
    struct us_value *value;
    size_t count = us_task_input_count(task, 0);
    if (count != 1) {
        return us_error_hint(us_fail(US_FAILED, "%zu files cannot go to the one path '%s'", count,
                                     us_task_destination(task)),
                             "write the output of a node that runs once");
    }
    US_TRY(us_task_input(task, 0, 0, &value));
    US_TRY(us_write_file(us_task_destination(task), value->bytes, value->size));
    return us_task_written(task);
}

static char *destination(const void *filled, struct us_frame frame) {
    (void)frame;
    return us_strdup(((const struct file_write_params *)filled)->path);
}

const struct us_node_type us_node_file_write = {
    .name = "file_write",
    .group = "util",
    .version = 1,
    .summary = "Writes a model, data set, metrics or other file to a path.",
    .doc = "The bytes are written as they are, beside the path and then renamed: the file is "
           "either as before or complete. For images there is exr_write.",
    .example = "keep: {type: file_write, file: model, path: out/model.safetensors}\n",
    .inputs = inputs,
    .outputs = outputs,
    .params = params,
    .params_size = sizeof(struct file_write_params),
    .writes = true,
    .destination = destination,
    .run = run,
};
