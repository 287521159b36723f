/* A second, distant tier behind any store: results that the local store lacks are looked for on a
 * server, results that are made are uploaded in the background. docs/cache.md, "Remote tier", has
 * the layout, the settings and the limits.
 *
 *     <base>/cas/<ab>/<digest>   an object    <base>/ac/<ab>/<key>   a record
 *
 * Each file carries a header of ours with kind, key, length and checksum; what does not fit is
 * counted as missing and reported once, naming the URL. The server is never needed: what it costs
 * at worst is bounded (cache/remote_breaker.c), after which the local store goes on alone. */
#ifndef US_CACHE_REMOTE_H
#define US_CACHE_REMOTE_H

#include "runtime/api/store.h"

struct us_remote_options {
    const char *url; /* http://HOST/PATH, https://HOST/PATH or s3://BUCKET/PREFIX */
    bool no_reads, no_writes;
    bool ask_only; /* has_object asks whether the object is there and does not fetch it */
};

/* Wraps `local`, which then belongs to *store and is closed with it. An error (US_USAGE: the URL or
 * a setting is wrong; US_MISSING: no libcurl on this host) leaves `local` to the caller. Nothing is
 * sent before the first question.
 *
 * Where it goes beyond the local store: has_object fetches the object, because only what lies in
 * the local store can be promised to stay; with ask_only it is the server's word that is returned.
 * A record that was dropped is not fetched again by this store. */
struct us_error *us_remote_open(struct us_store *local, const struct us_remote_options *options,
                                struct us_store **store) US_NODISCARD;

/* Waits until everything put so far is uploaded or given up; `seconds` at most when it is not
 * negative: then the rest is given up. */
void us_remote_flush(struct us_store *store, double seconds);
/* Flushes, then closes the local store too. NULL is fine. */
void us_remote_close(struct us_store *store);

struct us_remote_counts {
    uint64_t objects_sent, records_sent, bytes_sent;
    uint64_t objects_fetched, records_fetched, bytes_fetched;
    uint64_t there;    /* asked about before sending: the server has it */
    uint64_t given_up; /* objects and records that were to be sent and did not get there */
    uint64_t waiting;  /* to be sent */
    double lost;       /* seconds that failed and slow requests cost */
    bool off;          /* nothing is asked any more */
};
void us_remote_counts(struct us_store *store, struct us_remote_counts *counts);

/* Uploads everything that the local store holds, a us_cache_open'ed one: objects first, then
 * records. US_RETRY when not all of it could be. */
struct us_error *us_remote_push(struct us_store *store) US_NODISCARD;

#endif
