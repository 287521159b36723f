/* What the files of cache/ share. */
#ifndef US_CACHE_CACHE_INTERNAL_H
#define US_CACHE_CACHE_INTERNAL_H

#include <pthread.h>
#include <sys/stat.h>

#include "cache/cache.h"
#include "cache/index.h"
#include "cache/live.h"

enum { CACHE_PATH = 4096, CACHE_FOLDER_MAX = 3900 };

struct us_lease;
struct us_records;
struct us_unsettled;

struct cache {
    struct us_store store;
    char *folder;
    bool remote; /* on a network file system */
    struct us_index index;
    struct us_records *records;
    pthread_mutex_t lock; /* for all that follows */
    pthread_cond_t wake;
    struct us_lease *leases;        /* held by this process */
    struct us_unsettled *unsettled; /* files just written, to be remembered */
    pthread_t keeper;               /* beats for the leases and flushes the index */
    bool keeper_runs, closing, swept;
    int claim; /* who we are, in tmp/; what leases are links to; -1: not made yet */
    char *claim_path;
    uint64_t claim_inode;
    int clock; /* a file whose time stamp tells the file server's clock; -1: not made yet */
    struct us_live live; /* this store among those that use the cache */
};

struct cache *us_cache_of(struct us_store *store);

/* <folder>/<room>/ab/<hex> */
void us_cache_fan_path(const struct cache *cache, const char *room, const struct us_digest *digest,
                       char path[CACHE_PATH]);
/* <folder>/<room>/<name>; name may be "" */
void us_cache_room_path(const struct cache *cache, const char *room, const char *name,
                        char path[CACHE_PATH]);
/* A name in tmp/ that no other process or thread uses. */
void us_cache_temporary(const struct cache *cache, char path[CACHE_PATH]);
struct us_error *us_cache_make_rooms(const struct cache *cache) US_NODISCARD;

/* From errno, naming the path, with a hint for a full disk. */
struct us_error *us_cache_errno(const struct cache *cache, int number, const char *doing,
                                const char *path) US_NODISCARD;
void us_cache_warn(struct cache *cache, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* log.c: operations of the store */
void us_cache_log_add(struct us_store *store, const char *name, const char *line);
char *us_cache_log_read(struct us_store *store, const char *name, int64_t *first);

struct us_part {
    const void *bytes;
    size_t size;
};

/* Writes the parts to a temporary file, fsyncs and links it to `path`. *won false: it was there.
 * `stable`: its name survives a power failure too when this returns; without, a record may be lost,
 * which costs making it again. */
struct us_error *us_cache_publish(struct cache *cache, const char *path,
                                  const struct us_part *parts, size_t count, bool stable,
                                  bool *won) US_NODISCARD;
/* True for a file in tmp/ whose process is gone, or that is very old. */
bool us_cache_is_leftover(const char *path, const char *name);
/* The same for a file being written at `temporary`, which is closed and removed in any case;
 * `failed` is 0 or what went wrong while writing it. */
struct us_error *us_cache_publish_file(struct cache *cache, int fd, int failed,
                                       const char *temporary, const char *path) US_NODISCARD;
/* Makes an empty file, or finds it there. */
struct us_error *us_cache_mark(struct cache *cache, const char *path) US_NODISCARD;

/* Reads a whole file; *bytes NULL when there is none. *trouble is NULL, or says why the file is
 * there but cannot be read (static text). `info` is of the file read. */
struct us_error *us_cache_read(struct cache *cache, const char *path, uint8_t **bytes, size_t *size,
                               struct stat *info, const char **trouble) US_NODISCARD;

/* Moves a damaged file aside and says so once: only when `path` still is the file of `info`. */
void us_cache_quarantine(struct cache *cache, const char *path, const struct stat *info,
                         const char *why);

/* objects */
bool us_cache_has_object(struct us_store *store, const struct us_digest *digest);
struct us_error *us_cache_get_object(struct us_store *store, const struct us_digest *digest,
                                     uint8_t **bytes, size_t *size);
/* The same for its care: without holding it, which would make it look used. */
struct us_error *us_cache_read_object(struct cache *cache, const struct us_digest *digest,
                                      uint8_t **bytes, size_t *size);
struct us_error *us_cache_put_object(struct us_store *store, const struct us_digest *digest,
                                     const void *bytes, size_t size);

/* records */
struct us_error *us_cache_find_record(struct us_store *store, const struct us_digest *key,
                                      uint8_t **bytes, size_t *size);
struct us_error *us_cache_put_record(struct us_store *store, const struct us_digest *key,
                                     const struct us_record_note *note, const void *bytes,
                                     size_t size, bool *won);
struct us_error *us_cache_drop_record(struct us_store *store, const struct us_digest *key);
struct us_digest us_cache_generation(struct us_store *store);
void us_records_open(struct cache *cache);
/* Ends this store's log, and packs logs when there are many. */
void us_records_settle(struct cache *cache);
void us_records_close(struct cache *cache);
/* Believes no miss from before this call. */
void us_records_ask(struct cache *cache);
/* What leases and the keeper want done with what was appended: so that others see it; so that it
 * lasts. */
void us_records_show(struct cache *cache);
void us_records_tick(struct cache *cache);

/* Called for each file of a room (objects) that has 32 hex digits as its name. */
typedef struct us_error *us_file_visit(struct cache *cache, const char *path,
                                       const struct us_digest *digest, void *context);
struct us_error *us_cache_each_file(struct cache *cache, const char *room, us_file_visit *visit,
                                    void *context) US_NODISCARD;

/* source files */
/* The kind of file system whose stamps are of the kernel's timer tick: local ones; of others
 * nothing is known. */
bool us_cache_stamps_are_fine(long system_type);
struct us_error *us_cache_file_digest(struct us_store *store, const char *path,
                                      struct us_digest *digest);
void us_cache_file_digests(struct us_store *store, const char *const *paths, size_t count,
                           struct us_digest *digests, struct us_error **errors);
void us_cache_remember_file(struct us_store *store, const char *path,
                            const struct us_digest *digest);
void us_cache_file_states(struct us_store *store, const char *const *paths, size_t count,
                          struct us_digest *states);
/* Remembers files whose time stamps have settled by now; `wait`: the others too. */
void us_cache_settle(struct cache *cache, bool wait);

/* leases */
struct us_error *us_cache_lease(struct us_store *store, const struct us_digest *key, bool *taken);
char *us_cache_lease_holder(struct us_store *store, const struct us_digest *key);
void us_cache_release(struct us_store *store, const struct us_digest *key);
bool us_cache_holds_lease(struct cache *cache, const struct us_digest *key);
/* Beats for leases, syncs records and writes the index, now and then. */
void us_cache_start_keeper(struct cache *cache);
void us_cache_stop_keeper(struct cache *cache);
void us_cache_beat(struct cache *cache);
/* The file server's time now, in ns since 1970; false when it cannot be told. */
bool us_cache_server_time(struct cache *cache, int64_t *ns);
/* True on a file system whose files other hosts may write. */
bool us_cache_is_remote(const char *folder);
/* Removes the file that leases were links to. */
void us_cache_claim_finish(struct cache *cache);
/* Releases what is held. */
void us_cache_leases_finish(struct cache *cache);
/* The keeper's beat, in seconds, and how many may be missed; tests shorten it. */
extern double us_cache_beat_seconds;

#endif
