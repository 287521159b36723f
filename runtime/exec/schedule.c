/* What waits for what, what is urgent, and what becomes of tasks. Threads: workers.c. */
#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/exec/schedule_internal.h"

/* Legal moves of a task's state; everything else is our own fault. */
static const uint8_t legal[8] = {
    [US_TASK_WAITING] =
        1 << US_TASK_READY | 1 << US_TASK_CACHED | 1 << US_TASK_SKIPPED | 1 << US_TASK_CANCELLED,
    [US_TASK_READY] = 1 << US_TASK_RUNNING | 1 << US_TASK_CANCELLED,
    [US_TASK_RUNNING] = 1 << US_TASK_READY | 1 << US_TASK_DONE | 1 << US_TASK_CACHED |
                        1 << US_TASK_FAILED | (uint8_t)(1 << US_TASK_CANCELLED),
};

static void task_move(struct task *task, enum us_task_state to) {
    if (!(legal[task->state] >> to & 1)) {
        US_BUG("a task moves from state %d to %d", task->state, (int)to);
    }
    task->state = (uint8_t)to;
}

static struct us_needs asked_needs(const struct us_run *run, const struct us_node *node) {
    struct us_needs needs = {0};
    if (node->type->needs) {
        node->type->needs(node->params, &needs);
    }
    const struct node_tasks *tasks = &run->nodes[node - run->graph->nodes];
    if (tasks->host_bytes > needs.host_bytes) {
        needs.host_bytes = tasks->host_bytes;
    }
    if (tasks->device_bytes > needs.device_bytes) {
        needs.device_bytes = tasks->device_bytes;
    }
    needs.threads = needs.threads ? needs.threads : 1;
    return needs;
}

struct demand demand_of_node(const struct us_run *run, const struct us_node *node) {
    const struct us_needs needs = asked_needs(run, node);
    const int wanted = needs.device_count > 1 ? needs.device_count : 1;
    return (struct demand){
        .threads = needs.threads,
        .host_bytes = needs.host_bytes,
        .device_bytes = needs.device == US_DEVICE_NONE ? 0 : needs.device_bytes,
        .devices = needs.device == US_DEVICE_NONE  ? 0
                   : needs.device == US_DEVICE_ALL ? DEVICES_MOST
                                                   : (uint32_t)wanted,
        .shared = needs.shared,
        .allowed = UINT64_MAX,
    };
}

static void count_devices(const struct us_run *run, int *gpus, int *parts) {
    *gpus = *parts = 0;
    for (size_t i = 0; i < run->options.device_count; i++) {
        *gpus += run->options.devices[i].kind == US_DEVICE_CUDA;
        *parts += run->options.devices[i].kind == US_DEVICE_CPU;
    }
}

struct us_needs needs_of_node(const struct us_run *run, const struct us_node *node) {
    struct us_needs needs = asked_needs(run, node);
    int gpus, parts;
    count_devices(run, &gpus, &parts);
    if (run->options.device_count == 0) {
        needs.device = US_DEVICE_NONE;
    } else if (gpus == 0 && needs.device != US_DEVICE_NONE) {
        const int share = run->slots / parts ? run->slots / parts : 1;
        needs.threads = needs.device == US_DEVICE_ALL ? share * parts : share;
    }
    if (needs.threads < 0 || needs.threads > run->slots) {
        needs.threads = run->slots;
    }
    if (needs.host_bytes > run->work_memory) {
        needs.host_bytes = run->work_memory;
    }
    return needs;
}

bool is_stopped(const struct us_run *run) {
    return atomic_load(&run->stopping) || atomic_load(&run->cancelled);
}

void push_ready(struct us_run *run, struct task *task, uint32_t queue) {
    const uint32_t index = (uint32_t)(task - run->tasks);
    const float usual = run->scheduling->usual[task->node];
    task_move(task, US_TASK_READY);
    scheduler_push(&run->scheduling->scheduler, queue,
                   (struct ready_task){.urgency = run->sides[index].path,
                                       .seconds = task->seconds > 0 ? task->seconds : usual,
                                       .take = task->frame.take,
                                       .number = task->frame.number,
                                       .task = index});
}

static void make_ready(struct us_run *run, struct task *task) {
    const uint32_t queue = run->scheduling->queues[task->node];
    run->scheduling->scheduler.queues[queue].to_come--;
    push_ready(run, task, queue);
}

void task_starts(struct us_run *run, struct task *task) {
    (void)run;
    task_move(task, US_TASK_RUNNING);
}

struct reading {
    struct task *task;
    float path;
};

