/* libFuzzer target of the files that hold records: entries, logs and packs. The first byte says
 * which checksums are made to fit before they are read, so that what is behind them is reached: 1
 * those of the entries, 2 that of a pack's table. The rest is the file. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cache/pack.h"
#include "cache/pack_internal.h"
#include "cache/record_scan.h"
#include "runtime/base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { FIX_ENTRIES = 1, FIX_TABLE = 2, SIZE_AT = 8, CHECK_AT = 56 };

static void fix_entries(uint8_t *file, size_t size) {
    for (size_t at = 0; size - at >= US_ENTRY_HEADER + US_ENTRY_SUM;) {
        uint8_t *entry = file + at;
        uint64_t claimed = us_get_le(entry + SIZE_AT, 8);
        struct us_digest sum = us_digest_of(entry, CHECK_AT);
        us_put_le(entry + CHECK_AT, us_half_sum(&sum), 8);
        if (claimed < US_ENTRY_HEADER + US_ENTRY_SUM || claimed > size - at || claimed % 8) {
            return;
        }
        sum = us_digest_of(entry, claimed - US_ENTRY_SUM);
        memcpy(entry + claimed - US_ENTRY_SUM, sum.bytes, sizeof sum.bytes);
        at += claimed;
    }
}

/* Half the checksum of each block of rows, in its fence. */
static void fix_fences(uint8_t *rows, uint64_t count, uint8_t *fences, size_t room) {
    for (uint64_t first = 0; first < count && room >= PACK_FENCE; first += PACK_BLOCK) {
        uint64_t block = count - first < PACK_BLOCK ? count - first : PACK_BLOCK;
        struct us_digest sum = us_digest_of(rows + first * PACK_ROW, block * PACK_ROW);
        us_put_le(fences + 24, us_half_sum(&sum), 8);
        fences += PACK_FENCE;
        room -= PACK_FENCE;
    }
}

/* The last 64 bytes say where the table is and how many rows it has. */
static void fix_table(uint8_t *file, size_t size) {
    if (size < PACK_TRAILER) {
        return;
    }
    const uint8_t *trailer = file + size - PACK_TRAILER;
    uint64_t table = us_get_le(trailer + 8, 8), rows = us_get_le(trailer + 16, 8);
    uint64_t start = table + US_ENTRY_HEADER + rows * PACK_ROW;
    if (table > size || rows > size || start > size - PACK_TRAILER) {
        return;
    }
    fix_fences(file + table + US_ENTRY_HEADER, rows, file + start, size - PACK_TRAILER - start);
    struct us_digest sum = us_digest_of(file + start, size - US_ENTRY_SUM - start);
    memcpy(file + size - US_ENTRY_SUM, sum.bytes, sizeof sum.bytes);
}

/* Looks at everything that a decoded entry says it has. */
static size_t touch(const struct us_entry *entry) {
    size_t sum = 0;
    if (entry->kind == US_ENTRY_TABLE) {
        return 0;
    }
    struct us_record_view view;
    us_entry_view(entry, &view);
    sum += strlen(view.note.type) + strlen(view.note.show);
    for (size_t i = 0; i < view.note.object_count; i++) {
        sum += view.note.objects[i].bytes[15] + view.note.sizes[i];
    }
    for (size_t i = 0; i < entry->payload_size; i++) {
        sum += entry->payload[i];
    }
    return sum;
}

static void scan_file(int fd, size_t size) {
    struct us_scan scan = {.fd = fd, .end = size};
    struct us_scanned found;
    volatile size_t sum = 0;
    uint64_t before = 0;
    for (enum us_scan_result got; (got = us_scan_next(&scan, &found)) != US_SCAN_END;) {
        if (found.offset < before || found.size > size - found.offset) {
            abort();
        }
        before = found.offset + found.size;
        if (got == US_SCAN_ENTRY) {
            sum = sum + touch(&found.entry);
        }
        if (got == US_SCAN_CUT) {
            break;
        }
    }
    us_scan_finish(&scan);
}

static void read_pack(int fd, size_t size) {
    struct us_pack pack;
    struct us_row row;
    if (!us_pack_open(fd, size, &pack)) {
        return;
    }
    for (size_t i = 0; i < pack.fence_count; i++) {
        us_pack_find(fd, &pack, &pack.fences[i].key, (uint32_t)pack.fences[i].kind, &row);
    }
    for (size_t i = 0; i < pack.drop_count; i++) {
        us_pack_find(fd, &pack, &pack.drops[i].key, US_ENTRY_RECORD, &row);
    }
    us_pack_check(fd, &pack);
    us_pack_finish(&pack);
}

static void one_entry(const uint8_t *file, size_t size) {
    struct us_entry entry;
    volatile size_t sum = 0;
    if (us_entry_decode(file, size, &entry) == US_ENTRY_FINE) {
        sum = sum + touch(&entry);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size) {
    static int fd = -1;
    if (fd < 0) {
        fd = memfd_create("pack", MFD_CLOEXEC);
    }
    if (size == 0) {
        return 0;
    }
    size_t length = size - 1;
    uint8_t *file = us_malloc(length ? length : 1);
    memcpy(file, bytes + 1, length);
    if (bytes[0] & FIX_ENTRIES) {
        fix_entries(file, length);
    }
    if (bytes[0] & FIX_TABLE) {
        fix_table(file, length);
    }
    if (ftruncate(fd, 0) != 0 || pwrite(fd, file, length, 0) != (ssize_t)length) {
        abort();
    }
    one_entry(file, length);
    scan_file(fd, length);
    read_pack(fd, length);
    us_free(file);
    return 0;
}
