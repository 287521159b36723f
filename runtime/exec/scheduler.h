/* What starts next: ready tasks, in queues by what they demand, over the resources of a machine. A
 * decision is a pure function of this struct: no threads, no clock (the caller sets `now`); the
 * caller locks.
 *
 * Tasks start in order of urgency as far as they fit. When the first in order does not fit, what it
 * waits for is kept for it until it starts: the devices chosen for it take no other task, and once
 * they are free, slots and host memory are not given to others either where it is short of them. So
 * a gang waits for the tasks that run on its devices at that moment, never for later ones. Urgency
 * itself starves nobody: the head of a queue that `patience` starts of others went past is first in
 * order.
 *
 * A queue with a batch holds the tasks of one node and gives several at once. While it is not full
 * and more are to come, what else fits on the CPU goes first, since it may fill the batch; it waits
 * for nothing when nothing else can start. */
#ifndef US_RUNTIME_EXEC_SCHEDULER_H
#define US_RUNTIME_EXEC_SCHEDULER_H

#include "runtime/exec/resources.h"

enum { BATCH_MOST = 64, PATIENCE = 256 };

struct ready_task {
    float urgency;        /* seconds to the end, where that decides; else 0 */
    float seconds;        /* by earlier runs; 0: not known */
    int32_t take, number; /* its frame */
    uint32_t task;        /* tasks further down have higher numbers */
};

struct queue {
    struct demand demand;     /* cut */
    uint32_t batch;           /* most at a time, from 1 */
    uint32_t node;            /* of a batch */
    uint32_t passed;          /* starts of others since its head was first */
    size_t to_come;           /* tasks that will be ready later */
    struct ready_task *items; /* a heap, the most urgent first */
    size_t count, capacity;
    uint64_t tried; /* decision that looked at it last */
};

/* A start that has not ended. */
struct running {
    struct allotment claim;
    double ends; /* expected; INFINITY: not known */
    bool used;
};

struct scheduler {
    struct resources resources;
    struct queue *queues;
    size_t queue_count, queue_capacity;
    size_t ready; /* tasks in queues */
    struct running *running;
    size_t running_count, running_capacity;
    double now; /* seconds, of a clock that does not go back */
    uint32_t patience;
    int kept_for; /* a queue; -1: nothing is kept */
    uint64_t kept;
    uint64_t decision;
};

/* Tasks that start together. */
struct start {
    struct allotment claim;
    size_t place; /* in the scheduler's table of what runs */
    uint32_t queue;
    uint32_t count;
    uint32_t tasks[BATCH_MOST];
};

void scheduler_init(struct scheduler *scheduler, const struct resources *resources);
void scheduler_finish(struct scheduler *scheduler);
/* The queue for such a demand, made on demand; `node` matters where batch is more than 1. */
uint32_t scheduler_queue(struct scheduler *scheduler, struct demand demand, uint32_t node,
                         uint32_t batch);
/* The earlier: more urgent; of equals the earlier frame, and of its tasks the one furthest down, so
 * that a frame is finished, and its values leave memory, before the next is begun. */
bool ready_before(const struct ready_task *a, const struct ready_task *b);
void scheduler_push(struct scheduler *scheduler, uint32_t queue, struct ready_task task);
/* What starts now, with its claim taken; false: nothing can until something ends. */
bool scheduler_next(struct scheduler *scheduler, struct start *start);
void scheduler_ended(struct scheduler *scheduler, const struct start *start);

#endif