static void count_input(struct us_run *run, struct task *input, void *context) {
    const struct reading *reading = context;
    struct task_side *side = &run->sides[input - run->tasks];
    run->sides[reading->task - run->tasks].waiting += input->run;
    atomic_fetch_add_explicit(&side->readers, 1, memory_order_relaxed);
    side->path = side->path > reading->path ? side->path : reading->path;
}

/* Seconds that a task of each node takes, by what is remembered of any; else 0. */
static float *usual_seconds(struct us_run *run) {
    const size_t nodes = run->graph->node_count;
    float *usual = us_calloc(nodes + 1, sizeof *usual);
    uint32_t *known = us_calloc(nodes + 1, sizeof *known);
    for (size_t i = 0; i < run->plan_count; i++) {
        const struct task *task = &run->tasks[run->plan[i]];
        if (task->run && task->seconds > 0) {
            usual[task->node] += task->seconds;
            known[task->node]++;
        }
    }
    for (size_t i = 0; i < nodes; i++) {
        usual[i] = known[i] ? usual[i] / (float)known[i] : 0;
    }
    us_free(known);
    return usual;
}

/* Longest paths to the end, from the last task to the first: one look at each edge, which counting
 * what a task waits for takes anyway. Then only paths that can decide when the run ends are kept:
 * those longer than a sixteenth of the work that each CPU slot has. The others become equal, which
 * leaves the order to ready_before: a frame is finished before the next is begun. By bare path
 * lengths all frames would be read before the first is worked on, and none stay in memory; what the
 * end may come later by is that sixteenth. */
static void find_paths(struct us_run *run) {
    const float *usual = run->scheduling->usual, guess = 0.01f;
    double work = 0;
    for (size_t i = run->plan_count; i-- > 0;) {
        struct task *task = &run->tasks[run->plan[i]];
        if (!task->run) {
            continue;
        }
        struct task_side *side = &run->sides[run->plan[i]];
        const float known = task->seconds > 0 ? task->seconds : usual[task->node];
        const float seconds = known > 0 ? known : guess;
        work += (double)seconds;
        side->path += seconds;
        struct reading reading = {task, side->path};
        each_input(run, task, count_input, &reading);
    }
    const float least = (float)(work / run->slots / 16);
    for (size_t i = 0; i < run->plan_count; i++) {
        if (run->tasks[run->plan[i]].run) {
            struct task_side *side = &run->sides[run->plan[i]];
            side->path = side->path > least ? side->path : 0;
        }
    }
}

static void count_resources(const struct us_run *run, struct resources *r) {
    int gpus, parts;
    count_devices(run, &gpus, &parts);
    *r = (struct resources){.slots = run->slots,
                            .free_slots = run->slots,
                            .share = parts && run->slots / parts ? run->slots / parts : 1,
                            .host = run->work_memory,
                            .free_host = run->work_memory};
    const size_t count = run->options.device_count;
    r->device_count = (uint32_t)(count < DEVICES_MOST ? count : DEVICES_MOST);
    for (size_t i = 0; i < r->device_count; i++) {
        const struct us_run_device *device = &run->options.devices[i];
        size_t memory = device->budget;
        if (device->kind == US_DEVICE_CPU) {
            memory = memory ? memory : run->work_memory / (size_t)(parts ? parts : 1);
        } else if (device->has.total && (!memory || memory > device->has.free)) {
            memory = device->has.free;
        }
        r->devices[i] = (struct device_state){.cpu = device->kind == US_DEVICE_CPU,
                                              .memory = memory ? memory : SIZE_MAX};
    }
}

static uint32_t make_queue(struct us_run *run, uint32_t index) {
    const struct us_node *node = &run->graph->nodes[index];
    const struct us_needs needs = asked_needs(run, node);
    const bool batches = node->type->run_batch && node->type->per_frame && needs.batch > 1;
    return scheduler_queue(&run->scheduling->scheduler, demand_of_node(run, node), index,
                           batches ? (uint32_t)needs.batch : 1);
}

/* Of the nodes of which something runs: plans go node by node. */
static void make_queues(struct us_run *run) {
    struct scheduling *s = run->scheduling;
    uint32_t last = UINT32_MAX;
    s->queues = us_calloc(run->graph->node_count + 1, sizeof *s->queues);
    for (size_t i = 0; i < run->plan_count; i++) {
        const struct task *task = &run->tasks[run->plan[i]];
        if (task->run && task->node != last) {
            last = task->node;
            s->queues[last] = make_queue(run, last);
        }
        if (task->run) {
            s->scheduler.queues[s->queues[last]].to_come++;
        }
    }
}

