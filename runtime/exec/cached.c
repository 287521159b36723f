/* What the plan found cached. */
#include "runtime/exec/run_internal.h"

/* Those found under another name get a record of their own; the state that stands now is the last
 * one remembered, so that the next difference is told from it. */
static struct us_error *settle(struct us_run *run, struct task *task) {
    if (task->alias) {
        return alias_task(run, task);
    }
    if (!task->stood) { /* else it was the last one remembered then */
        history_remember(run, task, 0);
    }
    return NULL;
}

/* Settles a node's tasks from plan[*at] on, and moves on; `first` of `count` is one of them. */
static struct us_error *settle_node(struct us_run *run, size_t *at, const struct task **first,
                                    size_t *count) {
    const uint32_t node = run->tasks[run->plan[*at]].node;
    *count = 0;
    for (; *at < run->plan_count && run->tasks[run->plan[*at]].node == node; ++*at) {
        struct task *task = &run->tasks[run->plan[*at]];
        if (task->run) {
            continue;
        }
        US_TRY(settle(run, task));
        *first = *count ? *first : task;
        ++*count;
    }
    return NULL;
}

struct us_error *announce_cached(struct us_run *run) {
    for (size_t at = 0; at < run->plan_count;) {
        const struct task *first = NULL;
        size_t count;
        US_TRY(settle_node(run, &at, &first, &count));
        if (count) {
            struct us_event event = {.kind = US_EVENT_CACHED, .count = count, .worker = -1};
            run->summary.cached += count;
            send_event(run, first, &event);
        }
    }
    return NULL;
}
