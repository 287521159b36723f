#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "runtime/exec/run_internal.h"

static size_t output_count(const struct us_run *run, const struct task *task) {
    return (size_t)us_port_count(task_node(run, task)->type->outputs);
}

/* Drops the values longest unused until the budget holds. Called with the lock. */
static void shrink(struct us_run *run, const struct task *spare) {
    while (run->memory_used > run->memory_limit) {
        struct task *oldest = NULL;
        for (size_t i = 0; i < run->plan_count; i++) {
            struct task *task = &run->tasks[run->plan[i]];
            if (task->values && task != spare && (!oldest || task->last_use < oldest->last_use)) {
                oldest = task;
            }
        }
        if (!oldest) {
            return;
        }
        for (size_t port = 0; port < output_count(run, oldest); port++) {
            if (oldest->values[port]) {
                run->memory_used -= us_value_bytes(oldest->values[port]);
                us_value_unref(oldest->values[port]);
            }
        }
        us_free(oldest->values);
        oldest->values = NULL;
    }
}

void keep_value(struct us_run *run, struct task *task, uint32_t port, struct us_value *value) {
    pthread_mutex_lock(&run->lock);
    if (!task->values) {
        task->values = us_calloc(output_count(run, task), sizeof *task->values);
    }
    if (!task->values[port]) {
        task->values[port] = us_value_ref(value);
        run->memory_used += us_value_bytes(value);
    }
    task->last_use = ++run->clock;
    shrink(run, task);
    pthread_mutex_unlock(&run->lock);
}

void drop_values(struct us_run *run) {
    for (uint32_t i = 0; i < run->task_count; i++) {
        struct task *task = &run->tasks[i];
        for (size_t port = 0; task->values && port < output_count(run, task); port++) {
            us_value_unref(task->values[port]);
        }
        us_free(task->values);
        us_free(task->digests);
    }
}

static struct us_error *decode(struct us_run *run, const struct task *task, uint32_t port,
                               uint8_t *bytes, size_t size, struct us_value **value) {
    enum us_data data = (enum us_data)task_node(run, task)->type->outputs[port].data;
    if (data != US_IMAGE) {
        *value = us_value_from_bytes(data, bytes, size);
        return NULL;
    }
    struct us_image *image;
    struct us_error *error = run->graph->registry->codec->decode(bytes, size, &image);
    us_free(bytes);
    if (!error) {
        *value = us_value_from_image(image);
    }
    return error;
}

/* From the cache; *value stays NULL when it is not there or not what its name says. */
static struct us_error *load_stored(struct us_run *run, const struct task *task, uint32_t port,
                                    struct us_value **value) {
    uint8_t *bytes;
    size_t size;
    const struct us_digest *digest = &task->digests[port];
    US_TRY(run->store->ops->get_object(run->store, digest, &bytes, &size));
    if (!bytes) {
        return NULL;
    }
    struct us_error *error = decode(run, task, port, bytes, size, value);
    if (error || !us_digest_equal(&(*value)->digest, digest)) {
        us_error_free(error);
        if (!error) {
            us_value_unref(*value);
        }
        *value = NULL;
    }
    return NULL;
}

static struct us_error *load_destination(struct us_run *run, const struct task *task,
                                         struct us_value **value) {
    char *path = task_destination(run, task);
    uint8_t *bytes;
    size_t size;
    struct us_error *error = us_read_file(path, 0, &bytes, &size);
    us_free(path);
    if (error) {
        us_error_free(error);
        return NULL;
    }
    *value = us_value_from_bytes(US_FILE, bytes, size);
    if (!us_digest_equal(&(*value)->digest, &task->digests[0])) {
        us_value_unref(*value);
        *value = NULL;
    }
    return NULL;
}

static struct us_value *in_memory(struct us_run *run, struct task *task, uint32_t port) {
    struct us_value *value = task->values ? task->values[port] : NULL;
    if (value) {
        task->last_use = ++run->clock;
        us_value_ref(value);
    }
    return value;
}

static struct us_error *fetch(struct us_run *run, struct task *task, uint32_t port,
                              struct us_value **value) {
    const struct us_node_type *type = task_node(run, task)->type;
    if (!task->digests) {
        *value = NULL; /* nothing is known of it: it runs */
    } else if (type->writes) {
        US_TRY(load_destination(run, task, value));
    } else if (task_is_stored(run, task)) {
        US_TRY(load_stored(run, task, port, value));
    }
    if (*value) {
        keep_value(run, task, port, *value);
        return NULL;
    }
    if (task->digests && type->volatile_result) {
        return us_error_hint(us_fail(US_RETRY, "its result was lost or damaged while this ran"),
                             "run again: it is made anew, with all that is below it");
    }
    US_TRY(remake_values(run, task));
    pthread_mutex_lock(&run->lock);
    *value = in_memory(run, task, port);
    pthread_mutex_unlock(&run->lock);
    return *value ? NULL : us_fail(US_RETRY, "no memory left to hold '%s'", type->name);
}

struct us_error *load_value(struct us_run *run, struct task *task, uint32_t port,
                            struct us_value **value) {
    pthread_mutex_lock(&run->lock);
    for (;;) {
        *value = in_memory(run, task, port);
        if (*value || !task->busy) {
            break;
        }
        pthread_cond_wait(&run->changed, &run->lock);
    }
    if (*value) {
        pthread_mutex_unlock(&run->lock);
        return NULL;
    }
    task->busy = true;
    pthread_mutex_unlock(&run->lock);
    struct us_error *error = fetch(run, task, port, value);
    pthread_mutex_lock(&run->lock);
    task->busy = false;
    pthread_cond_broadcast(&run->changed);
    pthread_mutex_unlock(&run->lock);
    return error ? task_error(run, task, error) : NULL;
}
