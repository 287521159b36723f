#include "tests/support/fake_task.h"

#include <stdio.h>
#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "runtime/base/str.h"
#include "tests/support/check.h"

struct fake_value {
    int port;
    size_t entry;
    struct us_frame frame;
    struct us_value *value;
};

struct us_source_item {
    char *role, *path;
};

struct us_sources {
    struct us_source_item *items;
    size_t count, capacity;
};

struct us_task {
    const struct us_node_type *type;
    void *params;
    struct us_frame frame;
    int threads, device, cancel_after;
    struct fake_value *inputs;
    size_t input_count, input_capacity;
    struct us_value *outputs[16];
    struct us_sources sources;
    char *workspace, *destination;
    char name[64];
    struct us_str status, warnings;
    struct us_error *failed;
};

static const struct us_param *find_param(const struct us_task *task, const char *name) {
    for (const struct us_param *p = task->type->params; p && p->name; p++) {
        if (strcmp(p->name, name) == 0) {
            return p;
        }
    }
    US_BUG("node type %s has no parameter %s", task->type->name, name);
}

static int find_port(const struct us_port *ports, const char *name) {
    for (int i = 0; ports && ports[i].name; i++) {
        if (strcmp(ports[i].name, name) == 0) {
            return i;
        }
    }
    US_BUG("no port %s", name);
}

static void *field(struct us_task *task, const struct us_param *param) {
    return (char *)task->params + param->offset;
}

static void set_number(struct us_task *task, const struct us_param *param, double value) {
    switch (param->type) {
    case US_PARAM_BOOL:
        *(bool *)field(task, param) = value != 0;
        break;
    case US_PARAM_INT:
        *(int64_t *)field(task, param) = (int64_t)value;
        break;
    case US_PARAM_DOUBLE:
        *(double *)field(task, param) = value;
        break;
    default:
        US_BUG("parameter %s is no number", param->name);
    }
}

static void set_default(struct us_task *task, const struct us_param *param) {
    switch (param->type) {
    case US_PARAM_BOOL:
    case US_PARAM_INT:
    case US_PARAM_DOUBLE:
        set_number(task, param, param->number);
        break;
    case US_PARAM_STRING:
    case US_PARAM_PATH:
    case US_PARAM_CHOICE:
        *(const char **)field(task, param) = param->text;
        break;
    case US_PARAM_FRAMES:
        ((struct us_frames *)field(task, param))->all = param->text && !strcmp(param->text, "all");
        break;
    case US_PARAM_STRINGS:
    case US_PARAM_PATHS:
        break;
    }
}

struct us_task *us_fake_create(const struct us_node_type *type) {
    struct us_task *task = us_calloc(1, sizeof *task);
    task->type = type;
    task->params = us_calloc(1, type->params_size + 1);
    task->frame = (struct us_frame){0, type->per_frame ? 1001 : 0};
    task->threads = 2;
    task->device = -1;
    task->cancel_after = -1;
    for (const struct us_param *p = type->params; p && p->name; p++) {
        set_default(task, p);
    }
    return task;
}

static void free_params(struct us_task *task) {
    for (const struct us_param *p = task->type->params; p && p->name; p++) {
        if (p->type == US_PARAM_FRAMES) {
            us_free(((struct us_frames *)field(task, p))->items);
        } else if (p->type == US_PARAM_STRINGS || p->type == US_PARAM_PATHS) {
            us_free(((struct us_strings *)field(task, p))->items);
        }
    }
    us_free(task->params);
}

void us_fake_destroy(struct us_task *task) {
    if (!task) {
        return;
    }
    free_params(task);
    for (size_t i = 0; i < task->input_count; i++) {
        us_value_unref(task->inputs[i].value);
    }
    for (size_t i = 0; i < 16; i++) {
        us_value_unref(task->outputs[i]);
    }
    for (size_t i = 0; i < task->sources.count; i++) {
        us_free(task->sources.items[i].role);
        us_free(task->sources.items[i].path);
    }
    us_free(task->inputs);
    us_free(task->sources.items);
    us_free(task->workspace);
    us_free(task->destination);
    us_str_finish(&task->status);
    us_str_finish(&task->warnings);
    us_free(task);
}

