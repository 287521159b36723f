#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/base/watch.h"
#include "runtime/exec/run_internal.h"

static struct us_error *make_plan_keys(struct us_run *run) {
    struct us_str fields = {0};
    struct us_error *error = NULL;
    make_prefixes(run);
    read_sources_ahead(run);
    for (size_t i = 0; i < run->plan_count && !error; i++) {
        struct task *task = &run->tasks[run->plan[i]];
        us_str_clear(&fields);
        error = plan_fields(run, task, &fields);
        task->plan_key = key_of("understudy plan 1", &fields);
    }
    us_str_finish(&fields);
    return error;
}

static void list_plan(struct us_run *run) {
    run->plan = us_arena_alloc(&run->arena, (run->plan_count + 1) * sizeof *run->plan);
    size_t count = 0;
    for (uint32_t i = 0; i < run->task_count; i++) {
        if (run->tasks[i].needed) {
            run->plan[count++] = i;
        }
    }
}

/* From the last run where that can be, else all of them; then nothing that base_keys leaves out can
 * be wrong about what tasks write, either. */
static struct us_error *make_keys_or_keep(struct us_run *run) {
    bool kept;
    list_plan(run);
    run->noting = true;
    struct us_error *error = base_keys(run, &kept);
    if (!error && !kept) {
        error = make_plan_keys(run);
        error = error ? error : check_destinations(run);
    }
    run->noting = false;
    return error;
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
    if (stands) {
        us_watch_note_content(path, &digest);
        us_watch_note(path);
    }
    us_error_free(error);
    us_free(path);
    return stands;
}

static bool objects_there(struct us_run *run, const struct task *task) {
    int outputs = us_port_count(task_node(run, task)->type->outputs);
    for (int i = 0; i < outputs && !task->unstored && task_is_stored(run, task); i++) {
        if (!run->store->ops->has_object(run->store, &task->digests[i])) {
            return false;
        }
    }
    return true;
}

bool is_lost(const struct us_run *run, const struct us_digest *digest) {
    for (size_t i = 0; i < run->lost_count; i++) {
        if (us_digest_equal(&run->lost[i], digest)) {
            return true;
        }
    }
    return false;
}

