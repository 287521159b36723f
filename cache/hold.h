/* Holding what a run was told about, and taking away what nobody holds.
 *
 * A file's mtime is its stamp: the last use, renewed by whoever holds it when it is older than an
 * hour. gc takes a file away in two steps: it renames it to trash/<name>, then looks at its stamp
 * again; a stamp renewed since the gc began puts it back, else it is unlinked. Who looks for a file
 * looks into trash/ too, and takes it back from there by rename. docs/cache.md has the proof. */
#ifndef US_CACHE_HOLD_H
#define US_CACHE_HOLD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "runtime/base/hash.h"

struct cache;

/* True: the file (an object, a marker, or the folder of an attempt) is there, and gc takes nothing
 * of that name away while this store is open. Registers the store as living. */
bool us_cache_hold(struct cache *cache, const char *path);

/* True when it is there or was taken back from the trash; no stamp is renewed. */
bool us_cache_seek(struct cache *cache, const char *path);

/* Stamps that could not be written to files of other users; 0: none here. */
int64_t us_cache_local_stamp(struct cache *cache, const char *path);

/* The mtime in nanoseconds since 1970. What lies before that, or beyond 2255, is the nearest that
 * does not: stamps can be subtracted from each other. */
int64_t us_stamp_of(const struct stat *info);

enum us_taken { US_TAKEN, US_TAKEN_IN_USE, US_TAKEN_GONE, US_TAKEN_FAILED };

/* Where a file goes when it is taken away. */
void us_cache_trash_path(const struct cache *cache, const char *path, char *trash);

/* The first step; US_TAKEN: it lies in the trash. errno is set for US_TAKEN_FAILED. */
enum us_taken us_trash_move(struct cache *cache, const char *path);
/* The second: unlinks it, or puts it back when it was stamped at `begun` or later. A folder is
 * removed with all it holds. */
enum us_taken us_trash_empty(struct cache *cache, const char *path, int64_t begun);

#endif
