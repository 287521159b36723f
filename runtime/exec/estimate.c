#include "runtime/api/estimate.h"

#include <string.h>

#include "runtime/base/mem.h"

/* Most bundles of all nodes, and the least a node gets that has so many tasks. */
enum { BUNDLES = 20000, LEAST_BUNDLES = 4, NONE = 0x7fffffff };

/* Some tasks of a node one after the other in one place, or (no duration, no slots) the point at
 * which a node's inputs are all there. */
struct bundle {
    uint32_t node;
    int threads, devices;
    double seconds, end;
    uint32_t waiting, first_edge;
};

struct edge {
    uint32_t to, next;
};

/* A binary heap of bundles; `before` orders them. */
struct heap {
    uint32_t *items;
    size_t count, capacity;
};

struct sim {
    const struct us_estimate_node *nodes;
    const struct us_estimate_machine *machine;
    struct bundle *bundles;
    size_t bundle_count, bundle_capacity;
    struct edge *edges;
    size_t edge_count, edge_capacity;
    uint32_t *first, *pieces; /* a node's bundles */
    uint32_t *at_work;        /* of these, so many are tasks at work */
    double *priority;
    struct heap ready, device_ready, busy;
    int free_slots, free_devices;
    double now;
};

static bool urgent(const struct sim *sim, uint32_t a, uint32_t b) {
    const uint32_t na = sim->bundles[a].node, nb = sim->bundles[b].node;
    if (sim->priority[na] > sim->priority[nb] || sim->priority[na] < sim->priority[nb]) {
        return sim->priority[na] > sim->priority[nb];
    }
    return a < b;
}

static bool sooner(const struct sim *sim, uint32_t a, uint32_t b) {
    return sim->bundles[a].end < sim->bundles[b].end;
}

typedef bool order(const struct sim *sim, uint32_t a, uint32_t b);

static void push(const struct sim *sim, struct heap *heap, order *before, uint32_t item) {
    us_grow(&heap->items, &heap->capacity, heap->count, sizeof *heap->items);
    size_t at = heap->count++;
    for (; at > 0 && before(sim, item, heap->items[(at - 1) / 2]); at = (at - 1) / 2) {
        heap->items[at] = heap->items[(at - 1) / 2];
    }
    heap->items[at] = item;
}

static uint32_t pop(const struct sim *sim, struct heap *heap, order *before) {
    const uint32_t top = heap->items[0], last = heap->items[--heap->count];
    size_t at = 0;
    for (size_t below; (below = 2 * at + 1) < heap->count; at = below) {
        below += below + 1 < heap->count && before(sim, heap->items[below + 1], heap->items[below]);
        if (!before(sim, heap->items[below], last)) {
            break;
        }
        heap->items[at] = heap->items[below];
    }
    heap->items[at] = last;
    return top;
}

static double task_seconds(const struct sim *sim, const struct us_estimate_node *node) {
    return (node->seconds > 0 ? node->seconds : 0) + sim->machine->overhead;
}

static int slots_of(const struct sim *sim, const struct us_estimate_node *node) {
    const int slots = sim->machine->slots > 1 ? sim->machine->slots : 1;
    const int threads = node->threads > 1 ? node->threads : 1;
    return threads < slots ? threads : slots;
}

static int devices_of(const struct sim *sim, const struct us_estimate_node *node) {
    const int all = sim->machine->devices;
    return node->devices == US_ALL_DEVICES || node->devices > all ? all : node->devices;
}

static uint32_t add_bundle(struct sim *sim, uint32_t node, double seconds) {
    us_grow(&sim->bundles, &sim->bundle_capacity, sim->bundle_count, sizeof *sim->bundles);
    sim->bundles[sim->bundle_count] =
        (struct bundle){.node = node, .seconds = seconds, .first_edge = NONE};
    return (uint32_t)sim->bundle_count++;
}

static void add_edge(struct sim *sim, uint32_t from, uint32_t to) {
    us_grow(&sim->edges, &sim->edge_capacity, sim->edge_count, sizeof *sim->edges);
    sim->edges[sim->edge_count] = (struct edge){to, sim->bundles[from].first_edge};
    sim->bundles[from].first_edge = (uint32_t)sim->edge_count++;
    sim->bundles[to].waiting++;
}

static void add_pieces(struct sim *sim, uint32_t index, size_t most) {
    const struct us_estimate_node *node = &sim->nodes[index];
    const size_t pieces = node->count < most ? node->count : most;
    for (size_t i = 0; i < pieces; i++) {
        const size_t tasks = (i + 1) * node->count / pieces - i * node->count / pieces;
        const uint32_t at = add_bundle(sim, index, (double)tasks * task_seconds(sim, node));
        sim->bundles[at].threads = slots_of(sim, node);
        sim->bundles[at].devices = devices_of(sim, node);
    }
    sim->pieces[index] = (uint32_t)pieces + sim->at_work[index];
}