static bool lost_witness(const struct us_run *run, const struct record *record) {
    for (size_t i = 0; i < record->witness_count; i++) {
        if (is_lost(run, &record->witnesses[i].digest)) {
            return true;
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
        *found = *found && !lost_witness(run, &record);
    }
    if (*found) {
        set_digests(run, task, record.outputs);
        task->unstored = record.unstored;
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
    /* Of two nodes with the same training, one may have been found without its bytes. */
    *found = *found &&
             !(task_node(run, task)->type->volatile_result && is_lost(run, &record.outputs[0]));
    if (!error && *found) {
        set_digests(run, task, record.outputs);
        task->unstored = record.unstored;
        task->alias = true;
    }
    return error;
}

/* The plan is made in passes over the tasks in their order, in which inputs come first:
 *
 *     ask      backwards: is there a record under the plan key? If not, its inputs are asked
 *     decide   forwards: what was asked and not found: under its action key, else it runs
 *     feed     backwards: what a running task reads must be at hand, else that runs, too
 *
 * and again while feeding asks for more. */
struct passes {
    struct us_error *error;
    bool known; /* the digests of all inputs */
    bool again;
    bool maybe; /* the task that is fed may not run */
    const struct task *fed;
};

static void ask(struct us_run *run, struct task *task, void *context) {
    (void)run;
    (void)context;
    task->asked = true;
}

static void decide_run(struct task *task, const char *why) {
    task->resolved = true;
    task->run = true;
    task->why = why;
}

/* Looks the plan key up; what is found is decided. */
static struct us_error *look(struct us_run *run, struct task *task) {
    bool found;
    const char *why = NULL;
    task->asked = task->looked = true;
    US_TRY(find_by_plan_key(run, task, &found));
    if (!found) {
        each_input(run, task, ask, NULL);
    } else if (destination_stands(run, task, &why)) {
        task->resolved = true;
    } else {
        decide_run(task, why);
    }
    return NULL;
}

static void is_known(struct us_run *run, struct task *task, void *context) {
    (void)run;
    ((struct passes *)context)->known &= task->digests != NULL;
}

static struct us_error *decide(struct us_run *run, struct task *task) {
    struct passes state = {.known = true};
    bool found = false;
    const char *why = NULL;
    each_input(run, task, is_known, &state);
    if (state.known) {
        US_TRY(find_by_action_key(run, task, &found));
    }
    if (!found) {
        why = task->forced ? "its result is no longer in the cache" : why_miss(run, task);
        task->maybe = !state.known && was_made_somewhere(run, task);
        decide_run(task, why);
    } else if (destination_stands(run, task, &why)) {
        task->resolved = true;
    } else {
        decide_run(task, why);
    }
    return NULL;
}

/* Under the key of its last time there was a record: what removed it (a gc) mostly removed the one
 * under the action key, too. */
static bool surely_runs(struct us_run *run, const struct task *task) {
    const struct history history = history_recall(run, task);
    return history.when && us_digest_equal(&history.plan_key, &task->plan_key);
}

static void feed(struct us_run *run, struct task *task, void *context) {
    struct passes *state = context;
    if (!state->error && !task->looked) {
        state->error = look(run, task);
    }
    if (state->error || !task->resolved) {
        state->known = false;
        return;
    }
    if (task->run || !task->digests || objects_there(run, task)) {
        return;
    }
    if (state->maybe && !surely_runs(run, state->fed)) {
        return; /* it may not be read at all: load_value sees to it when it is */
    }
    if (task_node(run, task)->type->volatile_result) {
        task->forced = true;
        us_grow(&run->lost, &run->lost_capacity, run->lost_count, sizeof *run->lost);
        run->lost[run->lost_count++] = task->digests[0];
    }
    decide_run(task, "its result is no longer in the cache");
}

static struct us_error *feed_all(struct us_run *run, bool *again) {
    *again = false;
    for (size_t i = run->plan_count; i-- > 0;) {
        struct task *task = &run->tasks[run->plan[i]];
        if (!task->run || task->fed) {
            continue;
        }
        struct passes state = {.known = true, .maybe = task->maybe, .fed = task};
        each_input(run, task, feed, &state);
        US_TRY(state.error);
        task->fed = state.known;
        *again |= !state.known;
    }
    return NULL;
}

static struct us_error *look_all(struct us_run *run) {
    for (size_t i = run->plan_count; i-- > 0;) {
        struct task *task = &run->tasks[run->plan[i]];
        if (task->asked && !task->looked) {
            US_TRY(look(run, task));
        }
    }
    return NULL;
}

static struct us_error *decide_all(struct us_run *run) {
    for (size_t i = 0; i < run->plan_count; i++) {
        struct task *task = &run->tasks[run->plan[i]];
        if (task->asked && !task->resolved) {
            US_TRY(decide(run, task));
        }
    }
    return NULL;
}

static struct us_error *resolve_all(struct us_run *run) {
    for (bool again = true; again;) {
        US_TRY(look_all(run));
        US_TRY(decide_all(run));
        US_TRY(feed_all(run, &again));
    }
    return NULL;
}

/* A volatile result that must be made anew changes what is found below it: all is decided again. */
static struct us_error *forget_forced(struct us_run *run, bool *forgotten) {
    bool again = false;
    for (size_t i = 0; i < run->plan_count && run->lost_count; i++) {
        const struct task *task = &run->tasks[run->plan[i]];
        again |= task->forced && task->digests;
    }
    for (size_t i = 0; again && i < run->plan_count; i++) {
        struct task *task = &run->tasks[run->plan[i]];
        us_free(task->digests);
        task->digests = NULL;
        task->looked = task->resolved = task->fed = task->run = task->maybe = false;
        task->alias = task->unstored = task->stood = false;
        task->why = NULL;
    }
    *forgotten = again;
    return again ? ask_targets(run) : NULL; /* what stood may name what is lost */
}

struct us_error *make_plan(struct us_run *run) {
    US_TRY(mark_targets(run));
    US_TRY(make_keys_or_keep(run));
    for (bool again = true; again;) {
        US_TRY(resolve_all(run));
        US_TRY(forget_forced(run, &again));
    }
    for (size_t i = 0; i < run->plan_count; i++) {
        struct task *task = &run->tasks[run->plan[i]];
        if (task->run) {
            task->seconds = (float)history_recall(run, task).seconds;
        }
    }
    return NULL;
}
