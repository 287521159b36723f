/* Random traces through the scheduling decision: time is simulated, threads there are none.
 * US_SCHEDULER_TRACES says how many of the small ones (100,000 were run when it was written). */
#include "runtime/exec/scheduler.h"

#include <stdlib.h>
#include <string.h>

#include "runtime/base/mem.h"
#include "tests/support/check.h"

enum { TASKS = 48, GiB = 1 << 10 /* MiB */ };

struct sim_task {
    struct demand demand;
    double seconds, path;
    float known; /* seconds by earlier runs, right or not; or 0 */
    uint32_t queue, waiting, above[3], above_count;
    double ends;   /* while it runs */
    int overtaken; /* starts of others that took a device, since it was at the head of its queue */
    bool ready, started, done;
};

struct sim {
    struct scheduler s;
    struct sim_task tasks[TASKS];
    struct start running[TASKS]; /* one task each, but for batches */
    size_t running_count, ended, most_together;
    double now;
};

static uint64_t seed;

static uint32_t dice(uint32_t sides) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % sides;
}

static struct resources random_machine(void) {
    struct resources r = {.slots = 1 + (int)dice(8), .host = 4 + dice(60)};
    r.free_slots = r.slots;
    r.free_host = r.host;
    r.device_count = dice(9);
    uint32_t parts = 0;
    for (uint32_t i = 0; i < r.device_count; i++) {
        r.devices[i].cpu = dice(3) == 0;
        r.devices[i].memory = dice(5) ? 2 + dice(16) : SIZE_MAX;
        parts += r.devices[i].cpu;
    }
    r.share = parts && r.slots / (int)parts ? r.slots / (int)parts : 1;
    return r;
}

static struct demand random_demand(void) {
    static const uint32_t gangs[] = {0, 0, 0, 1, 1, 1, 1, 2, 4, DEVICES_MOST};
    struct demand d = {.threads = dice(6) ? 1 + (int)dice(3) : -1,
                       .host_bytes = dice(2) ? 0 : dice(40),
                       .devices = gangs[dice(10)],
                       .shared = dice(2),
                       .allowed = dice(5) ? UINT64_MAX : dice(256)};
    d.device_bytes = d.devices ? dice(12) : 0;
    return d;
}

/* Paths as the run makes them: longest to the end. */
static void make_graph(struct sim *sim) {
    for (uint32_t i = 0; i < TASKS; i++) {
        struct sim_task *t = &sim->tasks[i];
        *t = (struct sim_task){.demand = random_demand(), .seconds = 0.1 + 0.1 * dice(50)};
        t->known = dice(3) ? (float)t->seconds : dice(2) ? 0 : 0.1f + 0.1f * (float)dice(50);
        for (uint32_t k = dice(4); k-- > 0 && i > 0;) {
            t->above[t->above_count++] = dice(i);
        }
        t->waiting = t->above_count;
        t->queue = scheduler_queue(&sim->s, t->demand, i % 5, dice(4) ? 1 : 2 + dice(6));
        sim->s.queues[t->queue].to_come++;
    }
    for (uint32_t i = TASKS; i-- > 0;) {
        struct sim_task *t = &sim->tasks[i];
        t->path += t->seconds;
        for (uint32_t k = 0; k < t->above_count; k++) {
            struct sim_task *above = &sim->tasks[t->above[k]];
            above->path = above->path > t->path ? above->path : t->path;
        }
    }
}

static void make_ready(struct sim *sim, uint32_t i) {
    struct sim_task *t = &sim->tasks[i];
    t->ready = true;
    sim->s.queues[t->queue].to_come--;
    scheduler_push(
        &sim->s, t->queue,
        (struct ready_task){
            .urgency = (float)t->path, .seconds = t->known, .number = (int)i, .task = i});
}

static void check_budgets(const struct sim *sim) {
    const struct resources *r = &sim->s.resources;
    int threads = 0;
    size_t host = 0, used[DEVICES_MOST] = {0};
    uint32_t users[DEVICES_MOST] = {0}, owners[DEVICES_MOST] = {0};
    for (size_t k = 0; k < sim->running_count; k++) {
        const struct allotment *claim = &sim->running[k].claim;
        threads += claim->threads;
        host += claim->host_bytes;
        for (uint32_t i = 0; i < r->device_count; i++) {
            if (claim->devices >> i & 1) {
                used[i] += claim->device_bytes;
                users[i]++;
                owners[i] += !claim->shared;
            }
        }
    }
    assert_true(threads <= r->slots && r->free_slots == r->slots - threads);
    assert_true(host <= r->host && r->free_host == r->host - host);
    for (uint32_t i = 0; i < r->device_count; i++) {
        assert_true(used[i] <= r->devices[i].memory);
        assert_true(owners[i] == 0 || users[i] == 1);
    }
}

