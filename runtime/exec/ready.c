#include "runtime/exec/run_internal.h"

bool ready_before(const struct us_run *run, uint32_t a, uint32_t b) {
    double x = run->nodes[run->tasks[a].node].priority, y = run->nodes[run->tasks[b].node].priority;
    return x != y ? x > y : a < b;
}

void ready_push(const struct us_run *run, struct ready *ready, uint32_t task) {
    size_t at = ready->count++;
    while (at && ready_before(run, task, ready->items[(at - 1) / 2])) {
        ready->items[at] = ready->items[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    ready->items[at] = task;
}

uint32_t ready_pop(const struct us_run *run, struct ready *ready) {
    uint32_t top = ready->items[0], last = ready->items[--ready->count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= ready->count) {
            break;
        }
        if (child + 1 < ready->count &&
            ready_before(run, ready->items[child + 1], ready->items[child])) {
            child++;
        }
        if (!ready_before(run, ready->items[child], last)) {
            break;
        }
        ready->items[at] = ready->items[child];
        at = child;
    }
    ready->items[at] = last;
    return top;
}
