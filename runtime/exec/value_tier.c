/* Decoded values in memory: a table by task, and lists by what it takes to get values back. */
#include <math.h>
#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "runtime/exec/run_internal.h"

enum { CLASSES = 32 };

/* What reading a value back from the cache takes: opening and checking a file, and its bytes at the
 * pace that an EXR is read and decoded. */
static const double read_seconds = 200e-6, read_rate = 1e9;

/* The values of one task, or the place where a thread is about to put them. */
struct held {
    uint32_t task;
    bool busy; /* a thread is loading or remaking them */
    size_t bytes;
    float seconds;              /* to make them again */
    uint8_t list;               /* where it stands, once it has bytes */
    struct held *older, *newer; /* in its list */
    struct held *next;          /* in its bucket */
    struct us_value *values[];
};

struct list {
    struct held *oldest, *newest;
};

struct value_tier {
    pthread_mutex_t lock;
    pthread_cond_t changed; /* one is no longer busy */
    struct held **buckets;
    size_t bucket_count, held_count;
    struct list lists[1 + CLASSES]; /* [0]: nobody waits for them; then the cheaper a byte, the
                                       earlier */
    size_t used;
};

static size_t output_count(const struct us_run *run, const struct task *task) {
    return (size_t)us_port_count(task_node(run, task)->type->outputs);
}

void open_tier(struct us_run *run) {
    run->tier = us_calloc(1, sizeof *run->tier);
    pthread_mutex_init(&run->tier->lock, NULL);
    pthread_cond_init(&run->tier->changed, NULL);
    run->tier->bucket_count = 64;
    run->tier->buckets = us_calloc(64, sizeof *run->tier->buckets);
}

static struct held **bucket_of(const struct value_tier *tier, uint32_t task) {
    return &tier->buckets[(task * 2654435761u >> 4) & (tier->bucket_count - 1)];
}

static struct held *find_held(const struct value_tier *tier, uint32_t task) {
    struct held *held = *bucket_of(tier, task);
    while (held && held->task != task) {
        held = held->next;
    }
    return held;
}

static void grow_table(struct value_tier *tier) {
    struct held **old = tier->buckets;
    const size_t count = tier->bucket_count;
    tier->bucket_count = 2 * count;
    tier->buckets = us_calloc(tier->bucket_count, sizeof *tier->buckets);
    for (size_t i = 0; i < count; i++) {
        for (struct held *held = old[i], *next; held; held = next) {
            struct held **bucket = bucket_of(tier, held->task);
            next = held->next;
            held->next = *bucket;
            *bucket = held;
        }
    }
    us_free(old);
}

static struct held *find_or_add(struct us_run *run, const struct task *task) {
    struct value_tier *tier = run->tier;
    const uint32_t index = (uint32_t)(task - run->tasks);
    struct held *held = find_held(tier, index);
    if (!held) {
        if (tier->held_count == tier->bucket_count) {
            grow_table(tier);
        }
        held = us_calloc(1, sizeof *held + output_count(run, task) * sizeof(struct us_value *));
        held->task = index;
        held->next = *bucket_of(tier, index);
        *bucket_of(tier, index) = held;
        tier->held_count++;
    }
    return held;
}

static void unlist(struct value_tier *tier, struct held *held) {
    struct list *list = &tier->lists[held->list];
    *(held->older ? &held->older->newer : &list->oldest) = held->newer;
    *(held->newer ? &held->newer->older : &list->newest) = held->older;
    held->older = held->newer = NULL;
}

static void enlist(struct value_tier *tier, struct held *held, uint8_t to) {
    struct list *list = &tier->lists[to];
    held->list = to;
    held->older = list->newest;
    held->newer = NULL;
    *(list->newest ? &list->newest->newer : &list->oldest) = held;
    list->newest = held;
}

