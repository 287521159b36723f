#include <string.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/mem.h"
#include "runtime/exec/run_internal.h"

double now_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static struct us_error *task_open(struct us_run *run, struct task *task, const struct grant *grant,
                                  struct us_task *open) {
    const struct us_node *node = task_node(run, task);
    const struct us_node_type *type = node->type;
    *open = (struct us_task){.run = run, .task = task, .node = node, .grant = *grant};
    struct us_arena *arena = &open->arena;
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
    struct us_str fields = {0};
    struct us_error *error = action_fields(run, task, true, &fields);
    open->workspace_key = key_of("understudy workspace 1", &fields);
    us_str_finish(&fields);
    if (!error && type->sources) {
        error = type->sources(open->params, task->frame, &open->sources);
    }
    open->destination = type->writes ? type->destination(open->params, task->frame) : NULL;
    return error;
}

static void task_close(struct us_task *open) {
    const struct us_node_type *type = open->node->type;
    for (int p = 0; p < us_port_count(type->inputs); p++) {
        for (size_t i = 0; i < open->input_counts[p]; i++) {
            us_value_unref(open->loaded[p][i]);
        }
    }
    for (int p = 0; p < us_port_count(type->outputs); p++) {
        us_value_unref(open->outputs[p]);
    }
    us_free(open->destination);
    us_free(open->workspace);
    us_arena_finish(&open->arena);
}

static struct us_error *run_node(struct us_task *open) {
    const struct us_node_type *type = open->node->type;
    US_TRY(us_task_progress(open, -1));
    US_TRY(type->run(open));
    for (int p = 0; p < us_port_count(type->outputs); p++) {
        if (!open->outputs[p]) {
            US_BUG("%s made no output '%s'", type->name, type->outputs[p].name);
        }
    }
    return NULL;
}

static struct us_error *put_value(struct us_run *run, struct us_value *value) {
    struct us_store *store = run->store;
    if (store->ops->has_object(store, &value->digest)) {
        return NULL;
    }
    if (value->data != US_IMAGE) {
        return store->ops->put_object(store, &value->digest, value->bytes, value->size);
    }
    uint8_t *bytes;
    size_t size;
    US_TRY(run->graph->registry->codec->encode(value->image, &bytes, &size));
    struct us_error *error = store->ops->put_object(store, &value->digest, bytes, size);
    us_free(bytes);
    return error;
}

static struct us_error *store_values(struct us_task *open) {
    const struct us_node_type *type = open->node->type;
    for (int p = 0; p < us_port_count(type->outputs); p++) {
        if (task_is_stored(open->run, open->task)) {
            US_TRY(put_value(open->run, open->outputs[p]));
        }
        keep_value(open->run, open->task, (uint32_t)p, open->outputs[p]);
    }
    return NULL;
}

static bool digests_known(struct us_run *run, const struct task *task) {
    pthread_mutex_lock(&run->lock);
    bool known = task->digests != NULL;
    pthread_mutex_unlock(&run->lock);
    return known;
}

static void learn_digests(struct us_run *run, struct task *task, const struct us_digest *digests) {
    pthread_mutex_lock(&run->lock);
    if (!task->digests) {
        set_digests(run, task, digests);
    }
    pthread_mutex_unlock(&run->lock);
}

/* The plan ends at what it finds: what lies above was never looked up, until a result between turns
 * out to be damaged. Without a record it runs, too. */
static void learn_input(struct us_run *run, struct task *task, void *context) {
    struct us_error **error = context;
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
        learn_digests(run, task, record.outputs);
        return;
    }
    struct us_value *value;
    *error = load_value(run, task, 0, &value);
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
            return us_error_hint(
                us_fail(US_FAILED, "its '%s' came out different than before", ports[p].name),
                "was a source file changed while this ran? run again");
        }
    }
    if (!before) {
        learn_digests(open->run, open->task, digests);
    }
    return NULL;
}

struct us_error *remake_values(struct us_run *run, struct task *task) {
    struct us_task open;
    const struct grant alone = {.threads = 1};
    struct us_error *error = NULL;
    each_input(run, task, learn_input, &error);
    US_TRY(error);
    error = task_open(run, task, &alone, &open);
    if (!error) {
        error = run_node(&open);
    }
    if (!error) {
        error = settle_digests(&open);
    }
    if (!error) {
        error = store_values(&open);
    }
    task_close(&open);
    return error;
}

struct keys {
    struct us_str plan, action;
    struct us_digest action_key;
};

static void keys_finish(struct keys *keys) {
    us_str_finish(&keys->plan);
    us_str_finish(&keys->action);
}

static struct us_error *make_keys(struct us_run *run, struct task *task, struct keys *keys) {
    *keys = (struct keys){0};
    US_TRY(plan_fields(run, task, &keys->plan));
    const struct us_digest plan_key = key_of("understudy plan 1", &keys->plan);
    if (!us_digest_equal(&plan_key, &task->plan_key)) {
        return us_error_hint(
            us_fail(US_FAILED, "a file that it reads changed after the plan was made"),
            "run again");
    }
    US_TRY(action_fields(run, task, false, &keys->action));
    keys->action_key = key_of("understudy action 1", &keys->action);
    return NULL;
}

static bool objects_stand(struct us_run *run, const struct task *task,
                          const struct record *record) {
    for (size_t i = 0; i < record->output_count && task_is_stored(run, task); i++) {
        if (!run->store->ops->has_object(run->store, &record->outputs[i])) {
            return false;
        }
    }
    return true;
}

