/* The removing part of a gc: two steps for each victim (cache/hold.h). */
#ifndef US_CACHE_GC_REMOVE_H
#define US_CACHE_GC_REMOVE_H

#include "cache/policy.h"

/* Removes the plan's victims, on all cores; plan->states[i] is what became of victims[i],
 * US_TAKEN for small objects among the records. Sorts the victims by place. What cannot be removed
 * is warned of. */
struct us_error *us_gc_remove(struct us_gc_plan *plan) US_NODISCARD;

/* What a killed gc left in the trash: unlinked, or put back when it was stamped at `limit` or
 * later. */
struct us_error *us_gc_empty_trash(struct cache *cache, int64_t limit,
                                   struct us_cache_count *removed) US_NODISCARD;

/* How long a victim stays in the trash of a cache on a network file system; tests shorten it. */
extern double us_gc_grace_seconds;

#endif
