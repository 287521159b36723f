#include "kernels/cuda/conv_plan.h"

#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "kernels/cuda/conv_planner_internal.h"
#include "kernels/nn/memory.h"

struct us_conv_plan {
    struct us_conv_planner *planner;
    struct us_conv_desc desc;
    struct conv_candidates *made_from; /* what the plan stands on; NULL when it came from a file */
    cudnnBackendDescriptor_t plan;     /* its own when made_from is NULL */
    size_t workspace;
    struct us_conv_plan_info info;
};

/* Makes the plan of what a file held; false when cuDNN refuses it. */
static bool rebuild(struct us_conv_plan *plan, const struct conv_target *target,
                    const struct conv_choice *choice) {
    cudnnBackendDescriptor_t made = conv_plan_from_json(target, choice->json);
    const size_t workspace = made ? conv_plan_workspace(made) : SIZE_MAX;
    if (workspace == SIZE_MAX) {
        if (made) {
            (void)cudnnBackendDestroyDescriptor(made);
        }
        return false;
    }
    plan->plan = made;
    plan->workspace = workspace;
    plan->info = (struct us_conv_plan_info){.cached = true,
                                            .fused = choice->fused,
                                            .matmul = choice->matmul,
                                            .candidates = choice->candidates,
                                            .wrong = choice->wrong,
                                            .rank = choice->rank,
                                            .microseconds = choice->microseconds};
    return true;
}

/* Takes the plan from the folder; false when there is none that stands. */
static bool recall(struct us_conv_plan *plan, const struct conv_target *target, const char *key) {
    const char *folder = plan->planner->folder;
    struct conv_choice choice;
    if (!folder || !conv_cache_read(folder, key, &choice)) {
        return false;
    }
    const bool stands = rebuild(plan, target, &choice);
    us_nn_free(choice.json);
    if (!stands) {
        conv_cache_forget(folder, key);
    }
    return stands;
}

/* The fastest that was timed; without a device the first one; -1: none runs. */
static int best_of(const struct conv_candidates *found, bool timed) {
    int best = -1;
    for (int i = 0; i < found->count; i++) {
        const float took = found->items[i].microseconds;
        if ((!timed && best < 0) ||
            (took > 0 && (best < 0 || took < found->items[best].microseconds))) {
            best = i;
        }
    }
    return best;
}

static void take(struct us_conv_plan *plan, int index) {
    struct conv_candidates *found = plan->made_from;
    const int candidates = found->count;
    int wrong = 0;
    for (int i = 0; i < candidates; i++) {
        wrong += found->items[i].wrong;
    }
    conv_candidates_keep(found, index);
    const struct conv_candidate *best = &found->items[0];
    plan->plan = best->plan;
    plan->workspace = best->workspace;
    plan->info = (struct us_conv_plan_info){.fused = best->fused,
                                            .matmul = best->matmul,
                                            .candidates = candidates,
                                            .wrong = wrong,
                                            .rank = index,
                                            .microseconds = best->microseconds};
}

static void release(struct us_conv_plan *plan) {
    if (plan->made_from) {
        conv_candidates_finish(plan->made_from);
        us_nn_free(plan->made_from);
        plan->made_from = NULL;
    } else if (plan->plan) {
        (void)cudnnBackendDestroyDescriptor(plan->plan);
    }
}

/* Keeps what was taken for other processes, or takes what another one kept meanwhile. */
static void share(struct us_conv_plan *plan, const char *key) {
    const struct conv_candidate *best = &plan->made_from->items[0];
    const struct conv_choice choice = {.fused = best->fused,
                                       .matmul = best->matmul,
                                       .rank = plan->info.rank,
                                       .candidates = plan->info.candidates,
                                       .wrong = plan->info.wrong,
                                       .microseconds = best->microseconds,
                                       .json = best->json};
    struct conv_choice standing;
    conv_cache_keep(plan->planner->folder, key, &choice, &standing);
    struct us_conv_plan other = *plan;
    other.made_from = NULL;
    if (standing.json && strcmp(standing.json, choice.json) != 0 &&
        rebuild(&other, &plan->planner->targets[0], &standing)) {
        release(plan);
        *plan = other;
    }
    us_nn_free(standing.json);
}

