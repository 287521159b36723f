/* What commands that look at a graph with a cache have in common. */
#ifndef US_TOOLS_SESSION_H
#define US_TOOLS_SESSION_H

#include "runtime/api/run.h"
#include "tools/command.h"

struct us_session {
    struct us_graph *graph;
    struct us_store *store;
    struct us_frames frames;
    bool remote; /* store is a remote tier over the cache */
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

/* What a command wants of a remote cache. */
enum us_remote_use {
    US_REMOTE_USE,  /* look there, and send what is made */
    US_REMOTE_ASK,  /* look what is there, fetch records only */
    US_REMOTE_PULL, /* fetch all that is looked at */
    US_REMOTE_PUSH, /* send */
};

/* --remote or $UNDERSTUDY_REMOTE, --remote-mode or $UNDERSTUDY_REMOTE_MODE: wraps *store, which is
 * then closed with us_remote_close. *wrapped false: none is asked for. */
struct us_error *us_remote_wrap(const struct us_arguments *arguments, enum us_remote_use use,
                                struct us_store **store, bool *wrapped) US_NODISCARD;
/* us_remote_wrap of the session's store. */
struct us_error *us_session_use_remote(struct us_session *session,
                                       const struct us_arguments *arguments,
                                       enum us_remote_use use) US_NODISCARD;
/* Waits for uploads, not for long when the user wants to be gone, and prints what went to and fro.
 */
void us_session_flush(struct us_session *session, bool hurry, bool json);
/* Prints what went to and fro so far; nothing when nothing did. */
void us_remote_show(struct us_store *store, bool json);
/* A us_store's `warn` that prints to stderr. */
void us_remote_warning(void *context, const char *message);
void us_session_finish(struct us_session *session);

/* Options for us_run_create from the command line; they point into the session and arguments. */
struct us_error *us_session_options(struct us_session *session,
                                    const struct us_arguments *arguments,
                                    struct us_run_options *options) US_NODISCARD;

/* --cache, $UNDERSTUDY_CACHE, $XDG_CACHE_HOME/understudy or ~/.cache/understudy; us_malloc'ed. */
struct us_error *us_cache_folder(const struct us_arguments *arguments, char **folder) US_NODISCARD;
/* The same for what looks after a cache: one that is not there is an error, not made. */
struct us_error *us_cache_folder_there(const struct us_arguments *arguments,
                                       char **folder) US_NODISCARD;

/* --models, $UNDERSTUDY_MODELS, or the first models/ in the program's folder and those above it. */
void us_find_models(const struct us_arguments *arguments);

#endif
