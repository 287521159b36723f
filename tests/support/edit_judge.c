#include <string.h>

#include "tests/support/edit_oracle.h"

/* What a judge looks at, and what it found so far. */
struct judge {
    const struct edit_world *world;
    const struct edit_state *before, *after;
    const struct edit_made *made;
    const struct edit_outcome *outcome;
    struct us_str *faults;
    bool due[EDIT_TASKS];     /* had to run */
    bool wanted[EDIT_TASKS];  /* something that had to run, or to be made again, reads it */
    bool twin[EDIT_TASKS];    /* or reads a task of the same action, whose result this one is */
    bool renewed[EDIT_TASKS]; /* it, or something above it, was trained anew for good reason */
    bool whole;               /* the run came to its end */
};

static void fault(struct judge *judge, int task, const char *what) {
    const struct edit_task *own = &judge->after->tasks[task];
    const struct edit_node *node = &judge->world->nodes[own->node];
    const struct edit_did *did = &judge->outcome->did[task];
    us_str_printf(judge->faults, "  n%d@%d:%d (%s): %s", node->id, own->frame.take,
                  own->frame.number, edit_type_name(node->kind), what);
    us_str_printf(judge->faults, "; plan: %s%s, state %d, why: %s\n", did->run ? "run" : "cached",
                  did->maybe ? " maybe" : "", did->state, did->why);
}

/* THE rule: a task may begin to run when
 *  - its action (type, version, parameters, contents of its inputs) was never computed, or not
 * known before the run, for something above was never trained; or
 *  - it writes a file that is not there, or not as it must be; or
 *  - its result is not at hand (lost, damaged, or never stored) and something that had to run reads
 *    it; or
 *  - something above it was trained anew, for one of these reasons, and made its action a new one,
 *    or its result another one, which is to be written or read.
 * Getting a value back without an event of its own (reading again, making again in passing) is no
 * run. */
static bool had_to_run(const struct judge *judge, int task) {
    const struct edit_task *before = &judge->before->tasks[task];
    const struct edit_task *after = &judge->after->tasks[task];
    if (!before->known || !edit_was_made(judge->made, before->id)) {
        return true;
    }
    if (!before->at_hand && (edit_writes(judge->world->nodes[before->node].kind) ||
                             judge->wanted[task] || judge->twin[task])) {
        return true;
    }
    const bool other = before->numbers[0] != after->numbers[0] &&
                       (edit_writes(judge->world->nodes[before->node].kind) || judge->wanted[task]);
    return judge->renewed[task] && (other || !edit_was_made(judge->made, after->id));
}

static void want(int input, void *context) {
    ((struct judge *)context)->wanted[input] = true;
}

static void hand_down(int input, void *context) {
    bool **ends = context;
    *ends[1] |= ends[0][input];
}

static bool same_id(const struct judge *judge, int a, int b) {
    const struct edit_id *x = &judge->after->tasks[a].id, *y = &judge->after->tasks[b].id;
    return x->a == y->a && x->b == y->b;
}

/* Another task with the same action ran in this run, or the object that was lost came back for
 * another task: one result serves both. */
static bool shared(const struct judge *judge, int task) {
    for (int t = 0; t < judge->after->count; t++) {
        if (t != task && judge->outcome->did[t].done && same_id(judge, t, task)) {
            return true;
        }
    }
    return !judge->before->tasks[task].there && judge->after->tasks[task].there;
}

static void find_twins(struct judge *judge) {
    for (int t = 0; t < judge->after->count; t++) {
        judge->twin[t] = false;
        for (int o = 0; o < judge->after->count; o++) {
            judge->twin[t] |= o != t && judge->wanted[o] && same_id(judge, o, t);
        }
    }
}

