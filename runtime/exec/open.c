/* A task as its node sees it, opened and closed around each run of the node. */
#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/exec/run_internal.h"

struct us_error *task_open(struct us_run *run, struct task *task, const struct grant *grant,
                           struct us_task *open) {
    const struct us_node *node = task_node(run, task);
    const struct us_node_type *type = node->type;
    *open = (struct us_task){.run = run, .task = task, .node = node, .grant = grant};
    if (grant->scratch) {
        open->arena = *grant->scratch;
        *grant->scratch = (struct us_arena){0};
    }
    struct us_arena *arena = &open->arena;
    if (!arena->head) {
        (void)us_arena_alloc(arena, 16);
    }
    open->mark = us_arena_mark(arena);
    open->params = us_arena_alloc(arena, type->params_size + 1);
    if (type->params_size) {
        us_node_params_at(node, task->frame, open->params);
    }
    size_t ports = (size_t)us_port_count(type->inputs);
    open->inputs = us_arena_alloc(arena, (ports + 1) * sizeof *open->inputs);
    open->input_counts = us_arena_alloc(arena, (ports + 1) * sizeof *open->input_counts);
    open->loaded = us_arena_alloc(arena, (ports + 1) * sizeof *open->loaded);
    for (size_t p = 0; p < ports; p++) {
        open->inputs[p] = task_inputs(run, task, (int)p, arena, &open->input_counts[p]);
        open->loaded[p] = us_arena_alloc(arena, (open->input_counts[p] + 1) * sizeof(void *));
    }
    open->outputs =
        us_arena_alloc(arena, (size_t)us_port_count(type->outputs) * sizeof *open->outputs);
    open->sources.arena = arena;
    US_TRY(type->sources ? type->sources(open->params, task->frame, &open->sources) : NULL);
    open->destination = type->writes ? type->destination(open->params, task->frame) : NULL;
    return NULL;
}

void task_clear(struct us_task *open) {
    const struct us_node_type *type = open->node->type;
    for (int p = 0; p < us_port_count(type->inputs); p++) {
        for (size_t i = 0; i < open->input_counts[p]; i++) {
            us_task_release(open, p, i);
        }
    }
    for (int p = 0; p < us_port_count(type->outputs); p++) {
        us_value_unref(open->outputs[p]);
        open->outputs[p] = NULL;
    }
    us_error_free(open->failed);
    open->failed = NULL;
}

void task_close(struct us_task *open) {
    task_clear(open);
    us_free(open->destination);
    us_free(open->workspace);
    if (open->grant->scratch && !open->grant->scratch->head) {
        us_arena_rewind(&open->arena, open->mark);
        *open->grant->scratch = open->arena;
    } else {
        us_arena_finish(&open->arena);
    }
}

void check_outputs(struct us_task *open) {
    const struct us_node_type *type = open->node->type;
    for (int p = 0; p < us_port_count(type->outputs); p++) {
        if (!open->outputs[p]) {
            US_BUG("%s made no output '%s'", type->name, type->outputs[p].name);
        }
    }
}

struct us_error *run_node(struct us_task *open) {
    US_TRY(us_task_progress(open, -1));
    US_TRY(open->node->type->run(open));
    if (open->failed) {
        struct us_error *error = open->failed;
        open->failed = NULL;
        return error;
    }
    check_outputs(open);
    return NULL;
}

static bool digests_known(struct us_run *run, const struct task *task) {
    pthread_mutex_lock(&run->lock);
    bool known = task->digests != NULL;
    pthread_mutex_unlock(&run->lock);
    return known;
}

static void learn_digests(struct us_run *run, struct task *task, const struct us_digest *digests,
                          bool unstored) {
    pthread_mutex_lock(&run->lock);
    if (!task->digests) {
        set_digests(run, task, digests);
        task->unstored = unstored;
    }
    pthread_mutex_unlock(&run->lock);
}

struct looking {
    struct us_error **error;
    const struct grant *grant;
};

/* The plan ends at what it finds: what lies above was never looked up, until a result between turns
 * out to be damaged. Without a record it runs, too. */
static void learn_input(struct us_run *run, struct task *task, void *context) {
    const struct looking *looking = context;
    struct us_error **error = looking->error;
    if (*error || digests_known(run, task)) {
        return;
    }
    struct record record;
    bool found;
    size_t outputs = (size_t)us_port_count(task_node(run, task)->type->outputs);
    *error = load_record(run, &task->plan_key, outputs, &record, &found);
    if (!*error && found) {
        *error = witnesses_stand(run, &record, &found);
    }
    if (*error) {
        return;
    }
    if (found) {
        learn_digests(run, task, record.outputs, record.unstored);
        return;
    }
    struct us_value *value;
    *error = load_value(run, task, 0, looking->grant, &value);
    if (!*error) {
        us_value_unref(value);
    }
}

/* What came out is what the task's record said, or, where there was none, is learnt now. */
static struct us_error *settle_digests(const struct us_task *open) {
    struct us_digest digests[MAX_OUTPUTS];
    const struct us_port *ports = open->node->type->outputs;
    const struct us_digest *before = open->task->digests;
    for (int p = 0; p < us_port_count(ports); p++) {
        digests[p] = open->outputs[p]->digest;
        if (before && !us_digest_equal(&digests[p], &before[p])) {
            drop_records(open->run, open->task); /* so that the next run makes it anew */
            return us_error_hint(
                us_fail(US_FAILED, "its '%s' came out different than before", ports[p].name),
                "was a source file changed while this ran? run again");
        }
    }
    if (!before) {
        learn_digests(open->run, open->task, digests, false);
    }
    return NULL;
}

struct us_error *remake_values(struct us_run *run, struct task *task, const struct grant *grant,
                               struct us_value **values) {
    struct us_task open;
    struct grant alone = {.worker = grant->worker, .threads = grant->threads};
    struct us_error *error = NULL;
    struct looking looking = {&error, &alone};
    each_input(run, task, learn_input, &looking);
    US_TRY(error);
    error = task_open(run, task, &alone, &open);
    if (!error) {
        error = run_node(&open);
    }
    if (!error) {
        error = settle_digests(&open);
    }
    for (int p = 0; !error && p < us_port_count(open.node->type->outputs); p++) {
        values[p] = us_value_ref(open.outputs[p]);
    }
    task_close(&open);
    return error;
}