static struct us_error *start(struct us_run *run) {
    US_TRY(announce_cached(run));
    size_t to_run = 0;
    for (size_t i = 0; i < run->plan_count; i++) {
        struct task *task = &run->tasks[run->plan[i]];
        to_run += task->run;
        if (!task->run) {
            task_move(task, US_TASK_CACHED);
        }
    }
    if (!to_run) {
        return NULL;
    }
    struct resources resources;
    count_resources(run, &resources);
    run->scheduling = us_calloc(1, sizeof *run->scheduling);
    scheduler_init(&run->scheduling->scheduler, &resources);
    run->sides = us_calloc(run->task_count, sizeof *run->sides);
    open_tier(run);
    make_queues(run);
    run->scheduling->usual = usual_seconds(run);
    find_paths(run);
    atomic_store(&run->unfinished, to_run);
    for (size_t i = 0; i < run->plan_count; i++) {
        struct task *task = &run->tasks[run->plan[i]];
        if (task->run && run->sides[run->plan[i]].waiting == 0) {
            make_ready(run, task);
        }
    }
    return NULL;
}

static void release_input(struct us_run *run, struct task *input, void *context) {
    (void)context;
    struct task_side *side = &run->sides[input - run->tasks];
    if (atomic_fetch_sub_explicit(&side->readers, 1, memory_order_acq_rel) == 1) {
        forget_values(run, input);
    }
}

void release_inputs(struct us_run *run, struct task *task) {
    each_input(run, task, release_input, NULL);
}

static void skip_below(struct us_run *run, struct task *task, void *context) {
    if (!task->run || task->state != US_TASK_WAITING) {
        return;
    }
    task_move(task, US_TASK_SKIPPED);
    struct scheduler *scheduler = &run->scheduling->scheduler;
    scheduler->queues[run->scheduling->queues[task->node]].to_come--;
    run->summary.skipped++;
    atomic_fetch_sub(&run->unfinished, 1);
    struct us_event event = {.kind = US_EVENT_SKIPPED, .worker = -1};
    send_event(run, task, &event);
    release_inputs(run, task);
    each_consumer(run, task, skip_below, context);
}

static void input_done(struct us_run *run, struct task *task, void *context) {
    (void)context;
    if (task->run && task->state == US_TASK_WAITING &&
        --run->sides[task - run->tasks].waiting == 0) {
        make_ready(run, task);
    }
}

static void note_failure(struct us_run *run, struct task *task, const struct grant *grant,
                         struct us_error *error) {
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
        send_event_at(run, task, grant, &event);
    }
    each_consumer(run, task, skip_below, NULL);
    us_error_free(error);
}

void task_ended(struct us_run *run, struct task *task, const struct grant *grant,
                struct outcome outcome) {
    if (outcome.error) {
        note_failure(run, task, grant, outcome.error);
    } else {
        task_move(task, outcome.cached ? US_TASK_CACHED : US_TASK_DONE);
        run->summary.ran += !outcome.cached;
        run->summary.cached += outcome.cached;
        each_consumer(run, task, input_done, NULL);
    }
    atomic_fetch_sub(&run->unfinished, 1);
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
    if (run->scheduling) {
        US_TRY(work_off(run));
        cancel_rest(run);
    }
    if (atomic_load(&run->cancelled)) {
        run->summary.status = us_code_status(US_CANCELLED);
    }
    return NULL;
}

void schedule_finish(struct us_run *run) {
    struct scheduling *s = run->scheduling;
    if (s) {
        forget_agains(run);
        scheduler_finish(&s->scheduler);
        us_free(s->queues);
        us_free(s->usual);
        us_free(s);
    }
    us_free(run->sides);
}

size_t borrow_memory(struct us_run *run, const struct task *task) {
    pthread_mutex_lock(&run->lock);
    struct scheduler *s = &run->scheduling->scheduler;
    const size_t wanted = demand_of_node(run, task_node(run, task)).host_bytes;
    const size_t bytes = wanted < s->resources.free_host ? wanted : s->resources.free_host;
    s->resources.free_host -= bytes;
    pthread_mutex_unlock(&run->lock);
    return bytes;
}

void give_back_memory(struct us_run *run, size_t bytes) {
    if (bytes) {
        pthread_mutex_lock(&run->lock);
        run->scheduling->scheduler.resources.free_host += bytes;
        wake_another(run);
        pthread_mutex_unlock(&run->lock);
    }
}
