/* A cache in the scratch folder, filled for tests of its care. */
#ifndef US_TESTS_SUPPORT_CARE_CACHE_H
#define US_TESTS_SUPPORT_CARE_CACHE_H

#include "cache/care.h"

enum { SIZE = 20000, DAY = 24 * 3600 };

extern char care_folder[512]; /* of the cache opened last */

struct us_store *care_open(const char *name);

/* What care_put makes of a type and a number. */
struct us_digest care_digest(const char *type, int n);
/* An object with a marker, and a record of `seconds` seconds of work, or none below 0. */
struct us_digest care_put(struct us_store *store, const char *type, int n, size_t size,
                          double seconds);
struct us_error *care_try_put(struct us_store *store, const char *type, int n, size_t size,
                              double seconds) US_NODISCARD;
/* So many objects "grade" of SIZE bytes, used 1 to 50 hours ago. */
void care_fill(struct us_store *store, int count);
void care_object_path(const struct us_digest *digest, char path[1024]);
bool care_is_there(const struct us_digest *digest);
/* Last used so many seconds ago. */
void care_age(const struct us_digest *digest, double seconds);
int care_files_in(const char *room);
int care_markers(void);

/* A gc that must succeed; us_gc_report_finish frees. */
struct us_gc_report care_collect(struct us_store *store, uint64_t max_bytes, double keep,
                                 bool dry_run);
/* Stamps of the tick in which a gc begins count as in use: waits for the next. */
void care_next_tick(void);

#endif
