/* The cache on a file system that many processes and hosts may share; implements
 * runtime/api/store.h. docs/cache.md has the layout and its promises.
 *
 *     <folder>/objects/ab/<digest>        the bytes as they are: an EXR, a JSON, a PNG
 *     <folder>/objects/ab/<digest>.<sum>  empty: "bytes with checksum <sum> are this object"; left
 *                                         out where the digest is itself the checksum
 *     <folder>/records/<writer>.log       records and small objects, appended by one process
 *     <folder>/records/<name>.pack        the same of ended processes, with a table
 *     <folder>/records/generation         made anew whenever a record is taken away
 *     <folder>/leases/<key>               who is making it now: a link to a claim in tmp
 *     <folder>/attempts/<key>/            working folders of long tasks
 *     <folder>/live, pins, trash          who uses it; never collected; being collected
 *     <folder>/tmp, quarantine, index     being written; found damaged; the local index
 *
 * Objects and packs are 0440 in folders of 0750, written to tmp, fsynced and linked to their name:
 * a reader never sees half a file. The index is LMDB and local: it lies in
 * $XDG_STATE_HOME/understudy when that is set or the cache is on a network file system, else in the
 * cache. A store is for one process: it must not be used after fork. */
#ifndef US_CACHE_CACHE_H
#define US_CACHE_CACHE_H

#include "runtime/api/store.h"

/* Makes the folder when it is not there. */
struct us_error *us_cache_open(const char *folder, struct us_store **store) US_NODISCARD;
/* Ends held leases and writes the index. NULL is fine. */
void us_cache_close(struct us_store *store);

enum us_cache_kind {
    US_CACHE_EXR,
    US_CACHE_PNG,
    US_CACHE_JSON,
    US_CACHE_SAFETENSORS,
    US_CACHE_OTHER,
    US_CACHE_KINDS
};

struct us_cache_count {
    uint64_t files, bytes;
};

struct us_cache_stats {
    struct us_cache_count objects[US_CACHE_KINDS]; /* by what their first bytes say */
    struct us_cache_count inlined;                 /* small ones, kept among the records */
    struct us_cache_count records, quarantined, attempts;
    struct us_cache_count trash; /* of a gc at work, or of one that was killed */
};

struct us_error *us_cache_stats(struct us_store *store, struct us_cache_stats *stats) US_NODISCARD;
const char *us_cache_kind_name(enum us_cache_kind kind);

struct us_cache_check {
    uint64_t objects, records, bytes; /* read */
    uint64_t damaged;                 /* moved to quarantine, each reported once through warn */
    uint64_t modes;     /* objects that somebody could have written to: made read-only again */
    uint64_t orphans;   /* markers whose object is gone: removed */
    uint64_t leftovers; /* files of killed processes: removed */
};

/* Reads everything and checks it; cache/care.h has more of it. */
struct us_error *us_cache_verify(struct us_store *store, struct us_cache_check *check) US_NODISCARD;

/* Calls `visit` with the name of every object, or of every record and its note; its error ends
 * that. What is published or taken away meanwhile may be missed or named. It may call the store. */
typedef struct us_error *us_cache_visit(void *context, const struct us_digest *name,
                                        const struct us_record_note *note);
struct us_error *us_cache_each_object(struct us_store *store, us_cache_visit *visit,
                                      void *context) US_NODISCARD;
struct us_error *us_cache_each_record(struct us_store *store, us_cache_visit *visit,
                                      void *context) US_NODISCARD;

#endif