/* From the outputs up; then what follows from trainings, down. */
static void find_due(struct judge *judge) {
    for (int pass = 0; pass < 3; pass++) {
        find_twins(judge);
        memset(judge->wanted, 0, sizeof judge->wanted);
        for (int t = judge->after->count; t-- > 0;) {
            const struct edit_did *did = &judge->outcome->did[t];
            /* What a run that stopped early did not come to counts as well; so does what the plan
             * was sure of, and then a twin made for it. */
            const bool begun = did->started || (!judge->whole && did->run) ||
                               (did->run && !did->maybe && shared(judge, t));
            judge->due[t] = begun && had_to_run(judge, t);
            bool again = judge->wanted[t] && !judge->before->tasks[t].at_hand;
            if (judge->due[t] || again) {
                edit_each_input(judge->world, judge->after, t, want, judge);
            }
        }
        for (int t = 0; t < judge->after->count; t++) {
            bool *ends[2] = {judge->renewed, &judge->renewed[t]};
            judge->renewed[t] = judge->due[t] &&
                                judge->world->nodes[judge->after->tasks[t].node].kind == EDIT_TRAIN;
            edit_each_input(judge->world, judge->after, t, hand_down, ends);
        }
    }
}

static bool stored(const struct judge *judge, int task) {
    const struct edit_node *node = &judge->world->nodes[judge->after->tasks[task].node];
    return node->kind != EDIT_FILE && node->store != 2 && !edit_writes(node->kind);
}

static void judge_runs(struct judge *judge) {
    for (int t = 0; t < judge->after->count; t++) {
        const struct edit_did *did = &judge->outcome->did[t];
        if (did->started > 1) {
            fault(judge, t, "ran twice in one run");
        }
        if (did->started && !judge->due[t]) {
            fault(judge, t, "NEEDLESS");
        }
        for (int o = 0; o < t && did->done && stored(judge, t); o++) {
            if (stored(judge, o) && judge->outcome->did[o].done && same_id(judge, o, t) &&
                judge->before->tasks[t].known && !judge->renewed[t]) {
                fault(judge, t, "NEEDLESS: another task made the same in this run");
            }
        }
    }
}

static void judge_plan(struct judge *judge, bool whole) {
    size_t started = 0, done = 0, planned = 0;
    const struct us_summary *summary = &judge->outcome->summary;
    for (int t = 0; t < judge->after->count; t++) {
        const struct edit_did *did = &judge->outcome->did[t];
        started += (size_t)did->started;
        done += (size_t)did->done;
        planned += did->planned;
        if (did->planned != judge->after->tasks[t].needed) {
            fault(judge, t, did->planned ? "PLAN has a task nobody needs" : "PLAN lacks it");
        }
        if (did->started && !did->run) {
            fault(judge, t, "PLAN said cached, but it ran");
        }
        if (did->run && !did->maybe && whole && !did->done && !shared(judge, t)) {
            fault(judge, t, "PLAN said it must run, but it did not");
        }
        if ((did->done > 0) != (did->state == US_TASK_DONE) ||
            (whole && !did->done && did->planned && did->state != US_TASK_CACHED)) {
            fault(judge, t, "its state in the end is not what events said");
        }
    }
    bool counts = !whole || (summary->ran == done && summary->cached == planned - done &&
                             summary->failed == 0 && started == done && summary->status == 0);
    if (!counts || planned != judge->outcome->plan_count) {
        us_str_printf(judge->faults,
                      "  COUNTS: ran %zu of %zu started, cached %zu, failed %zu; plan of %zu\n",
                      summary->ran, started, summary->cached, summary->failed,
                      judge->outcome->plan_count);
    }
}

void edit_judge(const struct edit_world *world, const struct edit_state *before,
                const struct edit_state *after, const struct edit_made *made,
                const struct edit_outcome *outcome, bool whole, struct us_str *faults) {
    struct judge judge = {.world = world,
                          .before = before,
                          .after = after,
                          .made = made,
                          .outcome = outcome,
                          .faults = faults,
                          .whole = whole};
    us_str_append(faults, us_str_text(&outcome->strange));
    find_due(&judge);
    judge_runs(&judge);
    judge_plan(&judge, whole);
}
