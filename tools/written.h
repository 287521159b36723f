/* Where a run's files are. */
#ifndef US_TOOLS_WRITTEN_H
#define US_TOOLS_WRITTEN_H

#include "runtime/api/run.h"

/* What the nodes of the plan that write files have written: a text of a line each,
 * "node\tfiles\tper frame\tpattern", for us_written_show; it may be kept. */
void us_written_list(const struct us_graph *graph, struct us_run *run, struct us_str *out);

/* A line for each: its pattern, relative to the current folder when it lies in it, and the number
 * of frames. */
void us_written_show(const char *list, bool json);

#endif
