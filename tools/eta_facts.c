#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "runtime/base/mem.h"
#include "runtime/base/str.h"
#include "tools/eta_internal.h"

/* A mean over fewer tasks than this says less of a frame than the frame's own last run. */
enum { FEW = 3 };
static const double most_overhead = 0.25; /* seconds a task; more is not ours */

static const struct us_param *find_extending(const struct us_node *node, const char *clause) {
    for (const struct us_param *param = node->type->params; param && param->name; param++) {
        const size_t length = strlen(param->name);
        if (param->role == US_EXTENDING && strncmp(clause, param->name, length) == 0 &&
            clause[length] == ' ') {
            return param;
        }
    }
    return NULL;
}

/* How much of `param` is left when nothing but what extends the work changed: "steps 100 → 400". */
static double left_to_do(const struct us_node *node, const struct us_param *param,
                         const char *why) {
    double left = 1;
    for (const char *clause = why; clause; clause = strstr(clause, ", ")) {
        clause += clause > why ? 2 : 0;
        const struct us_param *changed = find_extending(node, clause);
        if (!changed) {
            return 1;
        }
        const char *arrow = strstr(clause, "→ ");
        if (arrow && changed == param) {
            const double from = strtod(clause + strlen(param->name), NULL);
            const double to = strtod(arrow + strlen("→ "), NULL);
            left = from > 0 && from < to ? (to - from) / to : 1;
        }
    }
    return left;
}

double us_eta_extent(const struct us_node *node, const char *why, double *further) {
    *further = 1;
    for (const struct us_param *param = node->type->params; param && param->name; param++) {
        if (param->role != US_EXTENDING || param->type != US_PARAM_INT) {
            continue;
        }
        int64_t value;
        memcpy(&value, (const char *)node->params + param->offset, sizeof value);
        *further = why ? left_to_do(node, param, why) : 1;
        return (double)value;
    }
    return 0;
}

static bool recall(const struct us_eta *eta, const char *name, void *facts, size_t size) {
    size_t found;
    uint8_t *bytes = eta->store->ops->recall(eta->store, name, &found);
    const bool fits = bytes && found == size;
    if (fits) {
        memcpy(facts, bytes, size);
    }
    us_free(bytes);
    return fits;
}

static char *node_name(const struct us_eta *eta, const char *node) {
    struct us_str name = {0};
    us_str_printf(&name, "eta node %s %s", eta->identity, node);
    return us_str_take(&name);
}

static char *type_name(const char *type) {
    struct us_str name = {0};
    us_str_printf(&name, "eta type %s", type);
    return us_str_take(&name);
}

static char *overhead_name(const struct us_eta *eta) {
    struct us_str name = {0};
    us_str_printf(&name, "eta overhead %s", eta->identity);
    return us_str_take(&name);
}

static double type_seconds(const struct us_eta *eta, const struct us_node_type *type) {
    double seconds = -1;
    char *name = type_name(type->name);
    recall(eta, name, &seconds, sizeof seconds);
    us_free(name);
    return seconds;
}

/* Seconds of the same work `ratio` times as far, of which `fixed` stay what they are. */
static double stretched(double seconds, double fixed, double ratio) {
    const double once = fixed < seconds ? fixed : seconds;
    return once + (seconds - once) * ratio;
}

static double expected(const struct us_eta *eta, const struct us_eta_node *node) {
    const struct us_eta_facts *facts = &node->facts;
    const double same = node->cold ? facts->cold : facts->warm;
    const double other = node->cold ? facts->warm : facts->cold;
    const bool scales = facts->extent > 0 && node->extent > 0;
    const double scale = scales ? node->extent / facts->extent * node->further : 1;
    const bool many = node->run >= FEW || !node->node->type->per_frame;
    if (same > 0 && (many || !node->known)) {
        return stretched(same, facts->fixed, scale);
    }
    if (node->known) {
        return stretched(node->own / (double)node->known, facts->fixed, scale);
    }
    return other > 0 ? stretched(other, facts->fixed, scale) : type_seconds(eta, node->node->type);
}