/* First writer wins, unless what its record names is gone. */
static struct us_error *publish_action(struct us_run *run, struct task *task,
                                       const struct keys *keys, struct record *record) {
    bool won, found;
    US_TRY(store_record(run, task, &keys->action_key, record, NULL, &won));
    if (won) {
        return NULL;
    }
    struct record other;
    US_TRY(load_record(run, &keys->action_key, record->output_count, &other, &found));
    if (found && objects_stand(run, task, &other)) {
        *record = other;
        return NULL;
    }
    US_TRY(run->store->ops->drop_record(run->store, &keys->action_key));
    return store_record(run, task, &keys->action_key, record, NULL, &won);
}

/* Publishes under the action key, then under the plan key, where an older record may stand whose
 * witnesses no longer do: that one is replaced. */
static struct us_error *publish(struct us_run *run, struct task *task, const struct keys *keys,
                                struct record *record) {
    bool won;
    record->witness_count = 0;
    US_TRY(publish_action(run, task, keys, record));
    set_digests(run, task, record->outputs);
    collect_witnesses(run, task, &keys->action_key, record);
    US_TRY(store_record(run, task, &task->plan_key, record, &keys->plan, &won));
    if (!won) {
        US_TRY(run->store->ops->drop_record(run->store, &task->plan_key));
        US_TRY(store_record(run, task, &task->plan_key, record, &keys->plan, &won));
    }
    history_remember(run, task, record->seconds);
    return NULL;
}

static struct us_error *find_result(struct us_run *run, struct task *task, const struct keys *keys,
                                    struct record *record, bool *found) {
    size_t outputs = (size_t)us_port_count(task_node(run, task)->type->outputs);
    US_TRY(load_record(run, &keys->action_key, outputs, record, found));
    /* Of what is made anew somebody else may have been the first. */
    *found = *found && !(task->forced && is_lost(run, &record->outputs[0]));
    if (!*found) {
        return NULL;
    }
    set_digests(run, task, record->outputs);
    /* Nobody may want to read what the plan was not sure about: when its bytes are lost, that is
     * seen to by the first who does (load_value). */
    *found = task->maybe || objects_stand(run, task, record);
    if (*found && task_node(run, task)->type->writes) {
        char *path = task_destination(run, task);
        struct us_digest digest;
        struct us_error *error = run->store->ops->file_digest(run->store, path, &digest);
        *found = !error && us_digest_equal(&digest, &record->outputs[0]);
        us_error_free(error);
        us_free(path);
    }
    return NULL;
}

static struct us_error *run_and_store(struct us_run *run, struct task *task,
                                      const struct grant *grant, const struct keys *keys,
                                      struct record *record, char *status) {
    struct us_task open;
    double start = now_seconds();
    struct us_error *error = task_open(run, task, grant, &open);
    if (!error) {
        error = run_node(&open);
    }
    if (!error && task->forced) {
        error = run->store->ops->drop_record(run->store, &keys->action_key);
    }
    if (!error) {
        error = store_values(&open);
    }
    record->output_count = (size_t)us_port_count(open.node->type->outputs);
    for (size_t p = 0; !error && p < record->output_count; p++) {
        record->outputs[p] = open.outputs[p]->digest;
    }
    record->seconds = now_seconds() - start;
    memcpy(status, open.status, sizeof open.status);
    task_close(&open);
    return error ? error : publish(run, task, keys, record);
}

/* Waits until this process holds the lease on the key, or the result is there. */
static struct us_error *take_lease(struct us_run *run, struct task *task, const struct keys *keys,
                                   struct record *record, bool *taken, bool *found) {
    for (useconds_t pause = 5000;; pause = pause < 200000 ? 2 * pause : pause) {
        US_TRY(find_result(run, task, keys, record, found));
        if (*found) {
            return NULL;
        }
        US_TRY(run->store->ops->lease(run->store, &keys->action_key, taken));
        if (*taken) {
            return NULL;
        }
        if (atomic_load(&run->stopping) || atomic_load(&run->cancelled)) {
            return us_fail(US_CANCELLED, "stopped on request");
        }
        usleep(pause);
    }
}

struct us_error *alias_task(struct us_run *run, struct task *task) {
    struct keys keys;
    struct record record = {0};
    bool found = false;
    struct us_error *error = make_keys(run, task, &keys);
    if (!error) {
        error = find_result(run, task, &keys, &record, &found);
    }
    if (!error && found) {
        error = publish(run, task, &keys, &record);
    }
    keys_finish(&keys);
    return error;
}

struct us_error *execute_task(struct us_run *run, struct task *task, const struct grant *grant,
                              bool *cached, double *seconds) {
    struct keys keys;
    struct record record = {0};
    bool taken = false, found = false;
    char status[sizeof((struct us_task *)NULL)->status] = "";
    *cached = false;
    struct us_error *error = make_keys(run, task, &keys);
    if (!error) {
        error = take_lease(run, task, &keys, &record, &taken, &found);
    }
    if (!error && taken) {
        /* Between look-up and lease somebody may have finished. */
        error = find_result(run, task, &keys, &record, &found);
    }
    if (!error && found) {
        *cached = true;
        error = publish(run, task, &keys, &record);
    } else if (!error) {
        struct us_event event = {.kind = US_EVENT_START, .why = task->why};
        send_event(run, task, &event);
        error = run_and_store(run, task, grant, &keys, &record, status);
    }
    if (taken) {
        run->store->ops->release(run->store, &keys.action_key);
    }
    keys_finish(&keys);
    *seconds = record.seconds;
    if (error) {
        return task_error(run, task, error);
    }
    struct us_event event = {.kind = *cached ? US_EVENT_CACHED : US_EVENT_DONE,
                             .seconds = record.seconds,
                             .status = status[0] ? status : NULL};
    send_event(run, task, &event);
    return NULL;
}