/* On the thread that owns `target`: takes the plan from the folder, or finds every candidate. */
static enum us_nn_status prepare(struct us_conv_plan *plan, const struct conv_target *target) {
    char key[CONV_KEY];
    conv_cache_key(key, &plan->desc, &plan->planner->place);
    if (recall(plan, target, key)) {
        return US_NN_OK;
    }
    plan->made_from = us_nn_alloc(sizeof *plan->made_from);
    if (!plan->made_from) {
        return US_NN_NO_MEMORY;
    }
    conv_candidates_find(plan->made_from, target, &plan->desc, !plan->planner->place.timed);
    return US_NN_OK;
}

/* On the caller's thread: times what `prepare` found and keeps the fastest. */
static enum us_nn_status choose(struct us_conv_plan *plan) {
    struct us_conv_planner *planner = plan->planner;
    struct conv_candidates *found = plan->made_from;
    if (!found) {
        return US_NN_OK;
    }
    if (found->count == 0) {
        return conv_fail_cudnn(planner, US_NN_UNSUPPORTED, "cuDNN offers no way to compute it");
    }
    if (planner->place.timed) {
        enum us_nn_status status = conv_time(planner->targets[0].handle, &plan->desc, found);
        if (status != US_NN_OK) {
            return conv_fail(planner, status, "cannot time the ways to compute it",
                             us_nn_status_text(status));
        }
    }
    const int best = best_of(found, planner->place.timed);
    if (best < 0) {
        return conv_fail(planner, US_NN_UNSUPPORTED, "no way to compute it runs on the device", "");
    }
    take(plan, best);
    if (planner->folder) {
        char key[CONV_KEY];
        conv_cache_key(key, &plan->desc, &planner->place);
        share(plan, key);
    }
    return US_NN_OK;
}

/* Threads that prepare the plans of one call while the caller's times those that are prepared. */
struct crew {
    struct us_conv_planner *planner;
    struct us_conv_job *jobs;
    int count;
    int next_job, next_thread; /* as `prepared`: under the lock */
    pthread_mutex_t lock;
    pthread_cond_t one_more;
    struct preparation {
        bool done;
        enum us_nn_status status;
    } * prepared;
};

static int take_number(struct crew *crew, int *next) {
    pthread_mutex_lock(&crew->lock);
    const int number = (*next)++;
    pthread_mutex_unlock(&crew->lock);
    return number;
}

static void note_prepared(struct crew *crew, int job, enum us_nn_status status) {
    pthread_mutex_lock(&crew->lock);
    crew->prepared[job] = (struct preparation){.done = true, .status = status};
    pthread_cond_signal(&crew->one_more);
    pthread_mutex_unlock(&crew->lock);
}

static void prepare_jobs(struct crew *crew, int thread) {
    const struct conv_target *target = conv_planner_target(crew->planner, thread);
    for (int i; (i = take_number(crew, &crew->next_job)) < crew->count;) {
        note_prepared(crew, i, target ? prepare(crew->jobs[i].plan, target) : US_NN_FAILED);
    }
}

static void *work(void *context) {
    struct crew *crew = context;
    prepare_jobs(crew, take_number(crew, &crew->next_thread));
    return NULL;
}

static enum us_nn_status wait_for(struct crew *crew, int job) {
    pthread_mutex_lock(&crew->lock);
    while (!crew->prepared[job].done) {
        pthread_cond_wait(&crew->one_more, &crew->lock);
    }
    const enum us_nn_status status = crew->prepared[job].status;
    pthread_mutex_unlock(&crew->lock);
    return status;
}

/* The caller's thread keeps a core for itself, so that its timings are not disturbed. */
static int start_crew(struct crew *crew, pthread_t threads[CONV_THREADS]) {
    const long cores = sysconf(_SC_NPROCESSORS_ONLN);
    int started = 0;
    crew->next_thread = 1;
    while (started < crew->count && started + 1 < CONV_THREADS && started + 1 < cores &&
           pthread_create(&threads[started], NULL, work, crew) == 0) {
        started++;
    }
    if (started == 0) {
        prepare_jobs(crew, 0);
    }
    return started;
}