void us_eta_recall(struct us_eta *eta) {
    char *name = overhead_name(eta);
    recall(eta, name, &eta->overhead, sizeof eta->overhead);
    us_free(name);
    for (size_t i = 0; i < eta->count; i++) {
        struct us_eta_node *node = &eta->nodes[i];
        name = node_name(eta, node->node->name);
        recall(eta, name, &node->facts, sizeof node->facts);
        us_free(name);
        node->seconds = expected(eta, node);
    }
}

static double blend(double old, double now) {
    return old > 0 ? (old + now) / 2 : now;
}

/* Seconds that a task takes however far its work extends: what its pace between two points of its
 * progress does not explain. `known` when there is too little of that. */
static double measured_fixed(const struct us_eta_node *node, double known) {
    const double made = node->base >= 0 ? node->fraction - node->base : 0;
    if (!(node->extent > 0) || made < 0.1) {
        return known;
    }
    const double pace = (node->fraction_when - node->base_when) / made;
    const double fixed = node->taken / (double)node->done - pace * (1 - node->first);
    return fixed > 0 ? fixed : 0;
}

/* Seconds of a task that began where it was not begun before. */
static double measured(const struct us_eta_node *node, double fixed) {
    const double mean = node->taken / (double)node->done;
    const bool went_on = !node->node->type->per_frame && node->first > 0.05 && node->first < 0.95;
    return went_on ? stretched(mean, fixed, 1 / (1 - node->first)) : mean;
}

static void remember_node(const struct us_eta *eta, const struct us_eta_node *node) {
    struct us_eta_facts facts = node->facts;
    const double fixed = measured_fixed(node, facts.fixed), seconds = measured(node, fixed);
    if (facts.extent > 0 && node->extent > 0) {
        const double ratio = node->extent / facts.extent;
        facts.warm = stretched(facts.warm, facts.fixed, ratio);
        facts.cold = stretched(facts.cold, facts.fixed, ratio);
    }
    facts.fixed = blend(facts.fixed, fixed);
    facts.extent = node->extent;
    double *same = node->cold ? &facts.cold : &facts.warm;
    *same = blend(*same, seconds);
    char *name = node_name(eta, node->node->name);
    eta->store->ops->remember(eta->store, name, &facts, sizeof facts);
    us_free(name);
    const double of_type = blend(type_seconds(eta, node->node->type), seconds);
    name = type_name(node->node->type->name);
    eta->store->ops->remember(eta->store, name, &of_type, sizeof of_type);
    us_free(name);
}

/* What the run took beyond its tasks' own seconds, a task. */
static void remember_overhead(const struct us_eta *eta, const struct us_summary *summary) {
    const size_t count = eta->count;
    struct us_estimate_node *nodes = us_calloc(count + 1, sizeof *nodes);
    for (size_t i = 0; i < count; i++) {
        const struct us_eta_node *node = &eta->nodes[i];
        nodes[i] = (struct us_estimate_node){
            .count = node->done,
            .seconds = node->done ? node->taken / (double)node->done : 0,
            .threads = node->threads,
            .devices = node->devices,
            .above = node->above,
            .above_count = node->above_count,
        };
    }
    const struct us_estimate_machine machine = {eta->plan.slots, eta->plan.devices, 0};
    const double ideal = us_estimate_run(nodes, count, NULL, 0, &machine).seconds;
    us_free(nodes);
    double overhead = (summary->seconds - ideal) * (double)eta->plan.slots / (double)summary->ran;
    overhead = overhead < 0 ? 0 : overhead > most_overhead ? most_overhead : overhead;
    overhead = eta->overhead > 0 ? (eta->overhead + overhead) / 2 : overhead;
    char *name = overhead_name(eta);
    eta->store->ops->remember(eta->store, name, &overhead, sizeof overhead);
    us_free(name);
}

void us_eta_learn(const struct us_eta *eta, const struct us_summary *summary) {
    for (size_t i = 0; i < eta->count; i++) {
        if (eta->nodes[i].done) {
            remember_node(eta, &eta->nodes[i]);
        }
    }
    const bool whole = summary->ran && !summary->failed && !summary->skipped && !summary->cancelled;
    if (whole) {
        remember_overhead(eta, summary);
    }
}
