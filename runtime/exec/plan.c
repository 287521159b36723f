#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/exec/run_internal.h"

static void mark_needed(struct us_run *run, struct task *task, void *context) {
    (void)run;
    (void)context;
    task->needed = true;
}

static struct us_error *mark_node(struct us_run *run, uint32_t index) {
    const struct us_frames *only = run->options.frames;
    const struct node_tasks *tasks = &run->nodes[index];
    size_t marked = 0;
    for (uint32_t i = 0; i < tasks->count; i++) {
        struct task *task = &run->tasks[tasks->first + i];
        bool wanted = true;
        if (only && !only->all && run->graph->nodes[index].type->per_frame) {
            struct us_frame any_take = {0, task->frame.number};
            wanted = us_frames_find(only, any_take) >= 0;
        }
        task->needed |= wanted;
        marked += wanted;
    }
    if (!marked) {
        return us_fail(US_USAGE, "node '%s' has none of the frames asked for",
                       run->graph->nodes[index].name);
    }
    return NULL;
}

static struct us_error *mark_targets(struct us_run *run) {
    const struct us_run_options *options = &run->options;
    for (size_t i = 0; i < options->target_count; i++) {
        const struct us_node *node = us_graph_find(run->graph, options->targets[i]);
        if (!node) {
            const char *near = us_graph_nearest(run->graph, options->targets[i]);
            return near ? us_fail(US_USAGE, "no node '%s'; did you mean '%s'?", options->targets[i],
                                  near)
                        : us_fail(US_USAGE, "no node '%s'", options->targets[i]);
        }
        US_TRY(mark_node(run, (uint32_t)(node - run->graph->nodes)));
    }
    for (size_t i = 0; !options->targets && i < run->graph->output_count; i++) {
        US_TRY(mark_node(run, run->graph->outputs[i].node));
    }
    for (uint32_t i = run->task_count; i-- > 0;) {
        if (run->tasks[i].needed) {
            each_input(run, &run->tasks[i], mark_needed, NULL);
            run->plan_count++;
        }
    }
    return NULL;
}

static struct us_error *make_plan_keys(struct us_run *run) {
    struct us_str fields = {0};
    run->plan = us_arena_alloc(&run->arena, (run->plan_count + 1) * sizeof *run->plan);
    size_t count = 0;
    for (uint32_t i = 0; i < run->task_count; i++) {
        struct task *task = &run->tasks[i];
        if (!task->needed) {
            continue;
        }
        us_str_clear(&fields);
        struct us_error *error = plan_fields(run, task, &fields);
        if (error) {
            us_str_finish(&fields);
            return error;
        }
        task->plan_key = key_of("understudy plan 1", &fields);
        run->plan[count++] = i;
    }
    us_str_finish(&fields);
    return NULL;
}

void set_digests(struct us_run *run, struct task *task, const struct us_digest *digests) {
    size_t count = (size_t)us_port_count(task_node(run, task)->type->outputs);
    if (!task->digests) {
        task->digests = us_malloc(count * sizeof *digests);
    }
    memcpy(task->digests, digests, count * sizeof *digests);
}

char *task_destination(const struct us_run *run, const struct task *task) {
    const struct us_node *node = task_node(run, task);
    struct us_arena arena = {0};
    void *params = us_arena_alloc(&arena, node->type->params_size + 1);
    us_node_params_at(node, task->frame, params);
    char *path = node->type->destination(params, task->frame);
    us_arena_finish(&arena);
    return path;
}

bool destination_stands(struct us_run *run, const struct task *task, const char **why) {
    if (!task_node(run, task)->type->writes) {
        return true;
    }
    char *path = task_destination(run, task);
    struct us_digest digest;
    struct us_error *error = run->store->ops->file_digest(run->store, path, &digest);
    bool stands = !error && us_digest_equal(&digest, &task->digests[0]);
    if (!stands) {
        *why = us_arena_printf(&run->arena,
                               error ? "%s is not there" : "%s is not as it was written", path);
    }
    us_error_free(error);
    us_free(path);
    return stands;
}

static struct us_error *resolve(struct us_run *run, struct task *task);

struct resolve_state {
    struct us_error *error;
    bool known; /* the digests of all inputs */
};

static void resolve_input(struct us_run *run, struct task *task, void *context) {
    struct resolve_state *state = context;
    if (!state->error) {
        state->error = resolve(run, task);
    }
    state->known &= task->digests != NULL;
}

static void need_values(struct us_run *run, struct task *task, void *context);

static struct us_error *decide_run(struct us_run *run, struct task *task, const char *why) {
    if (task->run) {
        return NULL;
    }
    task->run = true;
    task->why = why;
    struct resolve_state state = {NULL, true};
    each_input(run, task, resolve_input, &state);
    if (!state.error) {
        each_input(run, task, need_values, &state);
    }
    return state.error;
}

static bool objects_there(struct us_run *run, const struct task *task) {
    int outputs = us_port_count(task_node(run, task)->type->outputs);
    for (int i = 0; i < outputs && task_is_stored(run, task); i++) {
        if (!run->store->ops->has_object(run->store, &task->digests[i])) {
            return false;
        }
    }
    return true;
}

