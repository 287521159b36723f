/* What the files about records share. A record is looked for in the packs by their tables, and in
 * a table in memory of what was read of the logs so far.
 *
 * `lock` guards all of it. A file is forgotten when its name is gone; who still reads from it holds
 * a reference. */
#ifndef US_CACHE_RECORDS_INTERNAL_H
#define US_CACHE_RECORDS_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "cache/cache_internal.h"
#include "cache/pack.h"
#include "cache/record_entry.h"
#include "cache/record_scan.h"
#include "cache/record_table.h"
#include "cache/records.h"

enum { SMALL_OBJECT = 4096, RECORD_NAME = 128 };

struct us_record_file {
    char *name; /* in records/ */
    int fd;
    uint64_t inode, entry_inode; /* of the file; as its folder says (0: not seen there yet) */
    bool is_pack, mine, listed, gone;
    bool final;      /* nothing more will be written to it */
    bool unreadable; /* said so once */
    int references;
    uint64_t read_to;  /* known good so far; of our own log, where the next entry goes */
    int64_t gap_since; /* when damage was first seen in a log that may still be on its way; ns */
    struct us_pack pack;
};

struct us_waiting {
    struct us_entry entry; /* once it is in the table, without payload and note */
    bool in_table;
};

struct us_records {
    pthread_mutex_t lock;
    struct us_record_file **files;
    size_t count, capacity;
    struct us_record_table table;
    struct us_record_file *own; /* the log of this store, one of `files`; NULL before the first */
    bool dirty;                 /* something was appended and not synced */
    bool remote, old_layout;
    uint64_t folder_inode;
    int64_t folder_time, listed_at; /* ns; 0: to be listed */
    int64_t refreshed_at;           /* ns of the monotonic clock */
    _Atomic uint64_t asked;         /* raised by who must not believe a miss that is older */
    uint64_t answered;
    struct us_str later; /* entries that wait for the next write; only this store finds them before:
                            rows of the table without a file lie here */
    struct us_waiting *waiting; /* what they are */
    size_t waiting_count, waiting_capacity;
    int64_t own_seen; /* when our log was last seen under its name; ns of the monotonic clock */
    uint8_t *entry;   /* the one read last */
    size_t entry_capacity;
    struct us_digest generation; /* the last told */
    _Atomic uint64_t damages;    /* reported by this store */
    uint64_t opens;              /* of files and of the folder; tests look at it */
};

/* With the lock held, all that follows but where it says otherwise. */

enum us_freshness { US_FRESH_ENOUGH, US_FRESH_NOW };
/* Learns what others wrote: FRESH_ENOUGH does nothing within a few hundredths of a second of the
 * last time, unless somebody asked since. True when it looked. */
bool us_records_refresh(struct cache *cache, enum us_freshness freshness);

/* The entry that stands, checked and decoded into `entry`, whose bytes last until the lock is
 * released; false: none. Damage met on the way is reported. */
bool us_records_find(struct cache *cache, const struct us_digest *key, enum us_entry_kind kind,
                     struct us_entry *entry, struct us_found *found);
/* The same without reading the entry itself. */
bool us_records_locate(struct cache *cache, const struct us_digest *key, enum us_entry_kind kind,
                       struct us_found *found);

/* Takes what an entry says into the table. */
void us_records_absorb(struct us_records *records, struct us_record_file *file,
                       const struct us_scanned *scanned);
/* Reads a log, or a pack whose table is damaged, as far as it goes. */
void us_records_read_on(struct cache *cache, struct us_record_file *file);
/* Copies damaged bytes to quarantine/ and says so; false when that was done before, by anybody.
 * Needs no lock. */
bool us_records_damage(struct cache *cache, const struct us_record_file *file, uint64_t offset,
                       uint64_t size);
/* A pack's table is not to be trusted: reports it, and reads the entries. */
void us_records_lose_table(struct cache *cache, struct us_record_file *file);
void us_records_let_go(struct us_record_file *file);

/* Appends to this store's log, which it makes when there is none, and takes the entry into the
 * table. `entry`'s time is set. */
struct us_error *us_records_append(struct cache *cache, struct us_entry *entry) US_NODISCARD;
/* The same, but it is written, and found by others, with what is appended next, or in a few
 * seconds. */
struct us_error *us_records_append_later(struct cache *cache, struct us_entry *entry) US_NODISCARD;
/* Writes an end to our log and leaves it. */
void us_records_seal(struct cache *cache);
/* Makes what was appended lie on stable storage; takes the lock itself. On network file systems
 * others see it from then on. */
void us_records_sync(struct cache *cache);
/* True when nothing more will be written to the log of that name; `now` by the file server's clock,
 * `touched` when it was last. */
bool us_records_is_dead(const char *name, int64_t touched, int64_t now);

/* Records as files under actions/, as they were kept before; bytes NULL when there is none. */
struct us_error *us_old_record_find(struct cache *cache, const struct us_digest *key,
                                    uint8_t **bytes, size_t *size) US_NODISCARD;
/* *gone: there was one. */
struct us_error *us_old_record_drop(struct cache *cache, const struct us_digest *key,
                                    bool *gone) US_NODISCARD;
struct us_error *us_old_records_each(struct cache *cache, us_record_visit *visit,
                                     void *context) US_NODISCARD;

/* A file as it was at one time, to be read without the lock. */
struct us_record_part {
    struct us_record_file *file; /* a reference to it; its fd, name and kind do not change */
    uint64_t end;                /* of the entries known then */
    bool final;
    char *covers; /* a copy of the pack's */
    size_t cover_bytes;
};
/* All files as they are now; takes the lock itself. */
size_t us_records_snapshot(struct cache *cache, struct us_record_part **parts);
void us_records_end_snapshot(struct cache *cache, struct us_record_part *parts, size_t count);

/* What is packed into one. */
struct us_merge {
    struct cache *cache;
    struct us_record_part *inputs;
    size_t count;
    bool everything; /* there are no other files */
    bool (*keep)(void *context, const struct us_record_view *view);
    void *context;
    uint64_t dropped, bytes_gone; /* entries that stand no more; what the files are smaller by */
    bool refused;                 /* `keep` refused one that stood */
};
/* Writes the pack and removes the inputs; no lock. */
struct us_error *us_pack_merge(struct us_merge *merge) US_NODISCARD;

/* Without the lock: a new generation. */
struct us_error *us_records_next_generation(struct cache *cache) US_NODISCARD;
/* Packs logs when there are many or much in them; no lock. Trouble is only a later try's. */
void us_records_tidy(struct cache *cache);

/* A name in records/ that no other store uses. */
void us_records_name(const char *ending, char name[RECORD_NAME]);
int64_t us_clock_ns(clockid_t clock);
void us_records_path(const struct cache *cache, const char *name, char path[CACHE_PATH]);

#endif