void us_fake_number(struct us_task *task, const char *param, double value) {
    set_number(task, find_param(task, param), value);
}

void us_fake_text(struct us_task *task, const char *param, const char *text) {
    *(const char **)field(task, find_param(task, param)) = text;
}

void us_fake_append(struct us_task *task, const char *param, const char *text) {
    struct us_strings *list = field(task, find_param(task, param));
    list->items = us_realloc(list->items, (list->count + 1) * sizeof *list->items);
    list->items[list->count++] = text;
}

void us_fake_frames(struct us_task *task, const char *param, int32_t first, int32_t last) {
    struct us_frames *frames = field(task, find_param(task, param));
    us_free(frames->items);
    *frames = (struct us_frames){.count = (size_t)(last - first + 1)};
    frames->capacity = frames->count;
    frames->items = us_calloc(frames->count, sizeof *frames->items);
    for (size_t i = 0; i < frames->count; i++) {
        frames->items[i].number = first + (int32_t)i;
    }
}

void us_fake_frame(struct us_task *task, struct us_frame frame) {
    task->frame = frame;
}
void us_fake_threads(struct us_task *task, int threads) {
    task->threads = threads;
}

void us_fake_device(struct us_task *task, int device) {
    task->device = device;
}
void us_fake_cancel_after(struct us_task *task, int count) {
    task->cancel_after = count;
}

void us_fake_input(struct us_task *task, const char *port, size_t entry, struct us_frame frame,
                   struct us_value *value) {
    us_grow(&task->inputs, &task->input_capacity, task->input_count, sizeof *task->inputs);
    task->inputs[task->input_count++] =
        (struct fake_value){find_port(task->type->inputs, port), entry, frame, value};
}

void us_fake_workspace(struct us_task *task, const char *folder) {
    us_free(task->workspace);
    task->workspace = us_strdup(folder);
}

void us_source_add(struct us_sources *sources, const char *role, const char *path,
                   const char *hint) {
    (void)hint;
    us_grow(&sources->items, &sources->capacity, sources->count, sizeof *sources->items);
    sources->items[sources->count++] = (struct us_source_item){us_strdup(role), us_strdup(path)};
}

static struct us_error *made(struct us_task *task) {
    const struct us_node_type *type = task->type;
    if (task->failed) {
        struct us_error *error = task->failed;
        task->failed = NULL;
        return error;
    }
    for (int i = 0; type->outputs[i].name; i++) {
        if (!task->outputs[i]) {
            return us_fail(US_FAILED, "output '%s' was not set", type->outputs[i].name);
        }
    }
    return NULL;
}

struct us_error *us_fake_run(struct us_task *task) {
    const struct us_node_type *type = task->type;
    if (type->check) {
        US_TRY(type->check(task->params));
    }
    if (type->sources) {
        US_TRY(type->sources(task->params, task->frame, &task->sources));
    }
    if (type->destination) {
        us_free(task->destination);
        task->destination = type->destination(task->params, task->frame);
    }
    US_TRY(type->run(task));
    return made(task);
}

struct us_error *us_fake_run_batch(struct us_task **tasks, size_t count) {
    US_TRY(tasks[0]->type->run_batch(tasks, count));
    for (size_t i = 0; i < count; i++) {
        US_TRY(made(tasks[i]));
    }
    return NULL;
}
struct us_value *us_fake_output(const struct us_task *task, const char *port) {
    return task->outputs[find_port(task->type->outputs, port)];
}

const char *us_fake_status(const struct us_task *task) {
    return us_str_text(&task->status);
}
const char *us_fake_warnings(const struct us_task *task) {
    return us_str_text(&task->warnings);
}

static const struct fake_value *nth_input(const struct us_task *task, int port, size_t index) {
    for (size_t i = 0; i < task->input_count; i++) {
        if (task->inputs[i].port == port && index-- == 0) {
            return &task->inputs[i];
        }
    }
    US_BUG("input %d has fewer values", port);
}