/* A task that runs needs what it reads at hand: in the cache, or made again. */
static void need_values(struct us_run *run, struct task *task, void *context) {
    struct resolve_state *state = context;
    if (state->error || task->run || !task->digests || objects_there(run, task)) {
        return;
    }
    if (task_node(run, task)->type->volatile_result) {
        task->forced = true;
    }
    state->error = decide_run(run, task, "its result is no longer in the cache");
}

static bool forced_witness(const struct us_run *run, const struct record *record) {
    for (size_t w = 0; w < record->witness_count; w++) {
        for (size_t i = 0; i < run->plan_count; i++) {
            const struct task *task = &run->tasks[run->plan[i]];
            if (task->forced && us_digest_equal(&task->plan_key, &record->witnesses[w].plan_key)) {
                return true;
            }
        }
    }
    return false;
}

static struct us_error *find_by_plan_key(struct us_run *run, struct task *task, bool *found) {
    struct record record;
    size_t outputs = (size_t)us_port_count(task_node(run, task)->type->outputs);
    *found = false;
    if (task->forced) {
        return NULL;
    }
    US_TRY(load_record(run, &task->plan_key, outputs, &record, found));
    if (*found && record.witness_count) {
        US_TRY(witnesses_stand(run, &record, found));
        *found = *found && !forced_witness(run, &record);
    }
    if (*found) {
        set_digests(run, task, record.outputs);
    }
    return NULL;
}

static struct us_error *find_by_action_key(struct us_run *run, struct task *task, bool *found) {
    struct record record;
    struct us_str fields = {0};
    size_t outputs = (size_t)us_port_count(task_node(run, task)->type->outputs);
    *found = false;
    if (task->forced) {
        return NULL;
    }
    struct us_error *error = action_fields(run, task, false, &fields);
    if (!error) {
        struct us_digest key = key_of("understudy action 1", &fields);
        error = load_record(run, &key, outputs, &record, found);
    }
    us_str_finish(&fields);
    if (!error && *found) {
        set_digests(run, task, record.outputs);
        task->alias = true;
    }
    return error;
}

static struct us_error *resolve(struct us_run *run, struct task *task) {
    if (task->resolved) {
        return NULL;
    }
    task->resolved = true;
    bool found;
    US_TRY(find_by_plan_key(run, task, &found));
    struct resolve_state state = {NULL, true};
    if (!found) {
        each_input(run, task, resolve_input, &state);
        US_TRY(state.error);
        if (state.known) {
            US_TRY(find_by_action_key(run, task, &found));
        }
    }
    const char *why = NULL;
    if (!found) {
        why = task->forced ? "its result is no longer in the cache" : why_miss(run, task);
        task->maybe = !state.known && us_str_starts(why, "input ");
        return decide_run(run, task, why);
    }
    return destination_stands(run, task, &why) ? NULL : decide_run(run, task, why);
}

static bool forget_forced(struct us_run *run) {
    bool again = false;
    for (size_t i = 0; i < run->plan_count; i++) {
        const struct task *task = &run->tasks[run->plan[i]];
        again |= task->forced && task->digests;
    }
    for (size_t i = 0; again && i < run->plan_count; i++) {
        struct task *task = &run->tasks[run->plan[i]];
        us_free(task->digests);
        task->digests = NULL;
        task->resolved = task->run = task->maybe = task->alias = false;
        task->why = NULL;
    }
    return again;
}

static struct us_error *resolve_targets(struct us_run *run) {
    for (size_t i = 0; i < run->graph->output_count && !run->options.targets; i++) {
        const struct node_tasks *tasks = &run->nodes[run->graph->outputs[i].node];
        for (uint32_t k = 0; k < tasks->count; k++) {
            if (run->tasks[tasks->first + k].needed) {
                US_TRY(resolve(run, &run->tasks[tasks->first + k]));
            }
        }
    }
    for (size_t i = 0; i < run->options.target_count; i++) {
        const struct us_node *node = us_graph_find(run->graph, run->options.targets[i]);
        const struct node_tasks *tasks = &run->nodes[node - run->graph->nodes];
        for (uint32_t k = 0; k < tasks->count; k++) {
            if (run->tasks[tasks->first + k].needed) {
                US_TRY(resolve(run, &run->tasks[tasks->first + k]));
            }
        }
    }
    return NULL;
}

struct us_error *make_plan(struct us_run *run) {
    US_TRY(mark_targets(run));
    US_TRY(make_plan_keys(run));
    US_TRY(check_destinations(run));
    do {
        US_TRY(resolve_targets(run));
    } while (forget_forced(run));
    for (size_t i = 0; i < run->plan_count; i++) {
        struct task *task = &run->tasks[run->plan[i]];
        struct history history;
        if (task->run) {
            history_recall(run, task, &history);
            task->seconds = (float)history.seconds;
            history_finish(&history);
        }
    }
    return NULL;
}
