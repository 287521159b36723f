/* What the runtime asks of a cache; cache/ implements it, tests may too.
 *
 * Objects are immutable bytes named by the digest of the value they hold (not of the bytes: an
 * image is stored as EXR, its digest is of its pixels). Records are small and say what a key came
 * to; the first writer of a record wins. All calls are safe from any thread and any process. */
#ifndef US_RUNTIME_API_STORE_H
#define US_RUNTIME_API_STORE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"
#include "runtime/base/hash.h"

struct us_store;

/* What a record says of itself for the care of the cache: statistics, and what is kept longest. */
struct us_record_note {
    const char *type, *show;         /* node type; the graph's show, or "" */
    double seconds;                  /* to make it again, with what is above it and not stored */
    const struct us_digest *objects; /* the stored objects that it names, at most 16 */
    const uint64_t *sizes;           /* their bytes, one each */
    size_t object_count;
    /* Whoever else writes a record under the key just now says the same: a look at what others
     * wrote a moment ago is saved. */
    bool relaxed;
    /* And no other store is in a hurry to find it: it may be written with the next one, or in a few
     * seconds. */
    bool later;
};

enum { US_LOG_KEPT = 1000 };

struct us_store_ops {
    /* Reads a record: us_malloc'ed bytes, or *bytes = NULL when there is none. A damaged record is
     * quarantined, reported through `warn`, and counts as none. */
    struct us_error *(*find_record)(struct us_store *store, const struct us_digest *key,
                                    uint8_t **bytes, size_t *size);
    /* Publishes atomically. When another writer was first, *won is false and nothing changes. */
    struct us_error *(*put_record)(struct us_store *store, const struct us_digest *key,
                                   const struct us_record_note *note, const void *bytes,
                                   size_t size, bool *won);
    /* Removes a record that turned out to be useless (its object is gone for good, or damaged). */
    struct us_error *(*drop_record)(struct us_store *store, const struct us_digest *key);

    /* Equal at two times: no record was taken away in between, by anybody. */
    struct us_digest (*generation)(struct us_store *store);

    /* True: the object is there, and is not collected while this store is open. */
    bool (*has_object)(struct us_store *store, const struct us_digest *digest);
    /* Reads an object whole, checked against the checksum stored with it; *bytes = NULL when there
     * is none or it is damaged (then it is quarantined and reported through `warn`). */
    struct us_error *(*get_object)(struct us_store *store, const struct us_digest *digest,
                                   uint8_t **bytes, size_t *size);
    /* Publishes atomically, unless it is there; the object is on stable storage when this returns,
     * or it is small and lies with the records, before those put after it, which a power failure
     * may cut short. */
    struct us_error *(*put_object)(struct us_store *store, const struct us_digest *digest,
                                   const void *bytes, size_t size);

    /* Content digest of a source file, remembered by (device, inode, size, mtime, ctime) with the
     * racy-timestamp rule. US_MISSING when it is not there; US_FAILED when it changes while read.
     */
    struct us_error *(*file_digest)(struct us_store *store, const char *path,
                                    struct us_digest *digest);
    /* Without reading them: a digest of what each path is now (file or folder, its identity, size
     * and time stamps, or that there is nothing); zero where nothing can be relied on, because the
     * stamps are too young or cannot be had. Equal at two times: it was not changed. */
    void (*file_states)(struct us_store *store, const char *const *paths, size_t count,
                        struct us_digest *states);
    /* The same for many files at once: digests[i] and errors[i] (NULL: fine; else the caller's)
     * answer paths[i]. Several threads stat and read. */
    void (*file_digests)(struct us_store *store, const char *const *paths, size_t count,
                         struct us_digest *digests, struct us_error **errors);
    /* Tells the index what a file just written holds, so that it need not be read again. */
    void (*remember_file)(struct us_store *store, const char *path, const struct us_digest *digest);

    /* Path of a persistent folder for `key` (made on demand), us_malloc'ed. */
    struct us_error *(*workspace)(struct us_store *store, const struct us_digest *key,
                                  char **folder);

    /* Single flight. Takes the lease on `key`: *taken false when a living process has it. */
    struct us_error *(*lease)(struct us_store *store, const struct us_digest *key, bool *taken);
    void (*release)(struct us_store *store, const struct us_digest *key);
    /* Who has the lease, in words for people, us_malloc'ed; NULL: nobody. */
    char *(*lease_holder)(struct us_store *store, const struct us_digest *key);

    /* Small facts the index keeps between runs (durations, last record of a node): by name; a miss
     * gives NULL. Losing them loses no result. us_malloc'ed. */
    uint8_t *(*recall)(struct us_store *store, const char *name, size_t *size);
    void (*remember)(struct us_store *store, const char *name, const void *bytes, size_t size);

    /* Logs beside the index: lines of text, each of at most 4 KiB, in the order they came, numbered
     * from 1, of which the last US_LOG_KEPT are kept. A line is there for other processes at once
     * and costs one write; it is not synced, so that a power failure may lose the last ones. Losing
     * them loses no result. */
    void (*log_add)(struct us_store *store, const char *name, const char *line);
    /* What is kept, each line with its end, us_malloc'ed, and the number of the first; NULL: no
     * log. A line may be cut off or garbled. */
    char *(*log_read)(struct us_store *store, const char *name, int64_t *first);
};

struct us_store {
    const struct us_store_ops *ops;
    /* Called from any thread with one line about damage found and healed. */
    void (*warn)(void *context, const char *message);
    void *warn_context;
};

#endif
