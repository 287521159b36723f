/* Where a run's files are. */
#ifndef US_TOOLS_WRITTEN_H
#define US_TOOLS_WRITTEN_H

#include "runtime/api/run.h"

/* A line for each node of the plan that writes files: its pattern, relative to the current folder
 * when it lies in it, and the number of frames. */
void us_written_show(const struct us_graph *graph, struct us_run *run, bool json);

#endif
