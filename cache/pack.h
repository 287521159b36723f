/* A pack: entries, then one entry of kind table, by which any of them is found in two reads. Packs
 * are written once and never changed.
 *
 * Inside the table, from its header on: rows of 48 bytes (key, when, half sum, offset, size, kind)
 * by key and kind; then for each 64 of them the first row's key and kind, and half the checksum of
 * the 64; the drops (key, half sum) that still matter; the names of the files that the pack stands
 * for, which are not to be read beside it; and the last 64 bytes: magic, offset of the table,
 * counts of rows and drops, bytes of names, zero, XXH3-128 of all that follows the rows. */
#ifndef US_CACHE_PACK_H
#define US_CACHE_PACK_H

#include "cache/record_table.h"
#include "runtime/base/error.h"
#include "runtime/base/str.h"

struct us_fence {
    struct us_digest key;
    uint64_t kind, sum;
};

struct us_pack {
    uint64_t table_at, row_count; /* table_at also ends the entries */
    struct us_fence *fences;
    size_t fence_count;
    struct us_drop *drops;
    size_t drop_count;
    char *covers; /* names, each with its NUL */
    size_t cover_bytes;
};

/* Reads all of a table but the rows; false when it is not whole. */
bool us_pack_open(int fd, uint64_t size, struct us_pack *pack);
void us_pack_finish(struct us_pack *pack);

enum us_pack_answer { US_PACK_NONE, US_PACK_FOUND, US_PACK_DAMAGED };
enum us_pack_answer us_pack_find(int fd, const struct us_pack *pack, const struct us_digest *key,
                                 uint32_t kind, struct us_row *row);
/* True when every row is as it was written. */
bool us_pack_check(int fd, const struct us_pack *pack);
/* The same, and visits the rows by key, up to where that is not so. */
bool us_pack_each(int fd, const struct us_pack *pack,
                  void (*visit)(void *context, const struct us_row *row), void *context);

struct us_pack_writer {
    int fd, failed; /* errno */
    uint64_t at;    /* where the next byte goes */
    struct us_str buffer;
    struct us_row *rows;
    size_t row_count, row_capacity;
    struct us_drop *drops;
    size_t drop_count, drop_capacity;
    struct us_str covers;
};

/* Trouble is kept in `failed`, and nothing is written any more. */
void us_pack_add(struct us_pack_writer *writer, const void *bytes, size_t size,
                 const struct us_row *row);
void us_pack_add_drop(struct us_pack_writer *writer, const void *bytes, size_t size,
                      const struct us_drop *drop);
/* Writes the table. */
void us_pack_end(struct us_pack_writer *writer);
void us_pack_writer_finish(struct us_pack_writer *writer);

#endif
