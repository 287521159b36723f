#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/exec/run_internal.h"

/* Legal moves of a task's state; everything else is our own fault. */
static const uint8_t legal[8] = {
    [US_TASK_WAITING] =
        1 << US_TASK_READY | 1 << US_TASK_CACHED | 1 << US_TASK_SKIPPED | 1 << US_TASK_CANCELLED,
    [US_TASK_READY] = 1 << US_TASK_RUNNING | 1 << US_TASK_CANCELLED,
    [US_TASK_RUNNING] = 1 << US_TASK_DONE | 1 << US_TASK_CACHED | 1 << US_TASK_FAILED |
                        (uint8_t)(1 << US_TASK_CANCELLED),
};

static void task_move(struct task *task, enum us_task_state to) {
    if (!(legal[task->state] >> to & 1)) {
        US_BUG("a task moves from state %d to %d", task->state, (int)to);
    }
    task->state = (uint8_t)to;
}

struct us_needs needs_of_node(const struct us_run *run, const struct us_node *node) {
    struct us_needs needs = {.threads = 1};
    if (node->type->needs) {
        node->type->needs(node->params, &needs);
    }
    if (needs.threads < 0 || needs.threads > run->slots) {
        needs.threads = run->slots;
    }
    needs.threads = needs.threads ? needs.threads : 1;
    const size_t planned = run->nodes[node - run->graph->nodes].host_bytes;
    needs.host_bytes = planned > needs.host_bytes ? planned : needs.host_bytes;
    if (needs.host_bytes > run->work_memory) {
        needs.host_bytes = run->work_memory;
    }
    if (run->options.device_count == 0) {
        needs.device = US_DEVICE_NONE;
    }
    return needs;
}

static struct us_needs needs_of(const struct us_run *run, const struct task *task) {
    return needs_of_node(run, task_node(run, task));
}

static void make_ready(struct us_run *run, struct task *task) {
    const bool device = needs_of(run, task).device != US_DEVICE_NONE;
    task_move(task, US_TASK_READY);
    ready_push(run, device ? &run->device_ready : &run->ready, (uint32_t)(task - run->tasks));
}

static void count_input(struct us_run *run, struct task *input, void *context) {
    struct task *task = context;
    (void)run;
    task->waiting += input->run;
}

static void set_priorities(struct us_run *run) {
    for (uint32_t i = run->graph->node_count == 0 ? 0 : (uint32_t)run->graph->node_count;
         i-- > 0;) {
        struct node_tasks *tasks = &run->nodes[i];
        double longest = 0.01;
        for (uint32_t k = 0; k < tasks->count; k++) {
            double seconds = (double)run->tasks[tasks->first + k].seconds;
            longest = seconds > longest ? seconds : longest;
        }
        tasks->priority += longest;
        const struct us_node *node = &run->graph->nodes[i];
        for (int port = 0; port < us_port_count(node->type->inputs); port++) {
            for (size_t k = 0; k < node->inputs[port].count; k++) {
                struct node_tasks *above = &run->nodes[node->inputs[port].links[k].node];
                above->priority =
                    above->priority > tasks->priority ? above->priority : tasks->priority;
            }
        }
    }
}

static struct us_error *start(struct us_run *run) {
    US_TRY(announce_cached(run));
    set_priorities(run);
    run->ready.items = us_malloc((run->plan_count + 1) * sizeof *run->ready.items);
    run->device_ready.items = us_malloc((run->plan_count + 1) * sizeof *run->ready.items);
    run->device_busy = us_calloc(run->options.device_count + 1, sizeof *run->device_busy);
    for (size_t i = 0; i < run->plan_count; i++) {
        struct task *task = &run->tasks[run->plan[i]];
        if (!task->run) {
            task_move(task, US_TASK_CACHED);
            continue;
        }
        task->waiting = 0;
        each_input(run, task, count_input, task);
        run->unfinished++;
        if (task->waiting == 0) {
            make_ready(run, task);
        }
    }
    return NULL;
}

static void skip_below(struct us_run *run, struct task *task, void *context) {
    if (!task->run || task->state != US_TASK_WAITING) {
        return;
    }
    task_move(task, US_TASK_SKIPPED);
    run->summary.skipped++;
    run->unfinished--;
    struct us_event event = {.kind = US_EVENT_SKIPPED};
    send_event(run, task, &event);
    each_consumer(run, task, skip_below, context);
}

static void input_done(struct us_run *run, struct task *task, void *context) {
    (void)context;
    if (task->run && task->state == US_TASK_WAITING && --task->waiting == 0) {
        make_ready(run, task);
    }
}

static void note_failure(struct us_run *run, struct task *task, struct us_error *error) {
    bool cancelled = us_error_is(error, US_CANCELLED);
    task_move(task, cancelled ? US_TASK_CANCELLED : US_TASK_FAILED);
    if (cancelled) {
        run->summary.cancelled++;
    } else {
        run->summary.failed++;
        int status = us_code_status(error->code);
        run->summary.status = run->summary.status ? run->summary.status : status;
        if (!run->options.keep_going) {
            atomic_store(&run->stopping, true);
        }
    }
    struct us_event event = {.kind = US_EVENT_FAILED, .error = error};
    if (!cancelled) {
        send_event(run, task, &event);
    }
    each_consumer(run, task, skip_below, NULL);
    us_error_free(error);
}