const void *us_task_params(const struct us_task *task) {
    return task->params;
}
struct us_frame us_task_frame(const struct us_task *task) {
    return task->frame;
}
int us_task_threads(const struct us_task *task) {
    return task->threads;
}
int us_task_device(const struct us_task *task) {
    return task->device;
}
void us_task_fail(struct us_task *task, struct us_error *error) {
    us_error_free(task->failed);
    task->failed = error;
}

struct us_error *us_task_device_full(const struct us_task *task, size_t wanted, size_t free) {
    return us_fail(US_DEVICE_FULL, "cuda:%d is out of memory: %zu wanted, %zu free", task->device,
                   wanted, free);
}

size_t us_task_devices(const struct us_task *task, const int **ordinals) {
    *ordinals = &task->device;
    return task->device >= 0;
}
const char *us_task_destination(const struct us_task *task) {
    return task->destination;
}

size_t us_task_input_count(const struct us_task *task, int port) {
    size_t count = 0;
    for (size_t i = 0; i < task->input_count; i++) {
        count += task->inputs[i].port == port;
    }
    return count;
}

struct us_frame us_task_input_frame(const struct us_task *task, int port, size_t index) {
    return nth_input(task, port, index)->frame;
}

size_t us_task_input_entry(const struct us_task *task, int port, size_t index) {
    return nth_input(task, port, index)->entry;
}

const char *us_task_input_name(struct us_task *task, int port, size_t index) {
    snprintf(task->name, sizeof task->name, "%s@%d", task->type->inputs[port].name,
             (int)nth_input(task, port, index)->frame.number);
    return task->name;
}

struct us_digest us_task_input_digest(const struct us_task *task, int port, size_t index) {
    return nth_input(task, port, index)->value->digest;
}

struct us_error *us_task_input(struct us_task *task, int port, size_t index,
                               struct us_value **value) {
    *value = nth_input(task, port, index)->value;
    return NULL;
}

void us_task_release(struct us_task *task, int port, size_t index) {
    (void)nth_input(task, port, index);
}

void us_task_output(struct us_task *task, int port, struct us_value *value) {
    us_value_unref(task->outputs[port]);
    task->outputs[port] = value;
}

struct us_error *us_task_progress(struct us_task *task, double fraction) {
    if (!(fraction <= 1)) {
        US_BUG("progress %g", fraction);
    }
    if (task->cancel_after > 0) {
        task->cancel_after--;
    }
    return task->cancel_after == 0 ? us_fail(US_CANCELLED, "stopped on request") : NULL;
}

static void append_text(struct us_str *out, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));
static void append_text(struct us_str *out, const char *format, va_list args) {
    char text[1024];
    vsnprintf(text, sizeof text, format, args);
    us_str_append(out, text);
}

void us_task_status(struct us_task *task, const char *format, ...) {
    va_list args;
    va_start(args, format);
    us_str_clear(&task->status);
    append_text(&task->status, format, args);
    va_end(args);
}

void us_task_warn(struct us_task *task, const char *format, ...) {
    va_list args;
    va_start(args, format);
    append_text(&task->warnings, format, args);
    us_str_append(&task->warnings, "\n");
    va_end(args);
}

struct us_error *us_task_workspace(struct us_task *task, const char **folder) {
    static int count;
    if (!task->workspace) {
        char name[32];
        snprintf(name, sizeof name, "workspace%d", count++);
        task->workspace = us_path_join(us_test_folder(), name);
    }
    *folder = task->workspace;
    return us_make_folders(task->workspace);
}

const char *us_task_source(const struct us_task *task, const char *role, size_t index) {
    for (size_t i = 0; i < task->sources.count; i++) {
        if (strcmp(task->sources.items[i].role, role) == 0 && index-- == 0) {
            return task->sources.items[i].path;
        }
    }
    return NULL;
}

struct us_error *us_task_written(struct us_task *task) {
    uint8_t *bytes;
    size_t size;
    US_TRY(us_read_file(task->destination, 0, &bytes, &size));
    us_task_output(task, 0, us_value_from_bytes(US_FILE, bytes, size));
    return NULL;
}