static enum us_nn_status prepare_and_choose(struct us_conv_planner *planner,
                                            struct us_conv_job *jobs, int count) {
    struct crew crew = {.planner = planner, .jobs = jobs, .count = count};
    pthread_t threads[CONV_THREADS];
    crew.prepared = us_nn_alloc((size_t)count * sizeof *crew.prepared);
    if (!crew.prepared) {
        return conv_fail(planner, US_NN_NO_MEMORY, "out of memory", "");
    }
    pthread_mutex_init(&crew.lock, NULL);
    pthread_cond_init(&crew.one_more, NULL);
    int started = start_crew(&crew, threads);
    enum us_nn_status status = US_NN_OK;
    for (int i = 0; i < count; i++) { /* all are waited for, also after a failure */
        const enum us_nn_status prepared = wait_for(&crew, i);
        if (status == US_NN_OK && prepared != US_NN_OK) {
            status = conv_fail(planner, prepared, us_nn_status_text(prepared), "");
        }
        status = status == US_NN_OK ? choose(jobs[i].plan) : status;
    }
    while (started) {
        pthread_join(threads[--started], NULL);
    }
    pthread_cond_destroy(&crew.one_more);
    pthread_mutex_destroy(&crew.lock);
    us_nn_free(crew.prepared);
    return status;
}

static enum us_nn_status new_plan(struct us_conv_planner *planner, struct us_conv_job *job) {
    const char *problem = us_conv_desc_problem(&job->desc);
    if (problem) {
        return conv_fail(planner, US_NN_BAD_CONFIG, problem, "");
    }
    job->plan = us_nn_alloc(sizeof *job->plan);
    if (!job->plan) {
        return conv_fail(planner, US_NN_NO_MEMORY, "out of memory", "");
    }
    *job->plan = (struct us_conv_plan){.planner = planner, .desc = job->desc};
    return US_NN_OK;
}

enum us_nn_status us_conv_plans_create(struct us_conv_planner *planner, struct us_conv_job *jobs,
                                       int count) {
    enum us_nn_status status = US_NN_OK;
    planner->problem[0] = '\0';
    for (int i = 0; i < count; i++) {
        jobs[i].plan = NULL;
    }
    for (int i = 0; i < count && status == US_NN_OK; i++) {
        status = new_plan(planner, &jobs[i]);
    }
    if (count > 0 && status == US_NN_OK) {
        status = prepare_and_choose(planner, jobs, count);
    }
    for (int i = 0; i < count && status != US_NN_OK; i++) {
        us_conv_plan_destroy(jobs[i].plan);
        jobs[i].plan = NULL;
    }
    return status;
}

enum us_nn_status us_conv_plan_create(struct us_conv_planner *planner,
                                      const struct us_conv_desc *desc, struct us_conv_plan **plan) {
    struct us_conv_job job = {.desc = *desc};
    const enum us_nn_status status = us_conv_plans_create(planner, &job, 1);
    *plan = job.plan;
    return status;
}

void us_conv_plan_destroy(struct us_conv_plan *plan) {
    if (!plan) {
        return;
    }
    release(plan);
    us_nn_free(plan);
}

size_t us_conv_plan_workspace(const struct us_conv_plan *plan) {
    return plan->workspace;
}

enum us_nn_status us_conv_plan_run(struct us_conv_plan *plan, void *stream,
                                   const struct us_conv_buffers *buffers) {
    struct us_conv_planner *planner = plan->planner;
    if (!planner->targets[0].handle) {
        return conv_fail(planner, US_NN_UNSUPPORTED, "the device is only described", "");
    }
    enum us_nn_status status = conv_run(planner->targets[0].handle, stream, plan->plan,
                                        plan->info.fused, &plan->desc, buffers);
    return status == US_NN_OK ? status
                              : conv_fail_cudnn(planner, status, "cuDNN does not run the plan");
}

struct us_conv_plan_info us_conv_plan_describe(const struct us_conv_plan *plan) {
    return plan->info;
}
