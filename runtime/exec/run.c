#include "runtime/api/run.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/machine.h"
#include "runtime/base/mem.h"
#include "runtime/exec/run_internal.h"

static void warn(void *context, const char *message) {
    struct us_run *run = context;
    struct us_event event = {.kind = US_EVENT_WARNING, .worker = -1, .status = message};
    send_event(run, NULL, &event);
}

static void state_of(void *context, const char *path, struct us_digest *state) {
    struct us_store *store = context;
    store->ops->file_states(store, &path, 1, state);
}

static void set_limits(struct us_run *run) {
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    run->slots = run->options.threads > 0 ? run->options.threads : (int)(cpus > 0 ? cpus : 1);
    size_t memory = run->options.memory_bytes;
    if (!memory) {
        memory = us_machine_memory() / 4 * 3;
    }
    run->memory_limit = memory / 3; /* values kept at hand; the rest is for tasks at work */
    run->work_memory = memory - run->memory_limit;
}

struct us_error *us_run_create(struct us_graph *graph, struct us_store *store,
                               const struct us_run_options *options, struct us_run **out) {
    struct us_run *run = us_calloc(1, sizeof *run);
    run->graph = graph;
    run->store = store;
    run->options = *options;
    pthread_mutex_init(&run->lock, NULL);
    pthread_mutex_init(&run->event_lock, NULL);
    pthread_mutex_init(&run->history_lock, NULL);
    set_limits(run);
    char *full = realpath(graph->path, NULL);
    run->identity = us_arena_strdup(&run->arena, full ? full : graph->path);
    free(full);
    store->warn = warn;
    store->warn_context = run;
    run->generation = store->ops->generation(store);
    run->watch.state_of = state_of;
    run->watch.context = store;
    struct us_watch *before = us_watch_set(&run->watch);
    base_open(run);
    struct us_error *error = build_tasks(run);
    if (!error) {
        error = make_plan(run);
    }
    us_watch_set(before);
    run->watch.fixed = true;
    if (error) {
        us_run_destroy(run);
        return error;
    }
    *out = run;
    return NULL;
}

void us_run_destroy(struct us_run *run) {
    if (!run) {
        return;
    }
    run->store->warn = NULL;
    if (run->tasks) {
        drop_values(run);
    }
    history_finish(run);
    for (size_t i = 0; run->nodes && i < run->graph->node_count; i++) {
        if (run->nodes[i].owns_frames) {
            us_frames_finish(&run->nodes[i].frames);
        }
        if (run->nodes[i].prefix) {
            us_str_finish(&run->nodes[i].prefix->fields);
        }
    }
    schedule_finish(run);
    us_free(run->memory_uses);
    us_error_free(run->refusal);
    us_free(run->lost);
    us_watch_finish(&run->watch);
    us_free(run->refs);
    base_finish(run);
    pthread_mutex_destroy(&run->lock);
    pthread_mutex_destroy(&run->event_lock);
    pthread_mutex_destroy(&run->history_lock);
    us_arena_finish(&run->arena);
    us_free(run);
}

const char *us_run_left_out(const struct us_run *run) {
    return run->left_out;
}

size_t us_run_plan_count(const struct us_run *run) {
    return run->plan_count;
}

struct us_plan_entry us_run_plan_brief(const struct us_run *run, size_t index) {
    const struct task *task = &run->tasks[run->plan[index]];
    const struct us_node *node = task_node(run, task);
    return (struct us_plan_entry){
        .node = node,
        .frame = task->frame,
        .per_frame = node->type->per_frame,
        .run = task->run,
        .maybe = task->maybe,
        .why = task->why ? task->why : "",
        .seconds = (double)task->seconds,
        .state = (enum us_task_state)task->state,
    };
}

struct us_plan_entry us_run_plan_entry(struct us_run *run, size_t index) {
    struct us_plan_entry entry = us_run_plan_brief(run, index);
    entry.label = task_label(run, &run->tasks[run->plan[index]], &run->arena);
    return entry;
}

struct us_plan_result us_run_plan_result(const struct us_run *run, size_t index) {
    const struct task *task = &run->tasks[run->plan[index]];
    return (struct us_plan_result){
        .key = task->plan_key,
        .objects = task->digests,
        .count = (size_t)us_port_count(task_node(run, task)->type->outputs),
        .stored = task_is_stored(run, task) && !task->unstored,
    };
}

struct us_error *us_run_execute(struct us_run *run, struct us_summary *summary) {
    US_TRY(us_run_refusal(run));
    warn_of_memory(run);
    double begun = now_seconds();
    struct us_error *error = schedule_run(run);
    history_write(run);
    run->summary.seconds = now_seconds() - begun;
    *summary = run->summary;
    return error;
}

void us_run_cancel(struct us_run *run) {
    atomic_store(&run->cancelled, true);
}

void send_event(struct us_run *run, const struct task *task, struct us_event *event) {
    if (!run->options.event) {
        return;
    }
    pthread_mutex_lock(&run->event_lock);
    struct us_arena arena = {0};
    if (task) {
        event->node = task_node(run, task);
        event->frame = task->frame;
        event->per_frame = event->node->type->per_frame;
        event->label = event->count ? event->node->name : task_label(run, task, &arena);
    }
    run->options.event(run->options.context, event);
    us_arena_finish(&arena);
    pthread_mutex_unlock(&run->event_lock);
}
