/* What is worth an object of the cache: what takes longer to make again than to read back. */
#include "runtime/base/mem.h"
#include "runtime/exec/run_internal.h"

/* Looking an object up, opening and checking it; then its bytes, at the pace at which an image is
 * read from a local disk, decoded and hashed. Writing costs about the same once more, which the
 * second reader has back. */
static const double read_seconds = 1e-3, usual_rate = 500e6;

enum { SMALL = 4096 }; /* bytes that are always kept: a record is hardly smaller */

/* Seconds to have a task's values again: nothing when an object can be read. */
static double cost_of(struct us_run *run, const struct task *task) {
    struct record record = {0};
    bool found = false;
    if (task_is_stored(run, task) && !task->unstored) {
        return 0;
    }
    _Atomic float *known = &run->sides[task - run->tasks].remake_seconds;
    float seconds = atomic_load_explicit(known, memory_order_relaxed);
    if (seconds == 0) { /* found cached: its record says */
        const size_t outputs = (size_t)us_port_count(task_node(run, task)->type->outputs);
        us_error_free(load_record(run, &task->plan_key, outputs, &record, &found));
        seconds = found ? (float)(record.remake_seconds + 1e-9) : 1e-9f;
        atomic_store_explicit(known, seconds, memory_order_relaxed);
    }
    return (double)seconds;
}

static void add_cost(struct us_run *run, struct task *task, void *context) {
    *(double *)context += cost_of(run, task);
}

double remake_cost(struct us_run *run, const struct task *task, double seconds) {
    each_input(run, task, add_cost, &seconds);
    atomic_store_explicit(&run->sides[task - run->tasks].remake_seconds, (float)seconds + 1e-9f,
                          memory_order_relaxed);
    return seconds;
}

bool is_worth_storing(const struct us_run *run, const struct task *task,
                      struct us_value *const *values, double cost) {
    const struct us_node *node = task_node(run, task);
    const double rate = run->options.read_rate > 0 ? run->options.read_rate : usual_rate;
    size_t bytes = 0;
    for (int p = 0; p < us_port_count(node->type->outputs); p++) {
        bytes += us_value_bytes(values[p]);
    }
    /* What is below a training can only be made again while its model is there. */
    return node->store == US_STORE_KEEP || run->nodes[task->node].volatile_above ||
           bytes <= SMALL || cost > read_seconds + (double)bytes / rate;
}
