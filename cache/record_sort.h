/* The order of rows in a pack: by key, kind, and which of them stands. */
#ifndef US_CACHE_RECORD_SORT_H
#define US_CACHE_RECORD_SORT_H

#include "cache/record_table.h"

struct us_sorted_row {
    uint64_t prefix; /* the key's first bytes: most comparisons need no look at the row */
    const struct us_row *row;
};

/* All of them in order; each of `count` begins with its us_row, `stride` bytes after the one
 * before. us_malloc'ed. */
struct us_sorted_row *us_rows_sort(const void *rows, size_t count, size_t stride);

#endif