/* Powers of two of the seconds that a byte costs to get back. */
static uint8_t list_of(const struct us_run *run, const struct held *held) {
    const struct task *task = &run->tasks[held->task];
    if (atomic_load_explicit(&run->sides[held->task].readers, memory_order_acquire) == 0) {
        return 0;
    }
    const double bytes = (double)held->bytes + 1;
    const bool read =
        (task_is_stored(run, task) && !task->unstored) || task_node(run, task)->type->writes;
    const double seconds = read ? read_seconds + bytes / read_rate : (double)held->seconds;
    const int power = ilogb(seconds / bytes + 1e-12) + 40; /* from 1 ps a byte on */
    return (uint8_t)(1 + (power < 0 ? 0 : power >= CLASSES ? CLASSES - 1 : power));
}

/* Takes the values out of memory; the caller lets go of them. */
static void empty(struct us_run *run, struct held *held, struct us_value **dropped) {
    const size_t outputs = output_count(run, &run->tasks[held->task]);
    unlist(run->tier, held);
    run->tier->used -= held->bytes;
    held->bytes = 0;
    for (size_t port = 0; port < outputs; port++) {
        dropped[port] = held->values[port];
        held->values[port] = NULL;
    }
    for (size_t port = outputs; port < MAX_OUTPUTS; port++) {
        dropped[port] = NULL;
    }
}

static void remove_held(struct value_tier *tier, struct held *held) {
    struct held **at = bucket_of(tier, held->task);
    while (*at != held) {
        at = &(*at)->next;
    }
    *at = held->next;
    tier->held_count--;
    us_free(held);
}

static void let_go(struct us_value **dropped) {
    for (size_t port = 0; port < MAX_OUTPUTS; port++) {
        us_value_unref(dropped[port]);
    }
}

/* What comes first over the budget: values that nobody waits for, then the cheapest to get back,
 * then the longest unused; never `spare`. */
static struct held *first_to_drop(const struct value_tier *tier, const struct held *spare) {
    for (size_t i = 0; i < 1 + CLASSES; i++) {
        struct held *oldest = tier->lists[i].oldest;
        oldest = oldest == spare && oldest ? oldest->newer : oldest;
        if (oldest) {
            return oldest;
        }
    }
    return NULL;
}

/* With the tier's lock, which it gives back while it frees memory. */
static void shrink(struct us_run *run, uint32_t spare) {
    struct value_tier *tier = run->tier;
    struct us_value *dropped[MAX_OUTPUTS];
    while (tier->used > run->memory_limit) {
        struct held *held = first_to_drop(tier, find_held(tier, spare));
        if (!held) {
            return;
        }
        empty(run, held, dropped);
        if (!held->busy) {
            remove_held(tier, held);
        }
        pthread_mutex_unlock(&tier->lock);
        let_go(dropped);
        pthread_mutex_lock(&tier->lock);
    }
}

/* With the tier's lock. */
static void put_values(struct us_run *run, const struct task *task, struct us_value *const *values,
                       double seconds) {
    struct value_tier *tier = run->tier;
    struct held *held = find_or_add(run, task);
    if (held->bytes) {
        unlist(tier, held);
    }
    for (size_t port = 0; port < output_count(run, task); port++) {
        if (values[port] && !held->values[port]) {
            const size_t bytes = us_value_bytes(values[port]);
            held->values[port] = us_value_ref(values[port]);
            held->bytes += bytes + 1;
            tier->used += bytes + 1;
        }
    }
    held->seconds = seconds > 0 ? (float)seconds : held->seconds;
    enlist(tier, held, list_of(run, held));
    shrink(run, held->task);
}

void keep_values(struct us_run *run, struct task *task, struct us_value *const *values,
                 double seconds) {
    const size_t index = (size_t)(task - run->tasks);
    if (atomic_load_explicit(&run->sides[index].readers, memory_order_acquire) == 0) {
        return;
    }
    pthread_mutex_lock(&run->tier->lock);
    put_values(run, task, values, seconds);
    pthread_mutex_unlock(&run->tier->lock);
}

void forget_values(struct us_run *run, const struct task *task) {
    struct value_tier *tier = run->tier;
    struct us_value *dropped[MAX_OUTPUTS] = {0};
    pthread_mutex_lock(&tier->lock);
    struct held *held = find_held(tier, (uint32_t)(task - run->tasks));
    if (held && held->bytes) {
        empty(run, held, dropped);
    }
    if (held && !held->busy) {
        remove_held(tier, held);
    }
    pthread_mutex_unlock(&tier->lock);
    let_go(dropped);
}

