/* A run as a Chrome trace: a JSON file that Perfetto and chrome://tracing open.
 *
 * Process 1 has a row for every worker, process 2 one for every device; a task is a span on its
 * worker's row and on the rows of its devices. Tasks that are one worker's at once (a batch) stand
 * on further rows, "worker 0 +1". Failures and warnings are instants, what runs and the memory of
 * the process are counters. Results found in the cache before anything ran are one instant a node.
 *
 * Events are written as they come; what is held is a line a running task and a buffer. */
#ifndef US_RUNTIME_API_TRACE_H
#define US_RUNTIME_API_TRACE_H

#include "runtime/api/run.h"

struct us_trace;

/* Makes the file. `begin` is the time that timestamps count from, as `now` below: seconds of a
 * clock that only goes forward. `graph` must outlive the trace. */
struct us_error *us_trace_open(const char *path, const struct us_graph *graph, double begin,
                               struct us_trace **trace) US_NODISCARD;

/* One event of the run at a time, in order. An error (full disk) comes once: what was written until
 * then is made a whole trace, and further events are ignored. */
struct us_error *us_trace_event(struct us_trace *trace, const struct us_event *event,
                                double now) US_NODISCARD;

/* Ends the file, whatever became of the run: spans still open are marked as stopped. NULL is
 * fine. */
struct us_error *us_trace_close(struct us_trace *trace, double now) US_NODISCARD;

#endif
