#include "runtime/api/task.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "runtime/exec/run_internal.h"

const void *us_task_params(const struct us_task *task) {
    return task->params;
}

struct us_frame us_task_frame(const struct us_task *task) {
    return task->task->frame;
}

size_t us_task_input_count(const struct us_task *task, int port) {
    return task->input_counts[port];
}

static const struct input_ref *input_at(const struct us_task *task, int port, size_t index) {
    if (index >= task->input_counts[port]) {
        US_BUG("%s asks for input %zu of port %d, which has %zu", task->node->type->name, index,
               port, task->input_counts[port]);
    }
    return &task->inputs[port][index];
}

struct us_frame us_task_input_frame(const struct us_task *task, int port, size_t index) {
    const struct task *above = &task->run->tasks[input_at(task, port, index)->task];
    return task_node(task->run, above)->type->per_frame ? above->frame : task->task->frame;
}

size_t us_task_input_entry(const struct us_task *task, int port, size_t index) {
    return input_at(task, port, index)->entry;
}

const char *us_task_input_name(struct us_task *task, int port, size_t index) {
    const struct input_ref *ref = input_at(task, port, index);
    const struct task *above = &task->run->tasks[ref->task];
    const char *label = task_label(task->run, above, &task->arena);
    if (ref->port == 0) {
        return label;
    }
    const struct us_node *node = task_node(task->run, above);
    return us_arena_printf(&task->arena, "%s.%s%s", node->name, node->type->outputs[ref->port].name,
                           label + strlen(node->name));
}

struct us_digest us_task_input_digest(const struct us_task *task, int port, size_t index) {
    const struct input_ref *ref = input_at(task, port, index);
    return task->run->tasks[ref->task].digests[ref->port];
}

struct us_error *us_task_input(struct us_task *task, int port, size_t index,
                               struct us_value **value) {
    const struct input_ref *ref = input_at(task, port, index);
    struct us_value **held = &task->loaded[port][index];
    if (!*held) {
        US_TRY(load_value(task->run, &task->run->tasks[ref->task], ref->port, task->grant, held));
    }
    *value = *held;
    return NULL;
}

void us_task_release(struct us_task *task, int port, size_t index) {
    us_value_unref(task->loaded[port][index]);
    task->loaded[port][index] = NULL;
}

void us_task_output(struct us_task *task, int port, struct us_value *value) {
    if (task->outputs[port]) {
        US_BUG("%s sets output %d twice", task->node->type->name, port);
    }
    if (value->data != task->node->type->outputs[port].data) {
        US_BUG("%s sets output %d to the wrong type", task->node->type->name, port);
    }
    task->outputs[port] = value;
}

static void report(struct us_task *task, enum us_event_kind kind, double fraction) {
    struct us_event event = {
        .kind = kind, .fraction = fraction, .status = task->status[0] ? task->status : NULL};
    send_event_at(task->run, task->task, task->grant, &event);
}

struct us_error *us_task_progress(struct us_task *task, double fraction) {
    if (atomic_load_explicit(&task->run->stopping, memory_order_relaxed) ||
        atomic_load_explicit(&task->run->cancelled, memory_order_relaxed)) {
        return us_fail(US_CANCELLED, "stopped on request");
    }
    double interval = task->run->options.progress_interval, now = now_seconds();
    if (fraction >= 0 && now - task->last_progress >= (interval > 0 ? interval : 0.1)) {
        task->last_progress = now;
        report(task, US_EVENT_PROGRESS, fraction);
    }
    return NULL;
}

void us_task_status(struct us_task *task, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(task->status, sizeof task->status, format, args);
    va_end(args);
}

void us_task_warn(struct us_task *task, const char *format, ...) {
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    struct us_event event = {.kind = US_EVENT_WARNING, .status = text};
    send_event_at(task->run, task->task, task->grant, &event);
}

void us_task_fail(struct us_task *task, struct us_error *error) {
    us_error_free(task->failed);
    task->failed = error;
}

int us_task_threads(const struct us_task *task) {
    return task->grant->threads;
}

int us_task_device(const struct us_task *task) {
    return task->grant->cuda_count ? task->grant->cuda[0] : -1;
}

size_t us_task_devices(const struct us_task *task, const int **ordinals) {
    *ordinals = task->grant->cuda;
    return task->grant->cuda_count;
}

struct us_error *us_task_device_full(const struct us_task *task, size_t wanted, size_t free) {
    const struct grant *grant = task->grant;
    struct us_str text = {0};
    us_str_printf(&text, "%s is out of memory", grant->device[0] ? grant->device : "the device");
    if (wanted) {
        us_str_append(&text, ": ");
        us_str_size(&text, wanted);
        us_str_append(&text, " wanted");
    }
    free = free ? free : grant->device_bytes_free;
    if (free) {
        us_str_append(&text, wanted ? ", " : ": ");
        us_str_size(&text, free);
        us_str_append(&text, " free");
    }
    struct us_error *error = us_fail(US_DEVICE_FULL, "%s", us_str_text(&text));
    us_str_finish(&text);
    return error;
}

struct us_error *us_task_workspace(struct us_task *task, const char **folder) {
    if (!task->workspace) {
        struct us_store *store = task->run->store;
        struct us_str fields = {0};
        struct us_error *error = action_fields(task->run, task->task, true, &fields);
        const struct us_digest key = key_of("understudy workspace 1", &fields);
        us_str_finish(&fields);
        US_TRY(error);
        US_TRY(store->ops->workspace(store, &key, &task->workspace));
    }
    *folder = task->workspace;
    return NULL;
}

const char *us_task_source(const struct us_task *task, const char *role, size_t index) {
    for (size_t i = 0; i < task->sources.count; i++) {
        if (strcmp(task->sources.items[i].role, role) == 0 && index-- == 0) {
            return task->sources.items[i].path;
        }
    }
    return NULL;
}

const char *us_task_destination(const struct us_task *task) {
    return task->destination;
}

struct us_error *us_task_written(struct us_task *task) {
    uint8_t *bytes;
    size_t size;
    US_TRY(us_read_file(task->destination, 0, &bytes, &size));
    struct us_value *value = us_value_from_bytes(US_FILE, bytes, size);
    struct us_store *store = task->run->store;
    store->ops->remember_file(store, task->destination, &value->digest);
    us_task_output(task, 0, value);
    return NULL;
}
