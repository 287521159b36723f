#include <stdio.h>
#include <string.h>
#include <time.h>

#include "runtime/base/mem.h"
#include "runtime/exec/schedule_internal.h"

static void name_device(struct grant *grant, const struct us_run_device *device) {
    const size_t at = strlen(grant->device);
    snprintf(grant->device + at, sizeof grant->device - at, "%s%s:%d", at ? "," : "",
             device->kind == US_DEVICE_CUDA ? "cuda" : "cpu", device->ordinal);
}

void make_grant(const struct us_run *run, const struct allotment *claim, struct grant *grant) {
    const struct resources *r = &run->scheduling->scheduler.resources;
    grant->threads = claim->threads;
    grant->device[0] = '\0';
    grant->cuda_count = 0;
    grant->device_bytes_free = 0;
    for (uint32_t i = 0; i < r->device_count; i++) {
        const struct us_run_device *device = &run->options.devices[i];
        if (!(claim->devices >> i & 1)) {
            continue;
        }
        const struct device_state *state = &r->devices[i];
        if (!grant->device[0] && state->memory != SIZE_MAX) {
            grant->device_bytes_free = state->memory - state->used + claim->device_bytes;
        }
        name_device(grant, device);
        if (device->kind == US_DEVICE_CUDA) {
            grant->cuda[grant->cuda_count++] = device->ordinal;
        }
    }
}

static void *work(void *context);

void wake_another(struct us_run *run) {
    struct scheduling *s = run->scheduling;
    if (!s->scheduler.ready || !s->scheduler.resources.free_slots) {
        return;
    }
    if (s->idle) {
        pthread_cond_signal(&s->work);
        return;
    }
    if (s->worker_count == s->worker_most) {
        return;
    }
    struct worker *worker = &s->workers[s->worker_count];
    *worker = (struct worker){.run = run, .index = s->worker_count};
    if (pthread_create(&worker->thread, NULL, work, worker) == 0) {
        s->worker_count++;
    } else {
        s->worker_most = s->worker_count; /* it goes with those there are */
    }
}

/* Without being tried. */
static void give_back(const struct start *start, struct us_error *why, struct outcome *outcomes) {
    for (uint32_t i = 0; i < start->count; i++) {
        struct us_error *error =
            i == 0 ? why : us_fail(US_DEVICE_FULL, "as the first of its batch");
        outcomes[i] = (struct outcome){.error = error, .untried = true};
    }
}

static void release_done(struct us_run *run, struct task **tasks, uint32_t count,
                         const struct outcome *outcomes) {
    for (uint32_t i = 0; i < count; i++) {
        if (!us_error_is(outcomes[i].error, US_DEVICE_FULL)) {
            release_inputs(run, tasks[i]);
        }
    }
}

static void perform(struct worker *worker, const struct start *start) {
    struct us_run *run = worker->run;
    struct task *tasks[BATCH_MOST];
    struct outcome outcomes[BATCH_MOST];
    struct grant grant = {.worker = worker->index, .scratch = &worker->scratch};
    make_grant(run, &start->claim, &grant);
    for (uint32_t i = 0; i < start->count; i++) {
        tasks[i] = &run->tasks[start->tasks[i]];
        task_starts(run, tasks[i]);
    }
    atomic_fetch_add(&run->running, start->count);
    struct us_error *known = NULL;
    if (is_known_full(run, start, grant.device, &known)) {
        give_back(start, known, outcomes);
    } else {
        pthread_mutex_unlock(&run->lock);
        execute_tasks(run, tasks, start->count, &grant, outcomes);
        release_done(run, tasks, start->count, outcomes);
        pthread_mutex_lock(&run->lock);
    }
    scheduler_ended(&run->scheduling->scheduler, start);
    atomic_fetch_sub(&run->running, start->count);
    for (uint32_t i = 0; i < start->count; i++) {
        const bool full = us_error_is(outcomes[i].error, US_DEVICE_FULL);
        if (full && tried_again(run, tasks[i], start, &grant, &outcomes[i])) {
            continue;
        }
        if (full) {
            release_inputs(run, tasks[i]);
        } else if (!outcomes[i].cached) {
            found_room(run, start);
        }
        forget_again(run, tasks[i]);
        task_ended(run, tasks[i], &grant, outcomes[i]);
    }
}

/* A worker's life. */
static void *work(void *context) {
    struct worker *worker = context;
    struct us_run *run = worker->run;
    struct scheduling *s = run->scheduling;
    struct start start;
    pthread_mutex_lock(&run->lock);
    while (atomic_load(&run->unfinished) && !is_stopped(run)) {
        s->scheduler.now = now_seconds();
        if (!scheduler_next(&s->scheduler, &start)) {
            s->idle++;
            pthread_cond_wait(&s->work, &run->lock);
            s->idle--;
            continue;
        }
        wake_another(run);
        perform(worker, &start);
    }
    pthread_cond_broadcast(&s->work);
    pthread_cond_signal(&s->ended);
    pthread_mutex_unlock(&run->lock);
    us_arena_finish(&worker->scratch);
    return NULL;
}

/* A signal handler can only set a flag, so this thread looks at it from time to time. */
static void wait_for_workers(struct us_run *run) {
    struct scheduling *s = run->scheduling;
    while (atomic_load(&run->unfinished) && !is_stopped(run)) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += 100000000;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&s->ended, &run->lock, &until);
    }
    pthread_cond_broadcast(&s->work);
}

struct us_error *work_off(struct us_run *run) {
    struct scheduling *s = run->scheduling;
    s->worker_most = run->slots;
    s->workers = us_calloc((size_t)s->worker_most, sizeof *s->workers);
    pthread_cond_init(&s->work, NULL);
    pthread_cond_init(&s->ended, NULL);
    pthread_mutex_lock(&run->lock);
    wake_another(run);
    if (s->worker_count) {
        wait_for_workers(run);
    }
    const int count = s->worker_count;
    s->worker_most = count;
    pthread_mutex_unlock(&run->lock);
    for (int i = 0; i < count; i++) {
        pthread_join(s->workers[i].thread, NULL);
    }
    us_free(s->workers);
    pthread_cond_destroy(&s->work);
    pthread_cond_destroy(&s->ended);
    return count ? NULL : us_fail(US_RETRY, "cannot start a thread");
}
