/* How long a run takes, from how long its tasks took before: list scheduling over nodes, as the
 * run's own scheduler does it. Pure arithmetic: reads no clock and no history.
 *
 * Frames of a node are bundled where there are many, so that a million tasks cost no more than some
 * ten thousand. */
#ifndef US_RUNTIME_API_ESTIMATE_H
#define US_RUNTIME_API_ESTIMATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct us_estimate_link {
    uint32_t node; /* smaller than the index of the node that reads it */
    bool whole;    /* all of its tasks come first; else frame by frame */
};

enum { US_ALL_DEVICES = -1 };

struct us_estimate_node {
    size_t count;   /* tasks that have not begun */
    double seconds; /* of one; negative: unknown, taken for nothing */
    int threads;    /* CPU slots that a task takes; at least 1, cut to what there is */
    int devices;    /* that a task takes: 0, 1, or US_ALL_DEVICES */
    const struct us_estimate_link *above;
    size_t above_count;
};

/* A task at work. */
struct us_estimate_running {
    uint32_t node;
    double left; /* seconds */
};

struct us_estimate_machine {
    int slots, devices;
    double overhead; /* seconds that every task costs besides its own */
};

struct us_estimate {
    double seconds; /* from now to the end */
    double work;    /* slot seconds that are left: seconds is never less than work / slots */
    double path;    /* the longest chain of tasks: nor less than this */
    bool unknown;   /* a task's duration was: all are lower bounds */
};

struct us_estimate us_estimate_run(const struct us_estimate_node *nodes, size_t count,
                                   const struct us_estimate_running *running, size_t running_count,
                                   const struct us_estimate_machine *machine);

#endif
