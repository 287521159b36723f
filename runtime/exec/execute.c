#include <string.h>
#include <time.h>
#include <unistd.h>

#include "runtime/base/mem.h"
#include "runtime/exec/schedule_internal.h"

double now_seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

void send_event_at(struct us_run *run, const struct task *task, const struct grant *grant,
                   struct us_event *event) {
    event->worker = grant->worker;
    event->device = grant->device[0] ? grant->device : NULL;
    event->running = atomic_load_explicit(&run->running, memory_order_relaxed);
    event->waiting = atomic_load_explicit(&run->unfinished, memory_order_relaxed) - event->running;
    send_event(run, task, event);
}

static struct us_error *put_value(struct us_run *run, struct us_value *value, uint64_t *stored) {
    struct us_store *store = run->store;
    if (value->data != US_IMAGE) {
        *stored = value->size;
        return store->ops->put_object(store, &value->digest, value->bytes, value->size);
    }
    *stored = us_value_bytes(value);
    if (store->ops->has_object(store, &value->digest)) {
        return NULL; /* nothing to encode */
    }
    uint8_t *bytes;
    size_t size;
    US_TRY(run->graph->registry->codec->encode(value->image, &bytes, &size));
    *stored = size;
    struct us_error *error = store->ops->put_object(store, &value->digest, bytes, size);
    us_free(bytes);
    return error;
}

struct us_error *store_values(struct us_run *run, const struct task *task,
                              struct us_value *const *values, uint64_t *sizes) {
    const int outputs = us_port_count(task_node(run, task)->type->outputs);
    uint64_t size;
    for (int p = 0; p < outputs && !task->unstored && task_is_stored(run, task); p++) {
        US_TRY(put_value(run, values[p], sizes ? &sizes[p] : &size));
    }
    return NULL;
}

struct keys {
    struct us_str plan, action;
    struct us_digest action_key;
};

/* A task on its way through here. */
struct job {
    struct us_run *run;
    struct task *task;
    struct keys keys;
    struct record record;
    bool taken; /* the lease */
    bool free;  /* it needs none */
    bool found; /* its result was there after all */
    bool open;  /* what follows is in use */
    struct us_task at;
    double seconds;
    struct us_error *error;
};

static void keys_finish(struct keys *keys) {
    us_str_finish(&keys->plan);
    us_str_finish(&keys->action);
}

static struct us_error *changed_since(void) {
    return us_error_hint(us_fail(US_FAILED, "a file that it reads changed after the plan was made"),
                         "run again");
}

/* Of the files as the plan saw them: what is found under these keys was made of these, whatever
 * they are now. */
static struct us_error *make_keys(struct us_run *run, struct task *task, struct keys *keys) {
    *keys = (struct keys){0};
    struct us_watch *before = us_watch_set(&run->watch);
    struct us_error *error = plan_fields(run, task, &keys->plan);
    error = error ? error : action_fields(run, task, false, &keys->action);
    us_watch_set(before);
    US_TRY(error);
    const struct us_digest plan_key = key_of("understudy plan 1", &keys->plan);
    if (!us_digest_equal(&plan_key, &task->plan_key)) {
        return changed_since();
    }
    keys->action_key = key_of("understudy action 1", &keys->action);
    return NULL;
}