static uint32_t bits(uint64_t mask) {
    return (uint32_t)__builtin_popcountll(mask);
}

/* A start is what its tasks asked for, and takes nothing that is kept for another unless it is
 * known to end in time. */
static void check_start(const struct sim *sim, const struct start *start, int kept_for,
                        uint64_t kept) {
    const struct queue *q = &sim->s.queues[start->queue];
    assert_true(start->count >= 1 && start->count <= q->batch);
    assert_int_equal(bits(start->claim.devices), q->demand.devices);
    assert_int_equal(start->claim.devices & ~q->demand.allowed, 0);
    const bool between = kept_for != (int)start->queue && start->claim.devices & kept;
    for (uint32_t k = 0; k < start->count; k++) {
        const struct sim_task *t = &sim->tasks[start->tasks[k]];
        assert_true(t->known > 0 || !between);
        assert_true(t->ready && !t->started && t->queue == start->queue);
    }
}

/* Counts, for the head of each other queue, who went past it with a device that was kept for
 * nobody. */
static void count_overtakers(struct sim *sim, const struct start *start, uint64_t kept) {
    for (size_t i = 0; i < sim->s.queue_count; i++) {
        const struct queue *q = &sim->s.queues[i];
        if (q->count && i != start->queue && start->claim.devices & ~kept) {
            sim->tasks[q->items[0].task].overtaken++;
        }
    }
}

static void start_what_can(struct sim *sim) {
    struct start start;
    for (;;) {
        const int kept_for = sim->s.kept_for;
        const uint64_t kept = sim->s.kept;
        if (!scheduler_next(&sim->s, &start)) {
            break;
        }
        check_start(sim, &start, kept_for, kept);
        count_overtakers(sim, &start, kept);
        for (uint32_t k = 0; k < start.count; k++) {
            struct sim_task *t = &sim->tasks[start.tasks[k]];
            t->started = true;
            t->ends = sim->now + t->seconds;
            if (k == 0 && t->demand.devices > 1) {
                /* Patience, then those whose turn came earlier, one a queue. */
                assert_true(t->overtaken <=
                            (int)(sim->s.patience + 2 * sim->s.queue_count + TASKS / 4));
            }
        }
        sim->running[sim->running_count++] = start;
        check_budgets(sim);
    }
}

static void end_next(struct sim *sim) {
    size_t first = 0;
    double when = 1e30;
    for (size_t k = 0; k < sim->running_count; k++) {
        const double ends = sim->tasks[sim->running[k].tasks[0]].ends;
        first = ends < when ? k : first;
        when = ends < when ? ends : when;
    }
    const struct start over = sim->running[first];
    sim->running[first] = sim->running[--sim->running_count];
    sim->s.now = sim->now = when;
    scheduler_ended(&sim->s, &over);
    for (uint32_t k = 0; k < over.count; k++) {
        sim->tasks[over.tasks[k]].done = true;
        sim->ended++;
        for (uint32_t i = over.tasks[k] + 1; i < TASKS; i++) {
            for (uint32_t a = 0; a < sim->tasks[i].above_count; a++) {
                sim->tasks[i].waiting -= sim->tasks[i].above[a] == over.tasks[k];
            }
            if (!sim->tasks[i].ready && sim->tasks[i].waiting == 0) {
                make_ready(sim, i);
            }
        }
    }
}

static void run_trace(struct sim *sim, const struct resources *machine, uint32_t patience) {
    memset(sim, 0, sizeof *sim);
    scheduler_init(&sim->s, machine);
    sim->s.patience = patience;
    make_graph(sim);
    for (uint32_t i = 0; i < TASKS; i++) {
        if (sim->tasks[i].waiting == 0) {
            make_ready(sim, i);
        }
    }
    for (start_what_can(sim); sim->running_count; start_what_can(sim)) {
        end_next(sim);
    }
    assert_int_equal(sim->ended, TASKS); /* else something waits for ever */
    assert_int_equal(sim->s.ready, 0);
    scheduler_finish(&sim->s);
}

