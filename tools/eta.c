#include "tools/eta.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runtime/api/runs.h"
#include "runtime/base/mem.h"
#include "tools/eta_internal.h"

static const double between_looks = 0.5;
/* Of a duration that is measured now, beside one that is remembered. */
static const double weight_of_memory = 2;

struct us_eta_node *us_eta_find(const struct us_eta *eta, const struct us_node *node) {
    const uint32_t place = eta->places[node - eta->graph->nodes];
    return place ? &eta->nodes[place - 1] : NULL;
}

/* What is above and runs, too; and whether it reads what this run finds in the cache. */
static void add_links(const struct us_eta *eta, struct us_eta_node *node) {
    const struct us_graph *graph = eta->graph;
    const struct us_port *ports = node->node->type->inputs;
    for (int p = 0; p < us_port_count(ports); p++) {
        const struct us_node_input *input = &node->node->inputs[p];
        node->above =
            us_realloc(node->above, (node->above_count + input->count + 1) * sizeof *node->above);
        for (size_t k = 0; k < input->count; k++) {
            const struct us_node *named = &graph->nodes[input->links[k].node];
            const struct us_eta_node *above = us_eta_find(eta, named);
            const bool frames = node->node->type->per_frame && named->type->per_frame;
            node->cold |= !above || above->run < above->total;
            if (above) {
                node->above[node->above_count++] =
                    (struct us_estimate_link){.node = (uint32_t)(above - eta->nodes),
                                              .whole = !frames || ports[p].reach == US_ALL_FRAMES};
            }
        }
    }
}

/* The node of a task that runs; tasks come node by node. */
static struct us_eta_node *find_or_add(struct us_eta *eta, size_t *capacity,
                                       const struct us_plan_entry *entry) {
    uint32_t *place = &eta->places[entry->node - eta->graph->nodes];
    if (!*place) {
        us_grow(&eta->nodes, capacity, eta->count, sizeof *eta->nodes);
        struct us_eta_node *node = &eta->nodes[eta->count++];
        *node = (struct us_eta_node){
            .node = entry->node, .why = entry->why, .seconds = -1, .first = -1, .base = -1};
        node->extent = us_eta_extent(entry->node, entry->why, &node->further);
        *place = (uint32_t)eta->count;
    }
    return &eta->nodes[*place - 1];
}

static void read_plan(struct us_eta *eta, struct us_run *run) {
    const size_t count = us_run_plan_count(run);
    size_t capacity = 0;
    for (size_t i = 0; i < count; i++) {
        const struct us_plan_entry entry = us_run_plan_brief(run, i);
        eta->totals[entry.node - eta->graph->nodes]++;
        if (!entry.run) {
            continue;
        }
        struct us_eta_node *node = find_or_add(eta, &capacity, &entry);
        node->run++;
        node->maybe += entry.maybe;
        node->own += entry.seconds > 0 ? entry.seconds : 0;
        node->known += entry.seconds > 0;
        eta->plan.run++;
        eta->plan.maybe += entry.maybe;
    }
    eta->plan.cached = count - eta->plan.run;
    for (size_t i = 0; i < eta->count; i++) {
        eta->nodes[i].total = eta->totals[eta->nodes[i].node - eta->graph->nodes];
    }
}

static void read_needs(struct us_eta *eta, struct us_eta_node *node) {
    struct us_needs needs = {.threads = 1};
    if (node->node->type->needs) {
        node->node->type->needs(node->node->params, &needs);
    }
    node->devices = needs.device == US_DEVICE_ALL         ? US_ALL_DEVICES
                    : needs.device == US_DEVICE_PREFERRED ? 1
                                                          : 0;
    const int shares = node->devices == 1 && eta->plan.devices > 1 ? eta->plan.devices : 1;
    node->threads = needs.threads < 0 ? eta->plan.slots / shares : needs.threads;
}

/* What is expected of a node now: what is remembered, corrected by what was seen. */
static double seconds_now(const struct us_eta_node *node) {
    if (!node->done) {
        return node->seconds;
    }
    if (node->seconds < 0) {
        return node->taken / (double)node->done;
    }
    return (node->seconds * weight_of_memory + node->taken) /
           (weight_of_memory + (double)node->done);
}

/* A part of its work is measured: a percent, or without anything to go by for some seconds. */
static bool tells_progress(const struct us_eta_node *node, double now) {
    const double made = node->fraction - node->base;
    return node->base >= 0 &&
           (made > 0.01 || (made > 0 && node->seconds < 0 && now - node->base_when > 2));
}

static double left_of(const struct us_eta_node *node, double begun, double now) {
    const double seconds = seconds_now(node);
    if (tells_progress(node, now)) {
        return (now - node->base_when) / (node->fraction - node->base) * (1 - node->fraction);
    }
    const double rest = begun + seconds - now;
    return rest > 0.05 * seconds ? rest : 0.05 * seconds;
}

/* Whether anything at work says how far it is. */
static bool any_progress(const struct us_eta *eta, double now) {
    bool any = false;
    for (size_t i = 0; i < eta->running_count; i++) {
        any |= tells_progress(&eta->nodes[eta->running[i].node], now);
    }
    return any;
}

