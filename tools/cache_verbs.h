/* The verbs of `understudy cache`; each prints what it has to say and sets the exit status. */
#ifndef US_TOOLS_CACHE_VERBS_H
#define US_TOOLS_CACHE_VERBS_H

#include "cache/care.h"
#include "tools/command.h"

typedef struct us_error *us_cache_verb(struct us_store *store, const char *folder,
                                       const struct us_arguments *arguments, int *status);

us_cache_verb us_cache_show_stats, us_cache_collect, us_cache_show_pins, us_cache_remove_pin;

/* Opens the cache itself: it wants the graph, too. */
struct us_error *us_cache_add_pin(const struct us_arguments *arguments) US_NODISCARD;
/* The whole cache to the remote cache, and from there what a run of a graph would use. */
struct us_error *us_cache_push(const struct us_arguments *arguments) US_NODISCARD;
struct us_error *us_cache_pull(const struct us_arguments *arguments) US_NODISCARD;

/* "12,345" is not how numbers are printed here: "12345 objects (1.5 GiB)". */
void us_cache_count_text(struct us_str *out, struct us_cache_count count, const char *what);
/* A member {files, bytes}. */
void us_cache_count_json(void *line, const char *name, struct us_cache_count count);

/* In the place of a node type: the fields that the keys of a node's tasks share, which are objects
 * too (runtime/exec/record.c), and what no record names. */
#define US_CACHE_UNNAMED "(key parts, unnamed)"

/* "12 s", "3.4 h", "2.1 d" */
void us_cache_time_text(struct us_str *out, double seconds);

/* A line on standard error that is written over, when that is a terminal and it takes a while;
 * for us_gc_options.progress. */
void us_cache_show_progress(void *context, const char *doing, uint64_t done, uint64_t of);
void us_cache_end_progress(void);

#endif
