/* What a finished run leaves behind, so that the next one of the same can tell by a few system
 * calls that there is nothing to do, before the graph is even loaded: which files it relied on and
 * what they were, and a generation of the records. Kept in the index; losing it costs a plan. */
#ifndef US_RUNTIME_API_STANDING_H
#define US_RUNTIME_API_STANDING_H

#include "runtime/api/run.h"

/* What was asked: graph, settings, targets, frames, and all else outside files that bears on the
 * result: the working folder, the program's build, the models' folder, $PATH. False: cannot be
 * told, nothing is to be remembered. Only targets and frames of the options are read. */
bool us_standing_name(const struct us_registry *registry, const char *path,
                      const struct us_setting *settings, size_t setting_count,
                      const struct us_run_options *options, struct us_digest *name);

/* True: nothing would run. `note` is what us_standing_remember was given. */
bool us_standing_recall(struct us_store *store, const struct us_digest *name, struct us_str *note);

/* After us_run_execute: remembers, unless something is not as it should be for it. */
void us_standing_remember(struct us_run *run, const struct us_digest *name, const void *note,
                          size_t size);

#endif