static void random_traces_keep_budgets_and_end(void **state) {
    (void)state;
    static struct sim sim;
    const char *asked = getenv("US_SCHEDULER_TRACES");
    const int traces = asked ? (int)strtol(asked, NULL, 10) : 10000;
    for (int i = 0; i < traces; i++) {
        seed = (uint64_t)i + 1;
        const struct resources machine = random_machine();
        run_trace(&sim, &machine, 4 + dice(8));
    }
}

/* Eight GPUs, jobs of one and of four, all there at the start. */
struct eight {
    struct scheduler s;
    struct start running[9]; /* one more: a try fills it, too */
    double ends[8], seconds[400], now, promised;
    size_t count;
};

static const struct start *first_to_end(struct eight *e, size_t *at) {
    *at = 0;
    for (size_t k = 1; k < e->count; k++) {
        *at = e->ends[k] < e->ends[*at] ? k : *at;
    }
    return &e->running[*at];
}

static void fill_eight(struct eight *e, bool known, double *work, double *longest) {
    struct resources r = {.slots = 64, .free_slots = 64, .device_count = 8};
    for (int i = 0; i < 8; i++) {
        r.devices[i].memory = SIZE_MAX;
    }
    scheduler_init(&e->s, &r);
    *work = *longest = 0;
    for (uint32_t i = 0; i < 400; i++) {
        const uint32_t devices = dice(4) ? 1 : 4;
        e->seconds[i] = 1 + 0.5 * dice(20);
        *work += e->seconds[i] * devices;
        *longest = e->seconds[i] > *longest ? e->seconds[i] : *longest;
        const struct demand demand = {.threads = 1, .devices = devices, .allowed = UINT64_MAX};
        const struct ready_task task = {
            .number = (int)i, .task = i, .seconds = known ? (float)e->seconds[i] : 0};
        scheduler_push(&e->s, scheduler_queue(&e->s, demand, 0, 1), task);
    }
}

/* When the devices kept are all free: those that run on them now end. */
static double kept_until(const struct eight *e) {
    double until = e->now;
    for (size_t k = 0; k < e->count; k++) {
        const bool kept = e->running[k].claim.devices & e->s.kept;
        until = kept && e->ends[k] > until ? e->ends[k] : until;
    }
    return until;
}

/* What waits starts no later than it could have when it began to wait. */
static void start_on_eight(struct eight *e) {
    for (;;) {
        const int kept_for = e->s.kept_for;
        const bool started = scheduler_next(&e->s, &e->running[e->count]);
        if (kept_for < 0 && e->s.kept_for >= 0) {
            e->promised = kept_until(e);
        }
        if (!started) {
            return;
        }
        assert_true(kept_for != (int)e->running[e->count].queue || e->now <= e->promised);
        e->ends[e->count] = e->now + e->seconds[e->running[e->count].tasks[0]];
        e->count++;
    }
}

/* Seconds beside the least that the machine's arithmetic allows. */
static double time_on_eight(bool known) {
    static struct eight e;
    double bound_sum = 0, sum = 0, work, longest;
    for (int trace = 0; trace < 200; trace++) {
        memset(&e, 0, sizeof e);
        seed = 77 + (uint64_t)trace;
        fill_eight(&e, known, &work, &longest);
        for (start_on_eight(&e); e.count; start_on_eight(&e)) {
            size_t first;
            const struct start *over = first_to_end(&e, &first);
            e.s.now = e.now = e.ends[first];
            scheduler_ended(&e.s, over);
            e.running[first] = e.running[--e.count];
            e.ends[first] = e.ends[e.count];
        }
        assert_int_equal(e.s.ready, 0);
        scheduler_finish(&e.s);
        bound_sum += work / 8 > longest ? work / 8 : longest;
        sum += e.now;
    }
    print_message("makespan, durations %s: %.1f %% of the lower bound\n",
                  known ? "known" : "unknown", 100 * sum / bound_sum);
    return sum / bound_sum;
}

static void time_is_near_its_bound(void **state) {
    (void)state;
    const double unknown = time_on_eight(false), known = time_on_eight(true);
    assert_true(unknown < 1.06);
    assert_true(known < unknown);
}

