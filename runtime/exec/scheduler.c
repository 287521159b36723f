#include "runtime/exec/scheduler.h"

#include <math.h>

#include "runtime/base/mem.h"

void scheduler_init(struct scheduler *s, const struct resources *resources) {
    *s = (struct scheduler){.resources = *resources, .patience = PATIENCE, .kept_for = -1};
}

void scheduler_finish(struct scheduler *s) {
    for (size_t i = 0; i < s->queue_count; i++) {
        us_free(s->queues[i].items);
    }
    us_free(s->queues);
    us_free(s->running);
}

static bool same_demand(const struct demand *a, const struct demand *b) {
    return a->threads == b->threads && a->host_bytes == b->host_bytes &&
           a->device_bytes == b->device_bytes && a->devices == b->devices &&
           a->shared == b->shared && a->allowed == b->allowed;
}

uint32_t scheduler_queue(struct scheduler *s, struct demand demand, uint32_t node, uint32_t batch) {
    const struct demand cut = resources_cut(&s->resources, demand);
    batch = batch > BATCH_MOST ? BATCH_MOST : batch < 1 ? 1 : batch;
    node = batch > 1 ? node : 0;
    for (size_t i = 0; i < s->queue_count; i++) {
        const struct queue *q = &s->queues[i];
        if (q->batch == batch && q->node == node && same_demand(&q->demand, &cut)) {
            return (uint32_t)i;
        }
    }
    us_grow(&s->queues, &s->queue_capacity, s->queue_count, sizeof *s->queues);
    s->queues[s->queue_count] = (struct queue){.demand = cut, .batch = batch, .node = node};
    return (uint32_t)s->queue_count++;
}

bool ready_before(const struct ready_task *a, const struct ready_task *b) {
    if (a->urgency != b->urgency) {
        return a->urgency > b->urgency;
    }
    if (a->take != b->take) {
        return a->take < b->take;
    }
    return a->number != b->number ? a->number < b->number : a->task > b->task;
}

