/* The care of a cache: keeping it in its budget, pins, checking, counting. docs/cache.md, "Care",
 * says how. All of it may be done while runs use the cache. */
#ifndef US_CACHE_CARE_H
#define US_CACHE_CARE_H

#include "cache/cache.h"

struct us_gc_options {
    uint64_t max_bytes;      /* objects, records and attempts together; 0: no budget */
    double keep_seconds;     /* what was used within is never collected; 0: no such time */
    double records_seconds;  /* records live at least so long; 0: 180 days */
    double leftover_seconds; /* quarantine and attempts nobody touched for so long; 0: 30 days */
    bool dry_run;            /* say what would be done */
    /* From one thread, now and then; may be NULL. */
    void (*progress)(void *context, const char *doing, uint64_t done, uint64_t of);
    void *context;
};

/* What became of the results of one node type. */
struct us_gc_type {
    char *type, *show; /* "": no record names them */
    struct us_cache_count freed;
    double seconds; /* to make again what was freed, if it is ever needed */
};

struct us_gc_report {
    uint64_t before, after; /* bytes that count against the budget */
    struct us_cache_count objects, records, attempts, leftovers; /* freed */
    struct us_cache_count pinned, in_use, young; /* objects spared, each for its first reason */
    struct us_gc_type *types;                    /* that freed something, most bytes first */
    size_t type_count;
    uint64_t rescued; /* objects put back: a run asked for them meanwhile */
    size_t runs;      /* that live */
    bool busy;        /* another process collects: nothing was done */
    bool met;         /* the budget is met */
};

/* Removes what no result needs and, over the budget, the results that are cheapest to make again
 * for their size and longest unused, until nine tenths of it are full. A file that cannot be
 * removed is warned of and left. */
struct us_error *us_cache_gc(struct us_store *store, const struct us_gc_options *options,
                             struct us_gc_report *report) US_NODISCARD;
void us_gc_report_finish(struct us_gc_report *report);

/* -- pins: lists of objects and records that are never collected, by name, for all hosts */

struct us_pin_list {
    const struct us_digest *objects, *keys; /* of records */
    size_t object_count, key_count;
    const char *title; /* one line for people: what was pinned */
};

/* Holds the objects, then writes the pin, in place of one of that name. *missing: objects that are
 * not there. Names have letters, digits and . _ - */
struct us_error *us_cache_pin(struct us_store *store, const char *name,
                              const struct us_pin_list *list, size_t *missing) US_NODISCARD;
/* US_MISSING when there is no such pin. */
struct us_error *us_cache_unpin(struct us_store *store, const char *name) US_NODISCARD;

struct us_pin {
    char *name, *title;
    struct us_digest *objects, *keys;
    size_t object_count, key_count;
    int64_t when;            /* seconds since 1970 */
    uint64_t bytes, missing; /* of its objects; those that are not there */
};

/* All pins by name; us_pins_finish frees them. A pin that cannot be read is an error. */
struct us_error *us_cache_pins(struct us_store *store, struct us_pin **pins,
                               size_t *count) US_NODISCARD;
void us_pins_finish(struct us_pin *pins, size_t count);

/* -- checking; struct us_cache_check is in cache.h */

struct us_check_options {
    double sample; /* part of the objects and of packed records to read, above 0; 1: all of them */
    void (*progress)(void *context, const char *doing, uint64_t done, uint64_t of);
    void *context;
};

/* Reads objects and records and checks them, on all cores; heals what it can. */
struct us_error *us_cache_check(struct us_store *store, const struct us_check_options *options,
                                struct us_cache_check *check) US_NODISCARD;

struct us_cache_rebuilt {
    uint64_t records, objects; /* that stand */
};

/* Makes the packs' tables and what the local index can be told from the cache anew. */
struct us_error *us_cache_reindex(struct us_store *store,
                                  struct us_cache_rebuilt *rebuilt) US_NODISCARD;

/* -- counting */

/* The results of a node type in a show, as the records say. */
struct us_cache_type {
    char *type, *show; /* "" */
    struct us_cache_count objects;
    uint64_t records;
    double seconds; /* of work that made them */
    int64_t used;   /* the last use, seconds since 1970; 0: never */
};

/* By show, then most bytes first; what no record names has the type "". us_cache_types_finish frees
 * them. */
struct us_error *us_cache_types(struct us_store *store, struct us_cache_type **types,
                                size_t *count) US_NODISCARD;
void us_cache_types_finish(struct us_cache_type *types, size_t count);

/* Runs that use the cache now, on any host. */
struct us_error *us_cache_runs(struct us_store *store, size_t *runs) US_NODISCARD;

#endif
