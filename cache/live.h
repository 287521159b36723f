/* Who uses the cache now, for gc (docs/cache.md, "Care").
 *
 * A store that was told about, read or wrote an object has a file in live/ until it is closed:
 *
 *     live/<host>.<process>.<its start>.<store>.<begun>    touched by the keeper at every beat
 *     live/gc                                              a gc is choosing and removing
 *
 * All times are of the file server's clock, nanoseconds since 1970. */
#ifndef US_CACHE_LIVE_H
#define US_CACHE_LIVE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"

struct cache;

struct us_live {
    atomic_bool tried;       /* to register */
    _Atomic int64_t trusted; /* a stamp from then on need not be renewed */
    _Atomic bool beside_gc;  /* a gc was at work when it registered */
    int64_t begun;           /* 0: not registered */
    int fd;                  /* for the beats */
    char *path;
};

/* A stamp is renewed when it is older than that; tests shorten it, and the time added to be sure.
 */
extern double us_stamp_seconds, us_stamp_slack;

/* Registers the store, once; cheap afterwards. Where that cannot be done (a cache that may only be
 * read) it is not protected. */
void us_live_begin(struct cache *cache);
/* True while a gc works that may not know of this store, since it began before. */
bool us_live_beside_gc(struct cache *cache);
void us_live_beat(struct cache *cache);
void us_live_finish(struct cache *cache);

/* A gc's view of the runs. */
struct us_gc_watch {
    int64_t begun;  /* of the gc: whatever was stamped from then on is in use */
    int64_t spared; /* stamps from then on may be in use by a run that began before */
    size_t runs;    /* that live now */
    char *path;     /* live/gc; NULL: it could not be made */
};

/* Announces a gc, then looks who lives. Files of runs that died are removed unless `look_only`. */
struct us_error *us_live_look(struct cache *cache, bool look_only,
                              struct us_gc_watch *watch) US_NODISCARD;
void us_live_leave(struct us_gc_watch *watch);

#endif
