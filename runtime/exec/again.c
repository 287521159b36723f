/* A device had no memory for a task: what is tried next. Halving a batch is execute.c's. */
#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/exec/schedule_internal.h"

enum { FULL_TIMES = 3, FULL_SECONDS = 20 };

static struct again *find_again(struct scheduling *s, uint32_t task) {
    for (size_t i = 0; i < s->again_count; i++) {
        if (s->agains[i].task == task) {
            return &s->agains[i];
        }
    }
    us_grow(&s->agains, &s->again_capacity, s->again_count, sizeof *s->agains);
    s->agains[s->again_count] = (struct again){.task = task};
    return &s->agains[s->again_count++];
}

void forget_again(struct us_run *run, const struct task *task) {
    struct scheduling *s = run->scheduling;
    for (size_t i = 0; i < s->again_count; i++) {
        if (s->agains[i].task == (uint32_t)(task - run->tasks)) {
            us_error_free(s->agains[i].error);
            s->agains[i] = s->agains[--s->again_count];
            return;
        }
    }
}

void forget_agains(struct us_run *run) {
    struct scheduling *s = run->scheduling;
    for (size_t i = 0; i < s->again_count; i++) {
        us_error_free(s->agains[i].error);
    }
    us_free(s->agains);
    us_free(s->tolds);
    us_free(s->places);
}

static struct full_place *find_place(struct scheduling *s, uint32_t node, uint64_t devices) {
    for (size_t i = 0; i < s->place_count; i++) {
        if (s->places[i].node == node && s->places[i].devices == devices) {
            return &s->places[i];
        }
    }
    return NULL;
}

static void found_full(struct scheduling *s, uint32_t node, uint64_t devices) {
    struct full_place *place = find_place(s, node, devices);
    if (!place) {
        us_grow(&s->places, &s->place_capacity, s->place_count, sizeof *s->places);
        place = &s->places[s->place_count++];
        *place = (struct full_place){.node = node, .devices = devices};
    }
    if (++place->times >= FULL_TIMES) {
        place->until = now_seconds() + FULL_SECONDS;
    }
}

static struct full_place *place_of(struct us_run *run, const struct start *start) {
    return find_place(run->scheduling, run->tasks[start->tasks[0]].node, start->claim.devices);
}

void found_room(struct us_run *run, const struct start *start) {
    struct full_place *place = place_of(run, start);
    if (place) {
        place->times = 0;
    }
}

bool is_known_full(struct us_run *run, const struct start *start, const char *device,
                   struct us_error **error) {
    const struct full_place *place = place_of(run, start);
    if (!place || place->times < FULL_TIMES || now_seconds() > place->until ||
        run->graph->nodes[place->node].type->volatile_result) {
        return false;
    }
    *error =
        us_fail(US_DEVICE_FULL, "%s had no memory for %d frames in a row", device, place->times);
    return true;
}

/* Ten thousand frames need not say it each. */
static bool is_told(struct scheduling *s, uint32_t node, uint64_t devices, const char *how) {
    for (size_t i = 0; i < s->told_count; i++) {
        const struct full_told *t = &s->tolds[i];
        if (t->node == node && t->devices == devices && strcmp(t->how, how) == 0) {
            return true;
        }
    }
    us_grow(&s->tolds, &s->told_capacity, s->told_count, sizeof *s->tolds);
    s->tolds[s->told_count++] = (struct full_told){node, devices, how};
    return false;
}

static void tell(struct us_run *run, struct task *task, const struct grant *grant,
                 const struct us_error *why, const char *how) {
    while (why->cause) {
        why = why->cause;
    }
    struct us_str text = {0};
    us_str_printf(&text, "%s; %s (said once a node and device)", why->text, how);
    struct us_event event = {.kind = US_EVENT_WARNING, .status = us_str_text(&text)};
    send_event_at(run, task, grant, &event);
    us_str_finish(&text);
}

/* The next thing to try: on the same device alone, on one not tried yet, on none. */
static bool next_demand(const struct us_run *run, const struct us_node *node,
                        const struct allotment *claim, struct again *again, struct demand *demand,
                        const char **how) {
    const struct resources *r = &run->scheduling->scheduler.resources;
    const uint64_t every =
        r->device_count == DEVICES_MOST ? UINT64_MAX : ((uint64_t)1 << r->device_count) - 1;
    *demand = demand_of_node(run, node);
    if (demand->devices != 1) {
        return false; /* a gang is as large as it should be */
    }
    if (claim->shared && !again->alone) {
        again->alone = true;
        demand->allowed = claim->devices;
        *how = "again with the device for itself";
    } else {
        again->tried |= claim->devices;
        demand->allowed = every & ~again->tried;
        *how = "on another device";
    }
    demand->shared = false;
    if (!demand->allowed) {
        demand->devices = 0;
        demand->device_bytes = 0;
        *how = "on the CPU";
        return claim->devices != 0 && !node->type->volatile_result;
    }
    return true;
}

static struct us_error *give_up(const struct us_run *run, const struct us_node *node,
                                struct us_error *error) {
    (void)run;
    return us_error_hint(error, node->type->volatile_result
                                    ? "give it a device with more memory (--devices), or make it "
                                      "smaller: understudy plan says what it takes"
                                    : "give it a device with more memory, or the CPU (--devices)");
}

bool tried_again(struct us_run *run, struct task *task, const struct start *start,
                 const struct grant *grant, struct outcome *outcome) {
    struct scheduling *s = run->scheduling;
    const struct us_node *node = task_node(run, task);
    struct again *again = find_again(s, (uint32_t)(task - run->tasks));
    again->alone = again->alone || outcome->untried;
    struct demand demand;
    const char *how;
    if (is_stopped(run) || !next_demand(run, node, &start->claim, again, &demand, &how)) {
        if (again->error) { /* where it was meant to run */
            us_error_free(outcome->error);
            outcome->error = again->error;
            again->error = NULL;
        }
        outcome->error = give_up(run, node, outcome->error);
        return false;
    }
    if (!outcome->untried && !(demand.allowed & start->claim.devices)) {
        found_full(s, task->node, start->claim.devices);
    }
    if (!is_told(s, task->node, start->claim.devices, how)) {
        tell(run, task, grant, outcome->error, how);
    }
    if (again->error) {
        us_error_free(outcome->error);
    } else {
        again->error = outcome->error;
    }
    outcome->error = NULL;
    push_ready(run, task, scheduler_queue(&s->scheduler, demand, task->node, 1));
    return true;
}
