/* The local index: small values by name in LMDB, for what is only worth remembering. Losing it
 * loses no result, so no call fails: trouble makes it forget. Each value has a checksum; one that
 * is wrong, or a file of another kind, and the whole index is started anew. Safe from any thread;
 * other processes may share the folder. Opened when first used; new values are kept in memory and
 * written in batches. */
#ifndef US_CACHE_INDEX_H
#define US_CACHE_INDEX_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "runtime/base/hash.h"

struct us_index_entry {
    struct us_digest key;
    uint8_t *bytes;
    size_t size;
    bool used;
};

struct us_index {
    char *folder;
    pthread_mutex_t lock;
    bool tried; /* to open */
    void *env;  /* MDB_env; NULL when the index cannot be used */
    void *reader;
    unsigned table;
    struct us_index_entry *pending; /* open addressing; a power of two */
    size_t pending_count, pending_capacity;
    time_t pending_since;
};

/* Takes over `folder` (us_malloc'ed). */
void us_index_init(struct us_index *index, char *folder);
/* Writes what is pending and closes. */
void us_index_finish(struct us_index *index);

/* The value, us_malloc'ed, or NULL. */
uint8_t *us_index_get(struct us_index *index, const struct us_digest *key, size_t *size);
/* Values of `size` bytes each of many keys in one transaction: found[i] says whether the i-th is in
 * `values`. */
void us_index_get_many(struct us_index *index, const struct us_digest *keys, size_t count,
                       size_t size, void *values, bool *found);
void us_index_put(struct us_index *index, const struct us_digest *key, const void *bytes,
                  size_t size);
/* Writes what has been pending for a while. */
void us_index_tick(struct us_index *index);

#endif
