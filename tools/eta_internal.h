/* Between eta.c (a plan, a run) and eta_facts.c (what is remembered). */
#ifndef US_TOOLS_ETA_INTERNAL_H
#define US_TOOLS_ETA_INTERNAL_H

#include "tools/eta.h"

/* What the index keeps of a node: mean seconds of a task, 0 where there is none. */
struct us_eta_facts {
    double warm, cold; /* its inputs were made in the same run; some came from the cache */
    double extent;     /* the value of its extending parameter then; 0: it has none */
    double fixed;      /* of these seconds, those that do not grow with it: begin and end */
};

struct us_eta_node {
    const struct us_node *node;
    size_t run, maybe, total;
    const char *why; /* of the first that runs */
    bool cold;
    double own;     /* sum of the tasks' own last seconds */
    size_t known;   /* of so many tasks */
    double extent;  /* now */
    double further; /* how much of the extent is left to do: 1, or less where work is continued */
    struct us_eta_facts facts;
    double seconds; /* of a task, expected; negative: unknown */
    struct us_estimate_link *above;
    size_t above_count; /* in `nodes` */
    int threads, devices;
    /* while it runs */
    size_t gone;   /* tasks that have begun or need not any more */
    size_t cached; /* told so, those of the plan first */
    size_t done, failed;
    double taken; /* seconds of those done */
    /* Progress of a node without frames: the first told, the next (what happens once, such as
     * choosing plans, is over then), and the last. Negative: none. */
    double first, base, base_when, fraction, fraction_when;
};

struct us_eta_task {
    uint32_t node;
    struct us_frame frame;
    double begun;
};

struct us_eta {
    const struct us_graph *graph;
    struct us_store *store;
    char *identity;
    struct us_eta_node *nodes; /* those of which something runs, in the graph's order */
    size_t count;
    uint32_t *totals; /* tasks of each node of the graph in the plan */
    uint32_t *places; /* where in `nodes` each of the graph is, + 1; 0: nothing of it runs */
    struct us_eta_plan plan;
    double overhead;
    struct us_eta_task *running;
    size_t running_count, running_capacity;
    double looked, left;
    bool at_least, tellable;
};

/* Fills in facts and seconds of the nodes that run, and the overhead. */
void us_eta_recall(struct us_eta *eta);
/* NULL: nothing of it runs. */
struct us_eta_node *us_eta_find(const struct us_eta *eta, const struct us_node *node);
/* The value of the parameter that extends a node's work; 0: it has none. `why` tells how much of it
 * is left: "steps 100 → 400" leaves three quarters. */
double us_eta_extent(const struct us_node *node, const char *why, double *further);

#endif