/* The tasks at work come first among their node's bundles and hold what they were given. */
static void add_running(struct sim *sim, uint32_t index, const struct us_estimate_running *running,
                        size_t count) {
    const struct us_estimate_node *node = &sim->nodes[index];
    sim->first[index] = (uint32_t)sim->bundle_count;
    for (size_t i = 0; i < count; i++) {
        if (running[i].node == index) {
            const double left = running[i].left > 0 ? running[i].left : 0;
            const uint32_t at = add_bundle(sim, index, left);
            struct bundle *bundle = &sim->bundles[at];
            bundle->end = left;
            bundle->threads = slots_of(sim, node);
            bundle->devices = devices_of(sim, node);
            sim->free_slots -= bundle->threads;
            sim->free_devices -= bundle->devices;
            sim->at_work[index]++;
        }
    }
}

/* Where task `at` of `count` stands among `others`: the ends are lined up when the others are fewer
 * (those at the beginning are done), else both are taken for the same range. */
static double line_up(double at, size_t count, size_t others) {
    if (count > others) {
        const double from = at - (double)(count - others);
        return from > 0 ? from : 0;
    }
    return at * (double)others / (double)count;
}

static size_t tasks_before(const struct sim *sim, uint32_t node, uint32_t piece) {
    const uint32_t busy = sim->at_work[node];
    const size_t count = sim->nodes[node].count, pieces = sim->pieces[node] - busy;
    return piece <= busy ? piece : busy + (piece - busy) * count / pieces;
}

/* Frame by frame: a bundle waits for those above that make its frames. */
static void link_frames(struct sim *sim, uint32_t above, uint32_t below) {
    const size_t count = sim->nodes[below].count;
    const size_t others = sim->nodes[above].count + sim->at_work[above];
    const uint32_t skip = sim->at_work[below];
    uint32_t from = 0;
    for (uint32_t i = skip; i < sim->pieces[below]; i++) {
        const double begin = (double)(tasks_before(sim, below, i) - skip);
        const double end = (double)(tasks_before(sim, below, i + 1) - skip);
        const double low = line_up(begin, count, others), high = line_up(end, count, others);
        while (from < sim->pieces[above] && (double)tasks_before(sim, above, from + 1) <= low) {
            from++;
        }
        for (uint32_t k = from;
             k < sim->pieces[above] && (double)tasks_before(sim, above, k) < high; k++) {
            add_edge(sim, sim->first[above] + k, sim->first[below] + i);
        }
    }
}

/* All of them: through a point in between, so that there are n + m edges and not n x m. */
static void link_whole(struct sim *sim, uint32_t above, uint32_t below, uint32_t *point) {
    if (*point == NONE) {
        *point = add_bundle(sim, below, 0);
        for (uint32_t i = sim->at_work[below]; i < sim->pieces[below]; i++) {
            add_edge(sim, *point, sim->first[below] + i);
        }
    }
    for (uint32_t i = 0; i < sim->pieces[above]; i++) {
        add_edge(sim, sim->first[above] + i, *point);
    }
}

static void link_node(struct sim *sim, uint32_t index) {
    const struct us_estimate_node *node = &sim->nodes[index];
    uint32_t point = NONE;
    for (size_t i = 0; i < node->above_count && node->count; i++) {
        const struct us_estimate_link *link = &node->above[i];
        if (!sim->pieces[link->node]) {
            continue;
        }
        if (link->whole) {
            link_whole(sim, link->node, index, &point);
        } else {
            link_frames(sim, link->node, index);
        }
    }
}

/* Seconds to the end of the longest path below, as the scheduler orders nodes. */
static void set_priorities(struct sim *sim, size_t count) {
    for (size_t i = count; i-- > 0;) {
        const struct us_estimate_node *node = &sim->nodes[i];
        sim->priority[i] += node->seconds > 0.01 ? node->seconds : 0.01;
        for (size_t k = 0; k < node->above_count; k++) {
            double *above = &sim->priority[node->above[k].node];
            *above = *above > sim->priority[i] ? *above : sim->priority[i];
        }
    }
}

static double longest_path(struct sim *sim, size_t count, const struct us_estimate_running *running,
                           size_t running_count) {
    double longest = 0, *ends = us_calloc(count + 1, sizeof *ends);
    for (size_t i = 0; i < running_count; i++) {
        double *end = &ends[running[i].node];
        *end = *end > running[i].left ? *end : running[i].left;
    }
    for (size_t i = 0; i < count; i++) {
        double begin = 0;
        for (size_t k = 0; k < sim->nodes[i].above_count; k++) {
            const double end = ends[sim->nodes[i].above[k].node];
            begin = begin > end ? begin : end;
        }
        begin += sim->nodes[i].count ? task_seconds(sim, &sim->nodes[i]) : 0;
        ends[i] = ends[i] > begin ? ends[i] : begin;
        longest = longest > ends[i] ? longest : ends[i];
    }
    us_free(ends);
    return longest;
}

