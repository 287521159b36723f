/* What is known of entries: where they lie, and which were dropped. In memory; not locked. */
#ifndef US_CACHE_RECORD_TABLE_H
#define US_CACHE_RECORD_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "runtime/base/hash.h"

struct us_record_file;

struct us_row {
    struct us_digest key;
    int64_t when;
    uint64_t sum, offset; /* half of the entry's checksum; where it begins in its file */
    uint32_t size, kind;
};

struct us_found {
    struct us_row row;
    struct us_record_file *file; /* NULL: it waits to be written */
};

struct us_drop {
    struct us_digest key;
    uint64_t sum;
    uint64_t used;
};

struct us_table_slot {
    uint32_t row, tag; /* an index + 1, 0: empty; some of the key's bits */
};

struct us_record_table {
    struct us_found *rows; /* in the order they came; a key may have several */
    size_t count, capacity;
    struct us_table_slot *slots; /* open addressing */
    size_t slot_count;
    struct us_drop *drops;
    size_t drop_count, drop_capacity;
};

void us_table_finish(struct us_record_table *table);
/* Unless it was dropped. */
void us_table_add(struct us_record_table *table, const struct us_row *row,
                  struct us_record_file *file);
/* The entry with this checksum does not stand, wherever it lies, from now on. */
void us_table_drop(struct us_record_table *table, const struct us_digest *key, uint64_t sum);
bool us_table_dropped(const struct us_record_table *table, const struct us_digest *key,
                      uint64_t sum);
/* The next row of that key and kind, from *cursor on, which is 0 at first; NULL when no more. */
const struct us_found *us_table_next(const struct us_record_table *table,
                                     const struct us_digest *key, uint32_t kind, size_t *cursor);
/* The entry that waited was written there. */
void us_table_place(struct us_record_table *table, const struct us_digest *key, uint64_t sum,
                    struct us_record_file *file, uint64_t offset);
/* Forgets the rows of a file. */
void us_table_forget(struct us_record_table *table, const struct us_record_file *file);

/* True when of two entries of one key `a` is the one that stands. Says the same in every process:
 * the earlier; of the same nanosecond, the smaller checksum. */
bool us_row_before(const struct us_row *a, const struct us_row *b);

#endif
