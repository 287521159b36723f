/* The devices that a run may use: GPUs, and parts of the CPU. */
#ifndef US_TOOLS_DEVICES_H
#define US_TOOLS_DEVICES_H

#include "runtime/api/run.h"
#include "runtime/graph/graph.h"

enum { US_DEVICES_MOST = 64 };

struct us_devices {
    struct us_run_device list[US_DEVICES_MOST]; /* what a GPU has: zeros until us_devices_measure */
    size_t count;
};

/* `text` is what --devices says: "auto" or NULL (every GPU, none when there is none), "cpu" (none),
 * or a list, "cuda:0,cuda:2=8G,cpu:0", with what tasks may take of its memory. GPUs are looked for
 * only when `graph` has a node that uses one; named ones must be there. Says what was chosen: an
 * event in JSON; else a line, when devices were asked for or found. */
struct us_error *us_devices_choose(const char *text, const struct us_graph *graph, bool json,
                                   struct us_devices *devices) US_NODISCARD;

/* Asks each GPU for its memory. */
void us_devices_measure(struct us_devices *devices);

/* A line about each device, or about why there is none. */
void us_devices_list(bool json);

/* The part of `doctor`: versions, devices, and the self-test of each; how many things are wrong. */
int us_devices_check(void);

#endif
