/* What lies in the cache, in memory: one item an object, in 256 drawers by first byte of the
 * digest, each sorted. 56 bytes an object. */
#ifndef US_CACHE_STOCK_H
#define US_CACHE_STOCK_H

#include "cache/cache_internal.h"
#include "cache/records.h"

enum us_stock_flag {
    US_STOCK_NAMED = 1 << 0,  /* a record that stands names it */
    US_STOCK_PINNED = 1 << 1, /* a pin does */
    US_STOCK_INLINE = 1 << 2, /* kept among the records: has no file */
    US_STOCK_MARKED = 1 << 3, /* `sum` is its marker's */
    US_STOCK_ORPHAN = 1 << 4, /* a marker whose object is gone */
    US_STOCK_VICTIM = 1 << 5,
    US_STOCK_STAYS = 1 << 6, /* in a log that may yet be written to: cannot go now */
};

struct us_stock_item {
    struct us_digest digest, sum;
    uint64_t size;
    uint32_t used; /* last use, seconds since 1970 */
    float seconds; /* to make it again; the most that a record says */
    uint16_t type; /* number in `types`, once named */
    uint8_t flags;
};

struct us_stock_drawer {
    struct us_stock_item *items;
    size_t count, capacity;
};

/* A node type of a show, as the records' notes say. */
struct us_stock_type {
    char *type, *show;
    uint64_t records, objects, bytes;
    double seconds; /* of work whose results lie here */
    uint32_t used;  /* the last use of one of them */
};

struct us_stock {
    struct us_stock_drawer drawers[256];
    struct us_stock_type *types; /* the first is of what no record names */
    size_t type_count, type_capacity;
    uint64_t objects, object_bytes; /* orphans not counted; those among the records are */
    uint64_t records, record_bytes; /* bytes on disk, of small objects too */
    uint64_t silent;                /* records whose note says nothing */
    int64_t oldest;                 /* record's time; seconds since 1970 */
};

/* Reads the folders and the records. */
struct us_error *us_stock_take(struct cache *cache, struct us_stock *stock) US_NODISCARD;
void us_stock_finish(struct us_stock *stock);

/* The object's item, or NULL. */
struct us_stock_item *us_stock_find(const struct us_stock *stock, const struct us_digest *digest);

/* Sums up objects by the type that names them. */
void us_stock_sum(struct us_stock *stock);

#endif
