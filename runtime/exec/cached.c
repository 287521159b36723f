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

struct us_error *announce_cached(struct us_run *run) {
    for (size_t i = 0; i < run->plan_count;) {
        const uint32_t node = run->tasks[run->plan[i]].node;
        const struct task *first = NULL;
        size_t count = 0;
        for (; i < run->plan_count && run->tasks[run->plan[i]].node == node; i++) {
            struct task *task = &run->tasks[run->plan[i]];
            if (!task->run) {
                US_TRY(settle(run, task));
                first = first ? first : task;
                count++;
            }
        }
        if (count) {
            struct us_event event = {.kind = US_EVENT_CACHED, .count = count, .worker = -1};
            run->summary.cached += count;
            send_event(run, first, &event);
        }
    }
    return NULL;
}