static struct us_estimate look(const struct us_eta *eta, double now) {
    const size_t count = eta->count;
    struct us_estimate_node *nodes = us_calloc(count + 1, sizeof *nodes);
    struct us_estimate_running *running = us_calloc(eta->running_count + 1, sizeof *running);
    for (size_t i = 0; i < count; i++) {
        const struct us_eta_node *node = &eta->nodes[i];
        nodes[i] = (struct us_estimate_node){
            .count = node->run > node->gone ? node->run - node->gone : 0,
            .seconds = seconds_now(node),
            .threads = node->threads,
            .devices = node->devices,
            .above = node->above,
            .above_count = node->above_count,
        };
    }
    bool unknown = false;
    for (size_t i = 0; i < eta->running_count; i++) {
        const struct us_eta_task *task = &eta->running[i];
        running[i] = (struct us_estimate_running){
            task->node, left_of(&eta->nodes[task->node], task->begun, now)};
        unknown |= running[i].left < 0;
    }
    const struct us_estimate_machine machine = {eta->plan.slots, eta->plan.devices, eta->overhead};
    struct us_estimate estimate =
        us_estimate_run(nodes, count, running, eta->running_count, &machine);
    estimate.unknown |= unknown;
    us_free(nodes);
    us_free(running);
    return estimate;
}

struct us_eta *us_eta_create(const struct us_graph *graph, struct us_store *store,
                             struct us_run *run, const struct us_run_options *options) {
    struct us_eta *eta = us_calloc(1, sizeof *eta);
    const long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    eta->graph = graph;
    eta->store = store;
    eta->totals = us_calloc(graph->node_count + 1, sizeof *eta->totals);
    eta->places = us_calloc(graph->node_count + 1, sizeof *eta->places);
    eta->plan.slots = options->threads > 0 ? options->threads : cpus > 0 ? (int)cpus : 1;
    eta->plan.devices = (int)options->device_count;
    read_plan(eta, run);
    if (!eta->plan.run) {
        return eta;
    }
    eta->identity = us_graph_identity(graph->path);
    for (size_t i = 0; i < eta->count; i++) {
        add_links(eta, &eta->nodes[i]);
        read_needs(eta, &eta->nodes[i]);
    }
    us_eta_recall(eta);
    eta->plan.estimate = look(eta, 0);
    return eta;
}

void us_eta_destroy(struct us_eta *eta) {
    if (eta) {
        for (size_t i = 0; i < eta->count; i++) {
            us_free(eta->nodes[i].above);
        }
        us_free(eta->nodes);
        us_free(eta->totals);
        us_free(eta->places);
        us_free(eta->running);
        us_free(eta->identity);
        us_free(eta);
    }
}

const struct us_node *us_eta_node(const struct us_eta *eta, size_t index) {
    return index < eta->count ? eta->nodes[index].node : NULL;
}

const struct us_eta_plan *us_eta_plan(const struct us_eta *eta) {
    return &eta->plan;
}

struct us_eta_node_plan us_eta_node_plan(const struct us_eta *eta, const struct us_node *node) {
    const struct us_eta_node *of = us_eta_find(eta, node);
    const size_t total = eta->totals[node - eta->graph->nodes];
    if (!of) {
        return (struct us_eta_node_plan){.total = total, .why = "", .seconds = -1};
    }
    return (struct us_eta_node_plan){
        .total = total,
        .run = of->run,
        .maybe = of->maybe,
        .why = of->why ? of->why : "",
        .seconds = of->seconds < 0 ? -1 : of->seconds * (double)of->run,
    };
}

static bool stop_running(struct us_eta *eta, const struct us_event *event) {
    for (size_t i = 0; i < eta->running_count; i++) {
        const struct us_eta_task *task = &eta->running[i];
        if (eta->nodes[task->node].node == event->node &&
            us_frame_compare(task->frame, event->frame) == 0) {
            eta->running[i] = eta->running[--eta->running_count];
            return true;
        }
    }
    return false;
}

static void note_progress(struct us_eta_node *node, double fraction, double now) {
    if (fraction < 0 || node->node->type->per_frame) {
        return;
    }
    if (node->first < 0) {
        node->first = fraction;
    } else if (node->base < 0 && fraction > node->first) {
        node->base = fraction;
        node->base_when = now;
    }
    node->fraction = fraction < 1 ? fraction : 1;
    node->fraction_when = now;
}

void us_eta_event(struct us_eta *eta, const struct us_event *event, double now) {
    struct us_eta_node *node = event->node ? us_eta_find(eta, event->node) : NULL;
    if (!node) {
        return;
    }
    switch (event->kind) {
    case US_EVENT_START:
        us_grow(&eta->running, &eta->running_capacity, eta->running_count, sizeof *eta->running);
        eta->running[eta->running_count++] =
            (struct us_eta_task){(uint32_t)(node - eta->nodes), event->frame, now};
        node->gone++;
        break;
    case US_EVENT_DONE:
        stop_running(eta, event);
        node->done++;
        node->taken += event->seconds;
        break;
    case US_EVENT_FAILED:
        node->failed++;
        node->gone += !stop_running(eta, event);
        break;
    case US_EVENT_CACHED:
        node->cached += event->count ? event->count : 1;
        node->gone += node->cached > node->total - node->run;
        break;
    case US_EVENT_SKIPPED:
        node->gone++;
        break;
    case US_EVENT_PROGRESS:
        note_progress(node, event->fraction, now);
        break;
    case US_EVENT_REMADE:
    case US_EVENT_WARNING:
        break;
    }
}

double us_eta_left(struct us_eta *eta, double now, bool *at_least) {
    if (eta->looked <= 0 || now - eta->looked >= between_looks) {
        const struct us_estimate estimate = look(eta, now);
        eta->looked = now;
        eta->left = estimate.seconds;
        eta->at_least = estimate.unknown;
        eta->tellable = !estimate.unknown || any_progress(eta, now);
    }
    *at_least = eta->at_least;
    if (!eta->tellable) {
        return -1;
    }
    const double left = eta->left - (now - eta->looked);
    return left > 0 ? left : 0;
}
