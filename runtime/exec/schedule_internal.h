/* Of a run while it executes: shared by schedule.c, workers.c and again.c. */
#ifndef US_RUNTIME_EXEC_SCHEDULE_INTERNAL_H
#define US_RUNTIME_EXEC_SCHEDULE_INTERNAL_H

#include "runtime/exec/run_internal.h"
#include "runtime/exec/scheduler.h"

/* A thread; they start one by one, as there is work for them. */
struct worker {
    struct us_run *run;
    pthread_t thread;
    int index;
    struct us_arena scratch; /* of its task */
};

/* A task that ran out of device memory and is tried again. */
struct again {
    uint32_t task;
    bool alone;     /* it had a device for itself */
    uint64_t tried; /* devices */
    uint32_t queue;
    struct us_error *error; /* the first one */
};

/* What was said of a node; it goes for all its tasks. */
struct full_told {
    uint32_t node;
    uint64_t devices;
    const char *how;
};

/* Tasks of a node that left a device for want of memory, one after the other. */
struct full_place {
    uint32_t node;
    uint64_t devices;
    int times;
    double until; /* so long its tasks do not try */
};

/* All of it under the run's lock. */
struct scheduling {
    struct scheduler scheduler;
    uint32_t *queues; /* one a node */
    float *usual;     /* seconds of a node's tasks by earlier runs; 0: not known */
    struct again *agains;
    size_t again_count, again_capacity;
    struct full_told *tolds;
    size_t told_count, told_capacity;
    struct full_place *places;
    size_t place_count, place_capacity;
    struct worker *workers;
    int worker_count, worker_most, idle;
    pthread_cond_t work;  /* for idle workers */
    pthread_cond_t ended; /* for the thread that waits for the workers */
};

/* How a task came out. */
struct outcome {
    struct us_error *error;
    bool cached;
    bool untried; /* is_known_full said so */
};

/* -- schedule.c; with the lock */
bool is_stopped(const struct us_run *run);
/* Moves a task on and makes ready what waited for it. */
void task_ended(struct us_run *run, struct task *task, const struct grant *grant,
                struct outcome outcome);
void task_starts(struct us_run *run, struct task *task);
void push_ready(struct us_run *run, struct task *task, uint32_t queue);
/* A reader of the task's inputs is gone; any thread, with or without the lock. */
void release_inputs(struct us_run *run, struct task *task);
/* What a task of a node asks for. */
struct demand demand_of_node(const struct us_run *run, const struct us_node *node);

/* -- workers.c */
/* Runs what is ready and what becomes so; returns when nothing runs any more. */
struct us_error *work_off(struct us_run *run) US_NODISCARD;
/* One more worker where there may be something for it; with the lock. */
void wake_another(struct us_run *run);
/* Fills in threads, devices and their names. */
void make_grant(const struct us_run *run, const struct allotment *claim, struct grant *grant);

/* -- again.c; with the lock */
/* True when a task that failed is tried again; else the error it ends with is in the outcome. */
bool tried_again(struct us_run *run, struct task *task, const struct start *start,
                 const struct grant *grant, struct outcome *outcome);
/* Fails a task at once whose node has just found its device full, several times in a row. */
bool is_known_full(struct us_run *run, const struct start *start, const char *device,
                   struct us_error **error);
/* It had memory after all. */
void found_room(struct us_run *run, const struct start *start);
/* The task has ended: only those that are under way are remembered. */
void forget_again(struct us_run *run, const struct task *task);
void forget_agains(struct us_run *run);

#endif
