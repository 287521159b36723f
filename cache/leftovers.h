/* What no result needs: what killed processes left in tmp/, leases of the dead, old quarantine, and
 * the working folders of long tasks. */
#ifndef US_CACHE_LEFTOVERS_H
#define US_CACHE_LEFTOVERS_H

#include "cache/care.h"

struct cache;

/* A folder with all in it, or a file; true when it is gone. */
bool us_remove_tree(const char *path);

struct us_attempt {
    char name[64];
    uint64_t bytes;
    int64_t used;   /* nanoseconds since 1970: the youngest file in it */
    double seconds; /* from its oldest file to its youngest: the work it may hold, at least */
    bool victim;
};

/* The working folders; us_malloc'ed. */
struct us_error *us_attempts_list(struct cache *cache, struct us_attempt **attempts,
                                  size_t *count) US_NODISCARD;

/* Removes what is older than its time, but for dry runs, and counts it. */
struct us_error *us_leftovers_clear(struct cache *cache, const struct us_gc_options *options,
                                    struct us_cache_count *removed) US_NODISCARD;

#endif
