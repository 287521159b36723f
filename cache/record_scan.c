#include "cache/record_scan.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/mem.h"

enum { CHUNK = 256 << 10 };

int us_read_at(int fd, void *bytes, size_t size, uint64_t offset) {
    uint8_t *to = bytes;
    while (size) {
        ssize_t got = pread(fd, to, size, (off_t)offset);
        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            return got < 0 ? errno : EIO;
        }
        to += got;
        offset += (uint64_t)got;
        size -= (size_t)got;
    }
    return 0;
}

const uint8_t *us_scan_bytes(struct us_scan *scan, uint64_t offset, uint64_t need,
                             size_t *available) {
    uint64_t left = scan->end - offset;
    need = need < left ? need : left;
    if (offset < scan->start || offset + need > scan->start + scan->have) {
        uint64_t wanted = need > CHUNK ? need : CHUNK;
        size_t size = (size_t)(wanted < left ? wanted : left);
        if (size > scan->capacity) {
            us_free(scan->buffer);
            scan->buffer = us_malloc(size);
            scan->capacity = size;
        }
        scan->start = offset;
        scan->have = 0;
        scan->failed = us_read_at(scan->fd, scan->buffer, size, offset);
        if (!scan->failed) {
            scan->have = size;
        }
    }
    *available = scan->failed ? 0 : (size_t)(scan->start + scan->have - offset);
    return scan->buffer + (offset - scan->start);
}

static bool has_header(struct us_scan *scan, uint64_t offset) {
    size_t available;
    struct us_entry entry;
    const uint8_t *bytes = us_scan_bytes(scan, offset, US_ENTRY_HEADER, &available);
    return available >= US_ENTRY_HEADER &&
           us_entry_decode(bytes, available, &entry) != US_ENTRY_GARBAGE;
}

/* The bytes that are no entry: by the size that the damaged header gives when something begins
 * there, else up to the next header. `*zeros`: there is nothing but zeros to the end. */
static uint64_t garbage_size(struct us_scan *scan, bool *zeros) {
    size_t available;
    const uint8_t *bytes = us_scan_bytes(scan, scan->at, US_ENTRY_HEADER, &available);
    uint64_t claimed = available >= US_ENTRY_HEADER ? us_get_le(bytes + 8, 8) : 0;
    uint64_t left = scan->end - scan->at;
    *zeros = false;
    if (claimed >= US_ENTRY_HEADER + US_ENTRY_SUM && claimed % 8 == 0 && claimed <= left &&
        (claimed == left || has_header(scan, scan->at + claimed))) {
        return claimed;
    }
    *zeros = true;
    for (uint64_t offset = scan->at; offset < scan->end && !scan->failed; offset += 8) {
        bytes = us_scan_bytes(scan, offset, US_ENTRY_HEADER, &available);
        size_t word = available < 8 ? available : 8;
        *zeros = *zeros && us_get_le(bytes, (int)word) == 0;
        if (offset > scan->at && word == 8 && bytes[0] == 'U' && has_header(scan, offset)) {
            *zeros = false;
            return offset - scan->at;
        }
    }
    return left;
}

static enum us_scan_result garbage(struct us_scan *scan, struct us_scanned *found) {
    bool zeros;
    found->size = garbage_size(scan, &zeros);
    if (scan->failed) {
        return US_SCAN_END;
    }
    if (zeros) {
        return US_SCAN_CUT;
    }
    scan->at += found->size;
    return US_SCAN_DAMAGE;
}

enum us_scan_result us_scan_next(struct us_scan *scan, struct us_scanned *found) {
    if (scan->failed || scan->at >= scan->end) {
        return US_SCAN_END;
    }
    size_t available;
    struct us_entry *entry = &found->entry;
    found->offset = scan->at;
    found->bytes = us_scan_bytes(scan, scan->at, US_ENTRY_HEADER, &available);
    if (scan->failed) {
        return US_SCAN_END;
    }
    enum us_entry_state state = us_entry_decode(found->bytes, available, entry);
    uint64_t left = scan->end - scan->at;
    if (state == US_ENTRY_CUT && available >= US_ENTRY_HEADER && entry->size <= left) {
        found->bytes = us_scan_bytes(scan, scan->at, entry->size, &available);
        if (scan->failed) {
            return US_SCAN_END;
        }
        state = us_entry_decode(found->bytes, available, entry);
    }
    if (state == US_ENTRY_GARBAGE) {
        return garbage(scan, found);
    }
    if (state == US_ENTRY_CUT || entry->size > left) {
        found->size = left;
        return US_SCAN_CUT;
    }
    found->size = entry->size;
    scan->at += entry->size;
    return state == US_ENTRY_FINE ? US_SCAN_ENTRY : US_SCAN_DAMAGE;
}

void us_scan_finish(struct us_scan *scan) {
    us_free(scan->buffer);
    scan->buffer = NULL;
    scan->capacity = scan->have = 0;
}