void scheduler_push(struct scheduler *s, uint32_t queue, struct ready_task task) {
    struct queue *q = &s->queues[queue];
    us_grow(&q->items, &q->capacity, q->count, sizeof *q->items);
    size_t at = q->count++;
    while (at && ready_before(&task, &q->items[(at - 1) / 2])) {
        q->items[at] = q->items[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    q->items[at] = task;
    s->ready++;
}

static uint32_t pop(struct scheduler *s, struct queue *q) {
    const uint32_t top = q->items[0].task;
    const struct ready_task last = q->items[--q->count];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < q->count; at = child) {
        if (child + 1 < q->count && ready_before(&q->items[child + 1], &q->items[child])) {
            child++;
        }
        if (!ready_before(&q->items[child], &last)) {
            break;
        }
        q->items[at] = q->items[child];
    }
    q->items[at] = last;
    s->ready--;
    return top;
}

/* Better used by what may fill its batch. */
static bool is_early(const struct scheduler *s, const struct queue *q) {
    bool gpu = false;
    for (uint32_t i = 0; i < s->resources.device_count && q->demand.devices; i++) {
        gpu |= q->demand.allowed >> i & 1 && !s->resources.devices[i].cpu;
    }
    return q->batch > q->count && q->to_come > 0 && !gpu;
}

static bool goes_before(const struct scheduler *s, const struct queue *a, const struct queue *b) {
    const bool a_kept = s->kept_for == a - s->queues, b_kept = s->kept_for == b - s->queues;
    if (a_kept != b_kept) {
        return a_kept;
    }
    const bool a_waited = a->passed >= s->patience, b_waited = b->passed >= s->patience;
    if (a_waited != b_waited || (a_waited && a->passed != b->passed)) {
        return a->passed > b->passed;
    }
    const bool a_early = is_early(s, a), b_early = is_early(s, b);
    return a_early != b_early ? b_early : ready_before(&a->items[0], &b->items[0]);
}

static struct queue *next_in_order(const struct scheduler *s) {
    struct queue *best = NULL;
    for (size_t i = 0; i < s->queue_count; i++) {
        struct queue *q = &s->queues[i];
        if (q->count && q->tried != s->decision && (!best || goes_before(s, q, best))) {
            best = q;
        }
    }
    return best;
}

/* True when a claim takes what the one that things are kept for is short of. */
static bool hampers(const struct scheduler *s, const struct allotment *claim) {
    const struct resources *r = &s->resources;
    const struct demand *demand = &s->queues[s->kept_for].demand;
    struct resources rest = *r;
    struct allotment wanted;
    if ((resources_open(r, demand) & s->kept) != s->kept) {
        return false; /* its devices are busy yet */
    }
    rest.free_slots = r->slots;
    rest.free_host = r->host;
    if (!resources_fit(&rest, demand, s->kept, &wanted)) {
        return true;
    }
    const bool host = claim->host_bytes && (claim->host_bytes > r->free_host ||
                                            r->free_host - claim->host_bytes < wanted.host_bytes);
    return host || r->free_slots - claim->threads < wanted.threads;
}

static const struct running *next_to_end(const struct scheduler *s, double after, size_t last) {
    const struct running *next = NULL;
    for (size_t i = 0; i < s->running_count; i++) {
        const struct running *r = &s->running[i];
        const bool later = r->ends > after || (r->ends == after && i > last);
        if (r->used && later && (!next || r->ends < next->ends)) {
            next = r;
        }
    }
    return next;
}

/* Seconds until what things are kept for can start, as far as is known; else 0. */
static double seconds_kept(const struct scheduler *s) {
    const struct demand *demand = &s->queues[s->kept_for].demand;
    struct resources rest = s->resources;
    struct allotment wanted;
    double ends = s->now; /* what should have ended by now has no known end */
    size_t last = SIZE_MAX;
    while (!resources_fit(&rest, demand, demand->devices ? s->kept : UINT64_MAX, &wanted)) {
        const struct running *next = next_to_end(s, ends, last);
        if (!next || isinf(next->ends)) {
            return 0;
        }
        resources_give(&rest, &next->claim);
        ends = next->ends;
        last = (size_t)(next - s->running);
    }
    return ends - s->now;
}

/* `most` is how long what starts may take. */
static bool can_start(const struct scheduler *s, const struct queue *q, struct allotment *claim,
                      double *most) {
    const bool other = s->kept_for >= 0 && s->kept_for != q - s->queues;
    *most = INFINITY;
    if (resources_fit(&s->resources, &q->demand, other ? ~s->kept : UINT64_MAX, claim) &&
        !(other && hampers(s, claim))) {
        return true;
    }
    const float seconds = q->items[0].seconds;
    if (!other || seconds <= 0 || !resources_fit(&s->resources, &q->demand, UINT64_MAX, claim)) {
        return false;
    }
    *most = seconds_kept(s) / 2;
    return (double)seconds <= *most;
}

static void keep_for(struct scheduler *s, const struct queue *q) {
    s->kept_for = (int)(q - s->queues);
    s->kept = q->demand.devices ? resources_choose(&s->resources, &q->demand) : 0;
}

/* On the CPU what is ready is shared out over the slots that are free. */
static size_t batch_now(const struct scheduler *s, const struct queue *q,
                        const struct allotment *claim) {
    const int rooms = s->resources.free_slots / claim->threads;
    const bool alone = q->batch == 1 || q->demand.devices || rooms < 2;
    const size_t share = alone ? q->count : (q->count + (size_t)rooms - 1) / (size_t)rooms;
    return share < q->batch ? share : q->batch;
}

static void note_running(struct scheduler *s, struct start *start, double ends) {
    start->place = 0;
    while (start->place < s->running_count && s->running[start->place].used) {
        start->place++;
    }
    if (start->place == s->running_count) {
        us_grow(&s->running, &s->running_capacity, s->running_count, sizeof *s->running);
        s->running_count++;
    }
    s->running[start->place] = (struct running){start->claim, ends, true};
}

/* Pops what starts, as long as it takes no longer than `most`; returns when it is expected to end.
 */
static double take_tasks(struct scheduler *s, struct queue *q, double most, struct start *start) {
    const size_t batch = batch_now(s, q, &start->claim);
    double seconds = 0;
    start->count = 0;
    while (start->count < batch) {
        const float each = q->items[0].seconds;
        const double with = each > 0 ? seconds + (double)each : (double)INFINITY;
        if (start->count && with > most) {
            break;
        }
        seconds = with;
        start->tasks[start->count++] = pop(s, q);
    }
    return s->now + seconds;
}

static void begin(struct scheduler *s, struct queue *q, double most, struct start *start) {
    start->queue = (uint32_t)(q - s->queues);
    const double ends = take_tasks(s, q, most, start);
    for (size_t i = 0; i < s->queue_count; i++) {
        s->queues[i].passed += s->queues[i].count > 0;
    }
    q->passed = 0;
    if (s->kept_for == (int)start->queue) {
        s->kept_for = -1;
        s->kept = 0;
    }
    resources_take(&s->resources, &start->claim);
    note_running(s, start, ends);
}

bool scheduler_next(struct scheduler *s, struct start *start) {
    double most;
    s->decision++;
    while (s->ready) {
        struct queue *q = next_in_order(s);
        if (!q) {
            return false;
        }
        q->tried = s->decision;
        if (can_start(s, q, &start->claim, &most)) {
            begin(s, q, most, start);
            return true;
        }
        if (s->kept_for < 0) {
            keep_for(s, q);
        }
        if (s->resources.free_slots == 0) {
            return false;
        }
    }
    return false;
}

void scheduler_ended(struct scheduler *s, const struct start *start) {
    resources_give(&s->resources, &start->claim);
    s->running[start->place].used = false;
}
