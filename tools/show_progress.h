/* What a run looks like while it goes on: a live view on a terminal, lines on a pipe, JSON. */
#ifndef US_TOOLS_SHOW_PROGRESS_H
#define US_TOOLS_SHOW_PROGRESS_H

#include "runtime/api/run.h"

struct us_progress;

/* `graph` must outlive it. The way is chosen from `json` and from what stdout is. */
struct us_progress *us_progress_create(const struct us_graph *graph, bool json);
void us_progress_destroy(struct us_progress *progress);

/* Counts what there is to do. */
void us_progress_plan(struct us_progress *progress, struct us_run *run);
/* For us_run_options.event; `context` is the progress. */
void us_progress_event(void *context, const struct us_event *event);
/* Clears the live view. */
void us_progress_close(struct us_progress *progress);
/* The last line: "ran 12, cached 180, failed 0 in 3.2 s", or the summary event. */
void us_progress_summary(const struct us_progress *progress, const struct us_summary *summary);
/* The same for a run that had nothing to look at: so many tasks were cached. */
void us_progress_nothing(size_t tasks, bool json);

#endif
