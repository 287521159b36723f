/* What commands that look at a graph with a cache have in common. */
#ifndef US_TOOLS_SESSION_H
#define US_TOOLS_SESSION_H

#include "runtime/api/run.h"
#include "tools/command.h"

struct us_session {
    struct us_graph *graph;
    struct us_store *store;
    struct us_frames frames;
};

/* Opens the cache, and finds the models. Finish it after a failure too. */
struct us_error *us_session_begin(const struct us_arguments *arguments,
                                  struct us_session *session) US_NODISCARD;
/* Then loads the graph of words[0]. */
struct us_error *us_session_load(const struct us_arguments *arguments,
                                 struct us_session *session) US_NODISCARD;
/* Both. */
struct us_error *us_session_open(const struct us_arguments *arguments,
                                 struct us_session *session) US_NODISCARD;
void us_session_finish(struct us_session *session);

/* Options for us_run_create from the command line; they point into the session and arguments. */
struct us_error *us_session_options(struct us_session *session,
                                    const struct us_arguments *arguments,
                                    struct us_run_options *options) US_NODISCARD;

/* --cache, $UNDERSTUDY_CACHE, $XDG_CACHE_HOME/understudy or ~/.cache/understudy; us_malloc'ed. */
struct us_error *us_cache_folder(const struct us_arguments *arguments, char **folder) US_NODISCARD;

/* --models, $UNDERSTUDY_MODELS, or the first models/ in the program's folder and those above it. */
void us_find_models(const struct us_arguments *arguments);

#endif
