/* How long a run will take: what is remembered of earlier ones, put through us_estimate_run.
 *
 * A task's duration is, in this order: the mean of its node's tasks in runs of the same kind (their
 * inputs made in that run, or read from the cache), its own last one, the node's mean in runs of
 * the other kind, the mean of its type in any graph. A node's mean grows with a parameter that
 * extends its work (training steps), but for what it takes to begin and to end, which its progress
 * tells. All of it is kept in the index. */
#ifndef US_TOOLS_ETA_H
#define US_TOOLS_ETA_H

#include "runtime/api/estimate.h"
#include "runtime/api/run.h"

struct us_eta;

/* Reads the plan of the run and what is remembered. `options` say how many slots and devices. */
struct us_eta *us_eta_create(const struct us_graph *graph, struct us_store *store,
                             struct us_run *run, const struct us_run_options *options);
void us_eta_destroy(struct us_eta *eta);

/* What there is to do. */
struct us_eta_plan {
    size_t run, maybe, cached; /* tasks; `run` includes those that may run */
    int slots, devices;
    struct us_estimate estimate; /* with those that may run; zeros when nothing runs */
};
const struct us_eta_plan *us_eta_plan(const struct us_eta *eta);
/* The same of a node: its tasks of the plan, why the first of them runs, and the seconds that those
 * which run take one after the other (negative: not known). */
struct us_eta_node_plan {
    size_t total, run, maybe;
    const char *why; /* "" when none runs */
    double seconds;
};
struct us_eta_node_plan us_eta_node_plan(const struct us_eta *eta, const struct us_node *node);
/* The nodes of which something runs, in the graph's order; NULL at the end. */
const struct us_node *us_eta_node(const struct us_eta *eta, size_t index);

/* While it runs: one event at a time. `now` is of one clock that only goes forward. */
void us_eta_event(struct us_eta *eta, const struct us_event *event, double now);
/* Seconds from `now` to the end; looked at anew twice a second. *at_least: something is unknown,
 * but a training at work says how far it is; negative: too little is known to tell. */
double us_eta_left(struct us_eta *eta, double now, bool *at_least);

/* After the run: remembers how long everything took. */
void us_eta_learn(const struct us_eta *eta, const struct us_summary *summary);

#endif