static void release(struct sim *sim, uint32_t index);

static void make_ready(struct sim *sim, uint32_t index) {
    const struct bundle *bundle = &sim->bundles[index];
    if (bundle->threads == 0) {
        release(sim, index);
    } else {
        push(sim, bundle->devices ? &sim->device_ready : &sim->ready, urgent, index);
    }
}

static void release(struct sim *sim, uint32_t index) {
    for (uint32_t e = sim->bundles[index].first_edge; e != NONE; e = sim->edges[e].next) {
        if (--sim->bundles[sim->edges[e].to].waiting == 0) {
            make_ready(sim, sim->edges[e].to);
        }
    }
}

/* The head of a queue is never overtaken; a device that is not free holds up nobody else. */
static bool start_next(struct sim *sim) {
    struct heap *ready = sim->ready.count ? &sim->ready : NULL, *devices = &sim->device_ready;
    if (devices->count && sim->bundles[devices->items[0]].devices <= sim->free_devices &&
        (!ready || urgent(sim, devices->items[0], ready->items[0]))) {
        ready = devices;
    }
    if (!ready || sim->bundles[ready->items[0]].threads > sim->free_slots) {
        return false;
    }
    const uint32_t index = pop(sim, ready, urgent);
    struct bundle *bundle = &sim->bundles[index];
    sim->free_slots -= bundle->threads;
    sim->free_devices -= bundle->devices;
    bundle->end = sim->now + bundle->seconds;
    push(sim, &sim->busy, sooner, index);
    return true;
}

static void simulate(struct sim *sim, size_t count) {
    for (size_t n = 0; n < count; n++) {
        for (uint32_t i = 0; i < sim->at_work[n]; i++) {
            push(sim, &sim->busy, sooner, sim->first[n] + i);
        }
    }
    for (size_t i = 0; i < sim->bundle_count; i++) {
        const struct bundle *bundle = &sim->bundles[i];
        const bool at_work = i < sim->first[bundle->node] + sim->at_work[bundle->node];
        if (bundle->threads > 0 && bundle->waiting == 0 && !at_work) {
            make_ready(sim, (uint32_t)i);
        }
    }
    for (;;) {
        while (start_next(sim)) {
        }
        if (!sim->busy.count) {
            return;
        }
        const uint32_t done = pop(sim, &sim->busy, sooner);
        sim->now = sim->bundles[done].end > sim->now ? sim->bundles[done].end : sim->now;
        sim->free_slots += sim->bundles[done].threads;
        sim->free_devices += sim->bundles[done].devices;
        release(sim, done);
    }
}

static size_t most_pieces(const struct us_estimate_node *nodes, size_t count, int slots) {
    size_t active = 1;
    for (size_t i = 0; i < count; i++) {
        active += nodes[i].count > 0;
    }
    const size_t share = BUNDLES / active, enough = 64 + 4 * (size_t)(slots > 0 ? slots : 1);
    return share < LEAST_BUNDLES ? LEAST_BUNDLES : share < enough ? share : enough;
}

static void finish(struct sim *sim) {
    us_free(sim->bundles);
    us_free(sim->edges);
    us_free(sim->first);
    us_free(sim->pieces);
    us_free(sim->at_work);
    us_free(sim->priority);
    us_free(sim->ready.items);
    us_free(sim->device_ready.items);
    us_free(sim->busy.items);
}

struct us_estimate us_estimate_run(const struct us_estimate_node *nodes, size_t count,
                                   const struct us_estimate_running *running, size_t running_count,
                                   const struct us_estimate_machine *machine) {
    struct sim sim = {.nodes = nodes,
                      .machine = machine,
                      .free_slots = machine->slots > 1 ? machine->slots : 1,
                      .free_devices = machine->devices};
    sim.first = us_calloc(count + 1, sizeof *sim.first);
    sim.pieces = us_calloc(count + 1, sizeof *sim.pieces);
    sim.at_work = us_calloc(count + 1, sizeof *sim.at_work);
    sim.priority = us_calloc(count + 1, sizeof *sim.priority);
    struct us_estimate estimate = {0};
    const size_t most = most_pieces(nodes, count, machine->slots);
    for (uint32_t i = 0; i < count; i++) {
        add_running(&sim, i, running, running_count);
        add_pieces(&sim, i, most);
        estimate.unknown |= nodes[i].count > 0 && nodes[i].seconds < 0;
    }
    for (size_t i = 0; i < sim.bundle_count; i++) {
        estimate.work += sim.bundles[i].seconds * sim.bundles[i].threads;
    }
    for (uint32_t i = 0; i < count; i++) {
        link_node(&sim, i);
    }
    set_priorities(&sim, count);
    estimate.path = longest_path(&sim, count, running, running_count);
    simulate(&sim, count);
    estimate.seconds = sim.now;
    finish(&sim);
    return estimate;
}
