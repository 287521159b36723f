/* Goes through the entries of a log or pack in the order of the file, past what is damaged. */
#ifndef US_CACHE_RECORD_SCAN_H
#define US_CACHE_RECORD_SCAN_H

#include "cache/record_entry.h"

enum us_scan_result {
    US_SCAN_ENTRY,
    US_SCAN_DAMAGE, /* what is at `offset` is no entry; it goes on after it */
    US_SCAN_CUT,    /* what is at `offset` is not all there (yet), or zeros to the end */
    US_SCAN_END
};

struct us_scan {
    int fd;
    uint64_t at, end; /* to be set by the caller; `end` is not read beyond */
    uint8_t *buffer;  /* zero at first; us_scan_finish frees it */
    size_t capacity, have;
    uint64_t start;
    int failed; /* errno of a read that failed; ends the scan */
};

struct us_scanned {
    uint64_t offset, size;
    const uint8_t *bytes; /* of an entry, but for a table; valid until the next call */
    struct us_entry entry;
};

enum us_scan_result us_scan_next(struct us_scan *scan, struct us_scanned *found);
void us_scan_finish(struct us_scan *scan);
/* What lies at `offset`: at least `need` bytes, or what there is to the end (*available; 0: it
 * cannot be read, `failed`); valid until the next call. Reads far ahead. */
const uint8_t *us_scan_bytes(struct us_scan *scan, uint64_t offset, uint64_t need,
                             size_t *available);

/* Reads `size` bytes at `offset`: 0, errno, or EIO when the file ends before. */
int us_read_at(int fd, void *bytes, size_t size, uint64_t offset);

#endif
