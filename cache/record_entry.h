/* One entry of a log or pack of records, as bytes. Numbers are little-endian.
 *
 *     0 magic "USe1"    4 kind, objects, bytes of type, of show (one each)    8 size of it all
 *     16 key    32 when (ns since 1970)    40 seconds (double)    48 bytes of payload    52 zero
 *     56 check: half the XXH3-128 of what is before
 *     64 objects' digests, their sizes, type NUL show NUL, payload, zeros to 8 less 0 of them
 *     size - 16: XXH3-128 of all before
 *
 * Sizes are multiples of 8, so an entry begins at a multiple of 8 in its file. The check lets a
 * reader trust the size of an entry whose rest is damaged, and find the next one where it cannot.
 */
#ifndef US_CACHE_RECORD_ENTRY_H
#define US_CACHE_RECORD_ENTRY_H

#include "cache/records.h"
#include "runtime/base/str.h"

enum us_entry_kind {
    US_ENTRY_RECORD = 1,
    US_ENTRY_OBJECT,
    US_ENTRY_DROP,  /* payload: the checksum of the record that it takes away */
    US_ENTRY_TABLE, /* what ends a pack; cache/pack.h has its inside */
    US_ENTRY_END    /* its writer closed the log */
};

enum { US_ENTRY_HEADER = 64, US_ENTRY_SUM = 16, US_ENTRY_OBJECTS = 16 };

struct us_entry {
    enum us_entry_kind kind;
    struct us_digest key;
    int64_t when;               /* nanoseconds since 1970 */
    struct us_record_note note; /* texts and digests lie in the bytes decoded */
    uint64_t sizes[US_ENTRY_OBJECTS];
    const uint8_t *payload;
    size_t payload_size;
    uint64_t size;
    struct us_digest sum;
};

/* Appends an entry's bytes and says its checksum; of `entry`, size and sum are not read. A type or
 * show of more than 255 bytes is cut. */
void us_entry_encode(struct us_str *out, const struct us_entry *entry, struct us_digest *sum);

/* The header of a table of `size` bytes. */
void us_entry_table_header(uint64_t size, uint8_t header[US_ENTRY_HEADER]);

enum us_entry_state {
    US_ENTRY_FINE,
    US_ENTRY_CUT,    /* its header is fine, or not there whole; the rest is beyond what is there */
    US_ENTRY_BROKEN, /* its header is fine, so is its size; not the rest */
    US_ENTRY_GARBAGE /* no entry begins here */
};

/* `bytes` must be aligned for 8. Of a table only the header is looked at. */
enum us_entry_state us_entry_decode(const uint8_t *bytes, size_t available, struct us_entry *entry);

void us_entry_view(const struct us_entry *entry, struct us_record_view *view);
/* The half of a checksum that rows and drops are compared by. */
uint64_t us_half_sum(const struct us_digest *sum);

void us_put_le(uint8_t *at, uint64_t value, int bytes);
uint64_t us_get_le(const uint8_t *at, int bytes);

#endif
