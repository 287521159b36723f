/* Between show_progress.c, show_live.c and show_json.c. */
#ifndef US_TOOLS_SHOW_INTERNAL_H
#define US_TOOLS_SHOW_INTERNAL_H

#include "runtime/base/str.h"
#include "tools/show_progress.h"

struct us_node_view {
    const struct us_node *node; /* NULL: nothing of it runs, and nothing was told of it */
    size_t total, to_run;       /* tasks; those that run or may run */
    size_t done, cached, failed, skipped, running;
    double begun, ended;      /* seconds, monotonic; 0: not yet */
    double fraction;          /* of a node without frames */
    double first, first_when; /* the first fraction told: a training goes on from a checkpoint */
    double last_line;         /* when a line was printed */
    char status[256];
    size_t errors_shown;
};

struct us_progress {
    const struct us_graph *graph;
    struct us_eta *eta; /* NULL until there is a plan */
    struct us_node_view *nodes;
    size_t done, cached, failed, skipped, running;
    bool errors_left_out;
    enum { US_SHOW_LINES, US_SHOW_LIVE, US_SHOW_JSON } way;
    /* the live view */
    bool unicode;
    int drawn; /* lines on the screen that the next drawing replaces */
    double last_drawn;
    struct us_str above; /* lines that go above the view, for good */
};

bool us_node_view_finished(const struct us_node_view *view);
/* Seconds left, or a negative number. */
double us_node_view_left(const struct us_node_view *view, double now);
/* "crop  48 frames in 3.2 s (15.1 f/s)  status" */
void us_node_view_close(const struct us_node_view *view, struct us_str *out);

void us_live_draw(struct us_progress *progress, bool now);
void us_live_clear(struct us_progress *progress);
/* Appends the time to the end of the run, ", run ETA 0:06:40" or ", run ETA at least 0:06:40" after
 * `between`; nothing when it is not known. */
void us_run_left_print(struct us_progress *progress, const char *between, struct us_str *out);
/* `left` seconds to the end of the run, or `at_least` so many; negative: not known. */
void us_json_show(const struct us_event *event, double left, bool at_least);

#endif
