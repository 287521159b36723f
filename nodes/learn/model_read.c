#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "nodes/learn/model_file.h"
#include "nodes/learn/onnx/net.h"
#include "nodes/learn/swap_outlook.h"
#include "runtime/api/task.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"

struct read_params {
    const char *path;
};

#define PARAMS struct read_params
static const struct us_param params[] = {{.name = "path",
                                          .doc = "The model's safetensors or ONNX file.",
                                          .type = US_PARAM_PATH,
                                          .offset = US_PARAM_FIELD_(PARAMS, path, const char *),
                                          .unit = "",
                                          .required = true},
                                         US_PARAMS_END};

static const struct us_port outputs[] = {{.name = "model", .doc = "The model.", .data = US_MODEL},
                                         {.name = NULL}};

static struct us_error *sources(const void *params_of, struct us_frame frame,
                                struct us_sources *into) {
    const struct read_params *p = params_of;
    (void)frame;
    us_source_add(into, "model", p->path, "give the path of a model that train_swap made");
    return NULL;
}

static struct us_error *check_swap(struct us_task *task, const uint8_t *bytes, size_t size) {
    struct us_swap_model model = {0};
    struct us_error *error = us_swap_model_parse(bytes, size, &model);
    if (!error) {
        us_task_status(task, "%s, %llu steps", us_swap_model_text(&model),
                       (unsigned long long)model.steps);
    }
    us_swap_model_finish(&model);
    return error;
}

static struct us_error *check_onnx(struct us_task *task, const uint8_t *bytes, size_t size) {
    struct us_onnx_file file = {0};
    struct us_error *error = us_onnx_file_parse(bytes, size, &file);
    error = error ? error : us_onnx_check(&file);
    if (!error) {
        us_task_status(task, "ONNX, %zu operators of set %lld", file.node_count,
                       (long long)file.opset);
    }
    us_onnx_file_finish(&file);
    return error;
}

static struct us_error *run(struct us_task *task) {
    const char *path = us_task_source(task, "model", 0);
    uint8_t *bytes;
    size_t size;
    US_TRY(us_read_file(path, 0, &bytes, &size));
    struct us_error *error =
        us_onnx_sniff(bytes, size) ? check_onnx(task, bytes, size) : check_swap(task, bytes, size);
    if (error) {
        us_free(bytes);
        return us_error_wrap(error, "cannot use the model '%s'", path);
    }
    us_task_output(task, 0, us_value_from_bytes(US_MODEL, bytes, size));
    return NULL;
}

/* The net of a model of train_swap, as the file's head says; what is wrong with the file is said
 * when it is read. */
static void describe(const struct us_outlook *outlook, struct us_geometry *made) {
    const struct read_params *p = outlook->params;
    struct stat about;
    const int fd = open(p->path, O_RDONLY | O_CLOEXEC);
    const bool there = fd >= 0 && fstat(fd, &about) == 0 && about.st_size > 0;
    const size_t size = there ? (size_t)about.st_size : 0;
    void *bytes = there ? mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
    if (bytes != MAP_FAILED) {
        struct us_swap_outlook *model = us_arena_alloc(outlook->arena, sizeof *model);
        struct us_error *error =
            us_onnx_sniff(bytes, size) ? NULL : us_swap_model_arch(bytes, size, &model->arch);
        if (!error && model->arch.resolution > 0) {
            *made = (struct us_geometry){.size = model->arch.resolution, .about = model};
        }
        us_error_free(error);
        munmap(bytes, size);
    }
    if (fd >= 0) {
        close(fd);
    }
}

const struct us_node_type us_node_model_read = {
    .name = "model_read",
    .group = "learn",
    .version = 1,
    .summary = "Reads a trained model from a file.",
    .doc = "Takes a safetensors file that train_swap made, checks every array against the "
           "architecture the file names, and hands it on for infer_swap or as the start of "
           "another training; or an ONNX file, checks that every operator in it is known, and "
           "hands it on for infer_onnx.",
    .example = "base: {type: model_read, path: models/base.safetensors}",
    .outputs = outputs,
    .params = params,
    .params_size = sizeof(PARAMS),
    .sources = sources,
    .describe = describe,
    .run = run,
};
