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

/* Settles a node's tasks from plan[*at] on, and moves on; `first` of `count` is one of them.
 * *partly: others of the node run. */
static struct us_error *settle_node(struct us_run *run, size_t *at, const struct task **first,
                                    size_t *count, bool *partly) {
    const uint32_t node = run->tasks[run->plan[*at]].node;
    *count = 0;
    *partly = false;
    for (; *at < run->plan_count && run->tasks[run->plan[*at]].node == node; ++*at) {
        struct task *task = &run->tasks[run->plan[*at]];
        if (task->run) {
            *partly = true;
            continue;
        }
        US_TRY(settle(run, task));
        *first = *count ? *first : task;
        ++*count;
    }
    return NULL;
}

static void tell(struct us_run *run, const struct task *first, size_t count) {
    struct us_event event = {.kind = US_EVENT_CACHED, .count = count, .worker = -1};
    run->summary.cached += count;
    if (count) {
        send_event(run, first, &event);
    }
}

struct us_error *announce_cached(struct us_run *run) {
    size_t whole = 0; /* tasks of nodes of which nothing runs, told in sum */
    for (size_t at = 0; at < run->plan_count;) {
        const struct task *first = NULL;
        size_t count;
        bool partly;
        US_TRY(settle_node(run, &at, &first, &count, &partly));
        if (partly || !run->options.cached_in_sum) {
            tell(run, first, count);
        } else {
            whole += count;
        }
    }
    tell(run, NULL, whole);
    return NULL;
}
