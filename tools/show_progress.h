/* What a run looks like while it goes on: a live view on a terminal, lines on a pipe, JSON. */
#ifndef US_TOOLS_SHOW_PROGRESS_H
#define US_TOOLS_SHOW_PROGRESS_H

#include <jansson.h>

#include "runtime/api/run.h"
#include "runtime/base/str.h"
#include "tools/eta.h"

struct us_progress;

/* Seconds of a clock that only goes forward. */
double us_progress_now(void);

/* `graph` must outlive it. The way is chosen from `json` and from what stdout is. */
struct us_progress *us_progress_create(const struct us_graph *graph, bool json);
void us_progress_destroy(struct us_progress *progress);

/* Counts what there is to do, and tells it with the time it is expected to take. `eta` must outlive
 * the run. */
void us_progress_plan(struct us_progress *progress, struct us_eta *eta);
/* For us_run_options.event; `context` is the progress. */
void us_progress_event(void *context, const struct us_event *event);
/* An error that does not end the run: prints and frees it. */
void us_progress_error(struct us_progress *progress, struct us_error *error);
/* Clears the live view. */
void us_progress_close(struct us_progress *progress);
/* "0:06:40" */
void us_time_print(double seconds, struct us_str *out);
/* "3.4 s", "12 s", "0:06:40" */
void us_rough_time_print(double seconds, struct us_str *out);
/* "about 12 s on cpu x2", "at least 0:04:10 on cpu x2 and 1 device"; nothing when too little is
 * known, or it is no time worth telling. */
void us_estimate_print(const struct us_eta_plan *plan, struct us_str *out);
/* The members of JSON that say the same. */
void us_estimate_json(const struct us_eta_plan *plan, json_t *line);
/* The last line: "ran 12, cached 180, failed 0 in 3.2 s", or the summary event. */
void us_progress_summary(const struct us_progress *progress, const struct us_summary *summary);
/* The first and the last of it for a run that had nothing to look at: so many tasks were cached. */
void us_progress_plan_nothing(size_t tasks, bool json);
void us_progress_nothing(const struct us_summary *summary, bool json);

#endif