void drop_values(struct us_run *run) {
    struct value_tier *tier = run->tier;
    for (size_t i = 0; tier && i < tier->bucket_count; i++) {
        for (struct held *held = tier->buckets[i], *next; held; held = next) {
            next = held->next;
            for (size_t port = 0; port < output_count(run, &run->tasks[held->task]); port++) {
                us_value_unref(held->values[port]);
            }
            us_free(held);
        }
    }
    if (tier) {
        pthread_mutex_destroy(&tier->lock);
        pthread_cond_destroy(&tier->changed);
        us_free(tier->buckets);
        us_free(tier);
    }
    for (uint32_t i = 0; i < run->task_count; i++) {
        us_free(run->tasks[i].digests);
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

/* With the tier's lock. */
static struct us_value *in_memory(struct us_run *run, struct held *held, uint32_t port) {
    struct us_value *value = held->values[port];
    if (value) {
        unlist(run->tier, held);
        enlist(run->tier, held, list_of(run, held));
        us_value_ref(value);
    }
    return value;
}

/* Makes the values again, outside of the schedule, with what the task that wants them was granted.
 * Waiting is always for something further up, so it comes to an end; nothing waits for memory. */
static struct us_error *remake(struct us_run *run, struct task *task, const struct grant *grant,
                               struct us_value **values, double *seconds) {
    const double begun = now_seconds();
    const size_t bytes = borrow_memory(run, task);
    struct us_error *error = remake_values(run, task, grant, values);
    give_back_memory(run, bytes);
    US_TRY(error);
    *seconds = now_seconds() - begun;
    if (!task_node(run, task)->type->reloads) {
        struct us_event event = {.kind = US_EVENT_REMADE, .seconds = *seconds};
        pthread_mutex_lock(&run->lock);
        run->summary.remade++;
        pthread_mutex_unlock(&run->lock);
        send_event_at(run, task, grant, &event);
    }
    return store_values(run, task, values, NULL); /* where they should have been and were not */
}

static struct us_error *fetch(struct us_run *run, struct task *task, uint32_t port,
                              const struct grant *grant, struct us_value **values,
                              double *seconds) {
    if (!task->digests) {
        values[port] = NULL; /* nothing is known of it: it runs */
    } else if (task_node(run, task)->type->writes) {
        US_TRY(load_destination(run, task, &values[port]));
    } else if (task_is_stored(run, task) && !task->unstored) {
        US_TRY(load_stored(run, task, port, &values[port]));
    }
    if (!values[port] && task->digests && task_node(run, task)->type->volatile_result) {
        return us_error_hint(us_fail(US_RETRY, "its result was lost or damaged while this ran"),
                             "run again: it is made anew, with all that is below it");
    }
    return values[port] ? NULL : remake(run, task, grant, values, seconds);
}

struct us_error *load_value(struct us_run *run, struct task *task, uint32_t port,
                            const struct grant *grant, struct us_value **value) {
    struct value_tier *tier = run->tier;
    struct us_value *values[MAX_OUTPUTS] = {0};
    double seconds = 0;
    pthread_mutex_lock(&tier->lock);
    struct held *held;
    for (;;) {
        held = find_or_add(run, task);
        *value = in_memory(run, held, port);
        if (*value || !held->busy) {
            break;
        }
        pthread_cond_wait(&tier->changed, &tier->lock);
    }
    if (*value) {
        pthread_mutex_unlock(&tier->lock);
        return NULL;
    }
    held->busy = true; /* so that nobody removes it */
    pthread_mutex_unlock(&tier->lock);
    struct us_error *error = fetch(run, task, port, grant, values, &seconds);
    *value = values[port] ? us_value_ref(values[port]) : NULL;
    pthread_mutex_lock(&tier->lock);
    held->busy = false;
    if (!error) {
        put_values(run, task, values, seconds);
    } else if (!held->bytes) {
        remove_held(tier, held);
    }
    pthread_cond_broadcast(&tier->changed);
    pthread_mutex_unlock(&tier->lock);
    let_go(values);
    if (error) {
        us_value_unref(*value);
        *value = NULL;
        return task_error(run, task, error);
    }
    return NULL;
}