static void finish(struct us_run *run, struct task *task, struct us_error *error, bool cached) {
    if (error) {
        note_failure(run, task, error);
    } else {
        task_move(task, cached ? US_TASK_CACHED : US_TASK_DONE);
        run->summary.ran += !cached;
        run->summary.cached += cached;
        each_consumer(run, task, input_done, NULL);
    }
    run->unfinished--;
}

static bool stopped(const struct us_run *run) {
    return atomic_load(&run->stopping) || atomic_load(&run->cancelled);
}

static bool devices_free(const struct us_run *run, enum us_device_use use, struct grant *grant) {
    size_t busy = 0, free_one = 0;
    for (size_t i = run->options.device_count; i-- > 0;) {
        busy += run->device_busy[i];
        free_one = run->device_busy[i] ? free_one : i;
    }
    grant->devices = use == US_DEVICE_ALL ? run->options.devices : run->options.devices + free_one;
    grant->device_count = use == US_DEVICE_ALL ? run->options.device_count : 1;
    return use == US_DEVICE_ALL ? busy == 0 : busy < run->options.device_count;
}

/* The queue whose head is next in turn, and what it asks for; NULL: none can start now. The head of
 * a queue is never overtaken by its own kind, so that a task that wants many slots is not starved
 * by small ones; tasks that use no device pass those that wait for one. */
static struct ready *next_in_turn(struct us_run *run, struct grant *grant) {
    struct ready *ready = run->ready.count ? &run->ready : NULL, *devices = &run->device_ready;
    struct grant with_device = {0};
    *grant = (struct grant){0};
    if (devices->count &&
        devices_free(run, needs_of(run, &run->tasks[devices->items[0]]).device, &with_device) &&
        (!ready || ready_before(run, devices->items[0], ready->items[0]))) {
        ready = devices;
        *grant = with_device;
    }
    if (!ready) {
        return NULL;
    }
    const struct us_needs needs = needs_of(run, &run->tasks[ready->items[0]]);
    grant->threads = needs.threads;
    grant->host_bytes = needs.host_bytes;
    return run->free_slots >= needs.threads && run->free_memory >= needs.host_bytes ? ready : NULL;
}

static void take(struct us_run *run, const struct grant *grant, bool give_back) {
    const int sign = give_back ? 1 : -1;
    run->free_slots += sign * grant->threads;
    run->free_memory += give_back ? grant->host_bytes : -grant->host_bytes;
    for (size_t i = 0; i < grant->device_count; i++) {
        run->device_busy[(size_t)(grant->devices - run->options.devices) + i] = !give_back;
    }
    run->running -= (size_t)sign;
}

/* A signal handler cannot wake us, so that nobody waits long. */
static void wait_for_change(struct us_run *run) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += 100000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&run->changed, &run->lock, &until);
}

/* A worker's life. */
static void *work(void *context) {
    struct us_run *run = context;
    pthread_mutex_lock(&run->lock);
    while (run->unfinished && !(stopped(run))) {
        struct grant grant;
        struct ready *ready = next_in_turn(run, &grant);
        if (!ready) {
            wait_for_change(run);
            continue;
        }
        struct task *task = &run->tasks[ready_pop(run, ready)];
        task_move(task, US_TASK_RUNNING);
        take(run, &grant, false);
        pthread_mutex_unlock(&run->lock);
        bool cached;
        double seconds;
        struct us_error *error = execute_task(run, task, &grant, &cached, &seconds);
        pthread_mutex_lock(&run->lock);
        take(run, &grant, true);
        finish(run, task, error, cached);
        pthread_cond_broadcast(&run->changed);
    }
    pthread_mutex_unlock(&run->lock);
    return NULL;
}

static void cancel_rest(struct us_run *run) {
    for (size_t i = 0; i < run->plan_count; i++) {
        struct task *task = &run->tasks[run->plan[i]];
        if (task->state == US_TASK_WAITING || task->state == US_TASK_READY) {
            task_move(task, US_TASK_CANCELLED);
            run->summary.cancelled++;
        }
    }
    run->summary.skipped += run->summary.cancelled;
}

struct us_error *schedule_run(struct us_run *run) {
    US_TRY(start(run));
    enum { MOST = 256 };
    pthread_t threads[MOST];
    int count = 0;
    const bool any = run->unfinished > 0; /* from the first thread on it is the threads' */
    while (any && count < run->slots && count < MOST &&
           pthread_create(&threads[count], NULL, work, run) == 0) {
        count++;
    }
    if (any && count == 0) {
        return us_fail(US_RETRY, "cannot start a thread");
    }
    for (int i = 0; i < count; i++) {
        pthread_join(threads[i], NULL);
    }
    cancel_rest(run);
    if (atomic_load(&run->cancelled)) {
        run->summary.status = us_code_status(US_CANCELLED);
    }
    return NULL;
}
