/* The history of runs: a line of text each in a log of the store (runtime/api/store.h), one log a
 * graph. */
#ifndef US_RUNTIME_API_RUNS_H
#define US_RUNTIME_API_RUNS_H

#include "runtime/api/store.h"

enum { US_RUN_TEXT = 4096 };

/* What names a graph's facts in the index: the file's full path, us_malloc'ed. */
char *us_graph_identity(const char *path);

/* Adds a run; `text` is one line of at most US_RUN_TEXT bytes. */
void us_runs_add(struct us_store *store, const char *identity, const char *text);

/* The last runs, at most US_LOG_KEPT, the oldest first; the first of them is number `first`. */
struct us_runs {
    const char **texts;
    size_t count;
    int64_t first;
    char *bytes; /* that the texts are in */
};
void us_runs_read(struct us_store *store, const char *identity, struct us_runs *runs);
void us_runs_finish(struct us_runs *runs);

#endif
