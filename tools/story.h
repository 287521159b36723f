/* What the history keeps of a run (runtime/api/runs.h): a JSON object of a few hundred bytes. */
#ifndef US_TOOLS_STORY_H
#define US_TOOLS_STORY_H

#include <jansson.h>

#include "runtime/api/run.h"
#include "tools/command.h"
#include "tools/eta.h"

struct us_story;

/* `graph` and `arguments` must outlive it. */
struct us_story *us_story_create(const struct us_graph *graph,
                                 const struct us_arguments *arguments);
void us_story_destroy(struct us_story *story);
/* `so_far`: seconds that the command took until then. */
void us_story_plan(struct us_story *story, const struct us_eta_plan *plan, double so_far);
void us_story_event(struct us_story *story, const struct us_event *event);
/* Puts it into the history; `error` is what ended the run as such, or NULL. */
void us_story_keep(struct us_story *story, struct us_store *store, const struct us_summary *summary,
                   int status, const struct us_error *error);

/* The same for a run that had nothing to look at: its summary has what was cached. */
void us_story_keep_nothing(struct us_store *store, const struct us_arguments *arguments,
                           const struct us_summary *summary);

/* What was kept, with "number"; NULL when the text is none. The caller's. */
json_t *us_story_parse(const char *text, int64_t number);

#endif