/* Small tasks without end, each ready as one ends: the gang must still start. */
static void a_gang_does_not_starve(void **state) {
    (void)state;
    struct resources r = {.slots = 8, .free_slots = 8, .device_count = 4};
    for (int i = 0; i < 4; i++) {
        r.devices[i].memory = SIZE_MAX;
    }
    struct scheduler s;
    struct start running[8], start;
    size_t count = 0;
    scheduler_init(&s, &r);
    s.patience = 16;
    const uint32_t small = scheduler_queue(
        &s, (struct demand){.threads = 1, .devices = 1, .allowed = UINT64_MAX}, 0, 1);
    const uint32_t gang = scheduler_queue(
        &s, (struct demand){.threads = -1, .devices = DEVICES_MOST, .allowed = UINT64_MAX}, 0, 1);
    for (uint32_t i = 0; i < 6; i++) {
        scheduler_push(&s, small, (struct ready_task){.urgency = 9, .task = i});
    }
    scheduler_push(&s, gang, (struct ready_task){.urgency = 1, .task = 1000});
    int starts = 0;
    for (uint32_t task = 6;; task++) {
        bool met = false;
        while (scheduler_next(&s, &start)) {
            met |= start.queue == gang;
            running[count++] = start;
            starts++;
        }
        if (met) {
            break;
        }
        assert_true(starts < 16 + 8);
        assert_true(count > 0);
        scheduler_ended(&s, &running[0]);
        memmove(running, running + 1, --count * sizeof *running);
        scheduler_push(&s, small, (struct ready_task){.urgency = 9, .task = task});
    }
    assert_int_equal(count, 1); /* it has all devices */
    scheduler_finish(&s);
}

/* A gang of two keeps two of three devices; the third goes on with small tasks. */
static void what_is_not_kept_goes_on(void **state) {
    (void)state;
    struct resources r = {.slots = 8, .free_slots = 8, .device_count = 3};
    struct scheduler s;
    struct start a, b, c, next;
    for (int i = 0; i < 3; i++) {
        r.devices[i].memory = SIZE_MAX;
    }
    scheduler_init(&s, &r);
    const struct demand one = {.threads = 1, .devices = 1, .allowed = UINT64_MAX},
                        two = {.threads = 1, .devices = 2, .allowed = UINT64_MAX};
    const uint32_t small = scheduler_queue(&s, one, 0, 1), gang = scheduler_queue(&s, two, 0, 1);
    for (uint32_t i = 0; i < 6; i++) {
        scheduler_push(&s, small, (struct ready_task){.number = (int)i, .task = i});
    }
    assert_true(scheduler_next(&s, &a) && scheduler_next(&s, &b) && scheduler_next(&s, &c));
    scheduler_push(&s, gang, (struct ready_task){.urgency = 5, .task = 100});
    assert_false(scheduler_next(&s, &next));
    assert_int_equal(bits(s.kept), 2);
    const struct start *kept = a.claim.devices & s.kept ? &a : &b;
    const struct start *open = !(a.claim.devices & s.kept)   ? &a
                               : !(b.claim.devices & s.kept) ? &b
                                                             : &c;
    scheduler_ended(&s, kept);
    assert_false(scheduler_next(&s, &next)); /* kept for the gang */
    scheduler_ended(&s, open);
    assert_true(scheduler_next(&s, &next)); /* the free and the kept one make two: it starts */
    assert_int_equal(next.queue, gang);
    scheduler_finish(&s);
}

static void a_batch_fills_while_there_is_other_work(void **state) {
    (void)state;
    struct resources r = {.slots = 2, .free_slots = 2, .host = 100, .free_host = 100};
    struct scheduler s;
    struct start start;
    scheduler_init(&s, &r);
    const uint32_t plain = scheduler_queue(&s, (struct demand){.threads = 1}, 0, 1);
    const uint32_t batch = scheduler_queue(&s, (struct demand){.threads = 1}, 7, 4);
    s.queues[batch].to_come = 3;
    scheduler_push(&s, batch, (struct ready_task){.urgency = 9, .task = 1});
    scheduler_push(&s, batch, (struct ready_task){.urgency = 9, .task = 2});
    scheduler_push(&s, plain, (struct ready_task){.task = 0});
    assert_true(scheduler_next(&s, &start));
    assert_int_equal(start.queue, plain); /* though it is less urgent */
    assert_true(scheduler_next(&s, &start));
    assert_int_equal(start.queue, batch); /* rather than waiting */
    assert_int_equal(start.count, 2);
    scheduler_finish(&s);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_traces_keep_budgets_and_end),
        cmocka_unit_test(time_is_near_its_bound),
        cmocka_unit_test(a_gang_does_not_starve),
        cmocka_unit_test(what_is_not_kept_goes_on),
        cmocka_unit_test(a_batch_fills_while_there_is_other_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
