/* The care of the records: going through all of them, checking, and packing them anew. */
#ifndef US_CACHE_RECORDS_H
#define US_CACHE_RECORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/api/store.h"

struct cache;

/* A record, or a small object kept among the records (then the key is its digest and the note is
 * empty). What it points to is valid during the call that got it. */
struct us_record_view {
    struct us_digest key;
    struct us_record_note note;
    int64_t when; /* seconds since 1970 */
    size_t bytes; /* on disk */
    bool is_object;
    bool stays; /* in a log that may yet be written to: us_records_compact leaves it */
};

/* May call the store; an error ends the round and is handed on. */
typedef struct us_error *us_record_visit(void *context, const struct us_record_view *view);

/* Every record that stands, once. */
struct us_error *us_records_each(struct cache *cache, us_record_visit *visit,
                                 void *context) US_NODISCARD;
/* Every small object kept among the records, once. */
struct us_error *us_records_each_object(struct cache *cache, us_record_visit *visit,
                                        void *context) US_NODISCARD;

/* Rewrites packs, this process's log and those of dead writers into one pack, without what `keep`
 * refuses (NULL keeps all; it is asked about records and objects that stand, and must not call the
 * store), without dropped and damaged entries. Says how many entries and bytes of file went. What
 * living writers have in their logs stays. Does nothing, with 0 entries, while another process
 * does the same. */
struct us_error *us_records_compact(struct cache *cache,
                                    bool (*keep)(void *context, const struct us_record_view *view),
                                    void *context, uint64_t *entries, uint64_t *bytes) US_NODISCARD;

/* Reads and checks every entry; counts records that stand, the bytes read, and what is damaged and
 * was not reported before. The damaged is copied to quarantine/, reported once, and healed by
 * rewriting the file without it. */
struct us_error *us_records_verify(struct cache *cache, uint64_t *records, uint64_t *bytes,
                                   uint64_t *damaged) US_NODISCARD;

/* Which entries to read, by their keys. */
struct us_record_choice {
    bool (*chosen)(const void *context, const struct us_digest *key);
    const void *context;
};

struct us_record_counts {
    uint64_t records, objects; /* that stand, of those read */
    uint64_t bytes, damaged;
};

/* The same of the entries that are chosen (NULL: all of them); what no pack has yet is read in any
 * case. */
struct us_error *us_records_check(struct cache *cache, const struct us_record_choice *choice,
                                  struct us_record_counts *counts) US_NODISCARD;

/* Makes packs and their tables anew from what the entries themselves say. */
struct us_error *us_records_rebuild(struct cache *cache) US_NODISCARD;

#endif