static bool objects_stand(struct us_run *run, const struct task *task,
                          const struct record *record) {
    for (size_t i = 0; i < record->output_count && !record->unstored && task_is_stored(run, task);
         i++) {
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

/* An older record may stand under the plan key, whose witnesses no longer do: it is replaced. */
static struct us_error *publish_plan(struct us_run *run, struct task *task, const struct keys *keys,
                                     const struct record *record) {
    bool won;
    US_TRY(store_record(run, task, &task->plan_key, record, &keys->plan, &won));
    if (!won) {
        US_TRY(run->store->ops->drop_record(run->store, &task->plan_key));
        US_TRY(store_record(run, task, &task->plan_key, record, &keys->plan, &won));
    }
    return NULL;
}

/* Under the action key, unless it was found there, and under the plan key. Where a record has no
 * room for its witnesses, planning gets to the action key through what is above. */
static struct us_error *publish(struct us_run *run, struct task *task, const struct keys *keys,
                                struct record *record, bool found) {
    record->witness_count = 0;
    US_TRY(found ? NULL : publish_action(run, task, keys, record));
    set_digests(run, task, record->outputs);
    task->unstored = record->unstored;
    if (collect_witnesses(run, task, &keys->action_key, record)) {
        US_TRY(publish_plan(run, task, keys, record));
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
    task->unstored = record->unstored;
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

/* The result, or the lease to make it; neither: somebody else is at it. */
static struct us_error *find_or_take(struct job *job) {
    struct us_store *store = job->run->store;
    US_TRY(find_result(job->run, job->task, &job->keys, &job->record, &job->found));
    if (job->found) {
        return NULL;
    }
    job->free = !task_is_leased(job->run, job->task);
    if (job->free) {
        return NULL;
    }
    US_TRY(store->ops->lease(store, &job->keys.action_key, &job->taken));
    /* Between look-up and lease somebody may have finished. */
    return job->taken ? find_result(job->run, job->task, &job->keys, &job->record, &job->found)
                      : NULL;
}

static void job_start(struct us_run *run, struct task *task, struct job *job) {
    *job = (struct job){.run = run, .task = task};
    job->error = make_keys(run, task, &job->keys);
    job->error = job->error ? job->error : find_or_take(job);
}

/* Once a node: nothing seems to happen. */
static void tell_waiting(struct job *job) {
    struct us_store *store = job->run->store;
    if (atomic_exchange(&job->run->nodes[job->task->node].waited, true)) {
        return;
    }
    char *holder = store->ops->lease_holder(store, &job->keys.action_key);
    struct us_str text = {0};
    us_str_printf(&text, "waits for %s, which is making this", holder ? holder : "another process");
    struct us_event event = {.kind = US_EVENT_WARNING, .worker = -1, .status = us_str_text(&text)};
    send_event(job->run, job->task, &event);
    us_str_finish(&text);
    us_free(holder);
}

/* Whoever waits for another process holds no lease, so that none waits for one that waits. */
static void job_wait(struct job *job) {
    static const double patience = 3;
    const double begun = now_seconds();
    for (useconds_t pause = 5000; !job->error && !job->found && !job->taken && !job->free;
         pause = pause < 200000 ? 2 * pause : pause) {
        if (is_stopped(job->run)) {
            job->error = us_fail(US_CANCELLED, "stopped on request");
            return;
        }
        usleep(pause);
        if (now_seconds() - begun > patience) {
            tell_waiting(job);
        }
        job->error = find_or_take(job);
    }
}

/* The files that a task reads are those of its plan key, now. */
static struct us_error *sources_stand(struct us_run *run, const struct task *task, bool *stand) {
    *stand = true;
    if (!task_node(run, task)->type->sources) {
        return NULL;
    }
    struct us_str fields = {0};
    struct us_error *error = plan_fields(run, task, &fields);
    if (!error) {
        const struct us_digest key = key_of("understudy plan 1", &fields);
        *stand = us_digest_equal(&key, &task->plan_key);
    }
    us_str_finish(&fields);
    return error;
}

static void job_open(struct job *job, const struct grant *grant) {
    bool stand;
    job->error = sources_stand(job->run, job->task, &stand);
    if (job->error || !stand) {
        job->error = job->error ? job->error : changed_since();
        return;
    }
    struct us_event event = {.kind = US_EVENT_START, .why = job->task->why};
    bool *started = &job->run->sides[job->task - job->run->tasks].started;
    if (!*started) {
        send_event_at(job->run, job->task, grant, &event);
    }
    *started = job->open = true;
    job->error = task_open(job->run, job->task, grant, &job->at);
}

static void run_alone(struct job *job) {
    const double begun = now_seconds();
    job->error = run_node(&job->at);
    job->seconds += now_seconds() - begun;
}

static struct us_error *call_batch(struct job **jobs, size_t count) {
    struct us_task *tasks[BATCH_MOST];
    for (size_t i = 0; i < count; i++) {
        tasks[i] = &jobs[i]->at;
    }
    US_TRY(us_task_progress(tasks[0], -1));
    return jobs[0]->at.node->type->run_batch(tasks, count);
}

static void run_batch(struct job **jobs, size_t count);

/* The batch as such went wrong: smaller, or each by itself. */
static void run_parts(struct job **jobs, size_t count, struct us_error *error) {
    const bool full = us_error_is(error, US_DEVICE_FULL);
    const bool over = us_error_is(error, US_CANCELLED);
    const size_t part = full ? (count + 1) / 2 : 1;
    us_error_free(error);
    for (size_t i = 0; i < count; i++) {
        task_clear(&jobs[i]->at);
        if (over) {
            jobs[i]->error = us_fail(US_CANCELLED, "stopped on request");
        }
    }
    for (size_t i = 0; i < count && !over; i += part) {
        run_batch(jobs + i, count - i < part ? count - i : part);
    }
}

static void run_batch(struct job **jobs, size_t count) {
    if (count == 1) {
        run_alone(jobs[0]);
        return;
    }
    const double begun = now_seconds();
    struct us_error *error = call_batch(jobs, count);
    const double each = (now_seconds() - begun) / (double)count;
    for (size_t i = 0; i < count; i++) {
        jobs[i]->seconds += each;
    }
    if (error) {
        run_parts(jobs, count, error);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        jobs[i]->error = jobs[i]->at.failed;
        jobs[i]->at.failed = NULL;
        if (!jobs[i]->error) {
            check_outputs(&jobs[i]->at);
        }
    }
}

/* Stores and publishes what the node made. */
static struct us_error *job_publish(struct job *job) {
    struct us_run *run = job->run;
    struct us_task *at = &job->at;
    struct record *record = &job->record;
    bool stand;
    US_TRY(sources_stand(run, job->task, &stand));
    if (!stand) { /* what it made of files that changed meanwhile belongs to no key */
        return us_error_hint(us_fail(US_FAILED, "a file that it reads changed while it ran"),
                             "run again when nothing writes to it any more");
    }
    if (job->task->forced) {
        US_TRY(run->store->ops->drop_record(run->store, &job->keys.action_key));
    }
    memset(record, 0, sizeof *record);
    record->remake_seconds = remake_cost(run, job->task, job->seconds);
    record->unstored = task_is_stored(run, job->task) &&
                       !is_worth_storing(run, job->task, at->outputs, record->remake_seconds);
    job->task->unstored = record->unstored;
    const double begun = now_seconds();
    US_TRY(store_values(run, job->task, at->outputs, record->sizes));
    job->seconds += now_seconds() - begun;
    keep_values(run, job->task, at->outputs, record->remake_seconds);
    job->record.output_count = (size_t)us_port_count(at->node->type->outputs);
    for (size_t p = 0; p < job->record.output_count; p++) {
        job->record.outputs[p] = at->outputs[p]->digest;
    }
    job->record.seconds = job->seconds;
    return publish(run, job->task, &job->keys, &job->record, false);
}

/* A process that stood still for long lost its lease, and who took it shares the task's workspace:
 * what went wrong then does not count once the result is there. */
static void look_again(struct job *job) {
    bool found = false;
    if (us_error_is(job->error, US_CANCELLED)) {
        return;
    }
    us_error_free(find_result(job->run, job->task, &job->keys, &job->record, &found));
    if (found) {
        us_error_free(job->error);
        job->error = NULL;
        job->found = true;
    }
}

/* The end of a job, however it went. */
static struct outcome job_end(struct job *job, const struct grant *grant) {
    struct us_run *run = job->run;
    char status[sizeof job->at.status];
    status[0] = '\0';
    if (job->error && job->open) {
        look_again(job);
    }
    if (!job->error && job->found) {
        job->error = publish(run, job->task, &job->keys, &job->record, true);
    } else if (!job->error) {
        job->error = job_publish(job);
    }
    if (job->open) {
        memcpy(status, job->at.status, sizeof status);
        task_close(&job->at);
    }
    if (job->taken) {
        run->store->ops->release(run->store, &job->keys.action_key);
    }
    keys_finish(&job->keys);
    if (job->error) {
        return (struct outcome){.error = task_error(run, job->task, job->error)};
    }
    struct us_event event = {.kind = job->found ? US_EVENT_CACHED : US_EVENT_DONE,
                             .seconds = job->record.seconds,
                             .status = status[0] ? status : NULL};
    send_event_at(run, job->task, grant, &event);
    return (struct outcome){.cached = job->found};
}

static void execute_one(struct us_run *run, struct task *task, const struct grant *grant,
                        struct outcome *outcome) {
    struct job job;
    job_start(run, task, &job);
    job_wait(&job);
    if (!job.error && !job.found) {
        job_open(&job, grant);
    }
    if (!job.error && job.open) {
        run_alone(&job);
    }
    *outcome = job_end(&job, grant);
}

/* What another process is at goes last, one by one. */
static void execute_batch(struct us_run *run, struct task **tasks, size_t count,
                          const struct grant *grant, struct outcome *outcomes) {
    struct job *jobs = us_calloc(count, sizeof *jobs), *opened[BATCH_MOST];
    struct grant shared = *grant;
    shared.scratch = NULL;
    size_t open = 0;
    for (size_t i = 0; i < count; i++) {
        job_start(run, tasks[i], &jobs[i]);
        if (!jobs[i].error && (jobs[i].taken || jobs[i].free) && !jobs[i].found) {
            job_open(&jobs[i], &shared);
        }
        if (!jobs[i].error && jobs[i].open) {
            opened[open++] = &jobs[i];
        }
    }
    if (open) {
        run_batch(opened, open);
    }
    for (size_t i = 0; i < count; i++) {
        if (jobs[i].error || jobs[i].open || jobs[i].found) {
            outcomes[i] = job_end(&jobs[i], &shared);
        }
    }
    for (size_t i = 0; i < count; i++) {
        if (!(jobs[i].error || jobs[i].open || jobs[i].found)) {
            keys_finish(&jobs[i].keys);
            execute_one(run, tasks[i], grant, &outcomes[i]);
        }
    }
    us_free(jobs);
}

void execute_tasks(struct us_run *run, struct task **tasks, size_t count, const struct grant *grant,
                   struct outcome *outcomes) {
    if (count == 1) {
        execute_one(run, tasks[0], grant, &outcomes[0]);
    } else {
        execute_batch(run, tasks, count, grant, outcomes);
    }
}

void drop_records(struct us_run *run, struct task *task) {
    struct keys keys;
    struct us_error *error = make_keys(run, task, &keys);
    if (!error) {
        error = run->store->ops->drop_record(run->store, &keys.action_key);
    }
    us_error_free(error);
    us_error_free(run->store->ops->drop_record(run->store, &task->plan_key));
    keys_finish(&keys);
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
        error = publish(run, task, &keys, &record, true);
    }
    keys_finish(&keys);
    return error;
}
