#include "cache/pack.h"

#include <string.h>

#include "cache/pack_internal.h"
#include "cache/record_entry.h"
#include "cache/record_scan.h"
#include "runtime/base/mem.h"

void us_pack_finish(struct us_pack *pack) {
    us_free(pack->fences);
    us_free(pack->drops);
    us_free(pack->covers);
    *pack = (struct us_pack){0};
}

static bool read_trailer(const uint8_t *trailer, uint64_t size, struct us_pack *pack,
                         uint64_t *meta_at, size_t *meta_size) {
    if (memcmp(trailer, pack_magic, sizeof pack_magic) != 0) {
        return false;
    }
    uint64_t numbers[4];
    for (size_t i = 0; i < 4; i++) {
        numbers[i] = us_get_le(trailer + 8 + 8 * i, 8);
        if (numbers[i] > size) {
            return false;
        }
    }
    pack->table_at = numbers[0];
    pack->row_count = numbers[1];
    pack->drop_count = (size_t)numbers[2];
    pack->cover_bytes = (size_t)numbers[3];
    pack->fence_count = (size_t)((pack->row_count + PACK_BLOCK - 1) / PACK_BLOCK);
    *meta_at = pack->table_at + US_ENTRY_HEADER + pack->row_count * PACK_ROW;
    *meta_size = pack->fence_count * PACK_FENCE + pack->drop_count * PACK_DROP +
                 pack_padded(pack->cover_bytes) + PACK_TRAILER;
    return *meta_at + *meta_size == size;
}

static void read_meta(const uint8_t *meta, struct us_pack *pack) {
    pack->fences = us_calloc(pack->fence_count + 1, sizeof *pack->fences);
    for (size_t i = 0; i < pack->fence_count; i++, meta += PACK_FENCE) {
        memcpy(pack->fences[i].key.bytes, meta, sizeof pack->fences[i].key.bytes);
        pack->fences[i].kind = us_get_le(meta + 16, 8);
        pack->fences[i].sum = us_get_le(meta + 24, 8);
    }
    pack->drops = us_calloc(pack->drop_count + 1, sizeof *pack->drops);
    for (size_t i = 0; i < pack->drop_count; i++, meta += PACK_DROP) {
        memcpy(pack->drops[i].key.bytes, meta, sizeof pack->drops[i].key.bytes);
        pack->drops[i].sum = us_get_le(meta + 16, 8);
    }
    pack->covers = us_calloc(pack->cover_bytes + 1, 1);
    memcpy(pack->covers, meta, pack->cover_bytes);
}

bool us_pack_open(int fd, uint64_t size, struct us_pack *pack) {
    uint8_t trailer[PACK_TRAILER];
    uint64_t meta_at;
    size_t meta_size;
    *pack = (struct us_pack){0};
    if (size < US_ENTRY_HEADER + PACK_TRAILER ||
        us_read_at(fd, trailer, sizeof trailer, size - PACK_TRAILER) != 0 ||
        !read_trailer(trailer, size, pack, &meta_at, &meta_size)) {
        *pack = (struct us_pack){0};
        return false;
    }
    uint8_t *meta = us_malloc(meta_size);
    bool fine = us_read_at(fd, meta, meta_size, meta_at) == 0;
    if (fine) {
        struct us_digest sum = us_digest_of(meta, meta_size - US_ENTRY_SUM);
        fine = memcmp(meta + meta_size - US_ENTRY_SUM, sum.bytes, sizeof sum.bytes) == 0;
    }
    if (fine) {
        read_meta(meta, pack);
    } else {
        *pack = (struct us_pack){0};
    }
    us_free(meta);
    return fine;
}

static int compare(const struct us_digest *a, uint64_t a_kind, const struct us_digest *b,
                   uint64_t b_kind) {
    int order = memcmp(a->bytes, b->bytes, sizeof a->bytes);
    return order ? order : (a_kind > b_kind) - (a_kind < b_kind);
}

static bool read_block(int fd, const struct us_pack *pack, size_t block,
                       uint8_t rows[PACK_BLOCK * PACK_ROW], size_t *count) {
    uint64_t first = (uint64_t)block * PACK_BLOCK, left = pack->row_count - first;
    *count = left < PACK_BLOCK ? (size_t)left : PACK_BLOCK;
    uint64_t at = pack->table_at + US_ENTRY_HEADER + first * PACK_ROW;
    if (us_read_at(fd, rows, *count * PACK_ROW, at) != 0) {
        return false;
    }
    struct us_digest sum = us_digest_of(rows, *count * PACK_ROW);
    return us_half_sum(&sum) == pack->fences[block].sum;
}

static void read_row(const uint8_t *bytes, struct us_row *row) {
    memcpy(row->key.bytes, bytes, sizeof row->key.bytes);
    row->when = (int64_t)us_get_le(bytes + 16, 8);
    row->sum = us_get_le(bytes + 24, 8);
    row->offset = us_get_le(bytes + 32, 8);
    row->size = (uint32_t)us_get_le(bytes + 40, 4);
    row->kind = (uint32_t)us_get_le(bytes + 44, 4);
}

/* The last block whose first row is not behind what is looked for; false when there is none. */
static bool find_block(const struct us_pack *pack, const struct us_digest *key, uint32_t kind,
                       size_t *block) {
    size_t low = 0, high = pack->fence_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        const struct us_fence *fence = &pack->fences[middle];
        if (compare(&fence->key, fence->kind, key, kind) <= 0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    *block = low - 1;
    return low > 0;
}

enum us_pack_answer us_pack_find(int fd, const struct us_pack *pack, const struct us_digest *key,
                                 uint32_t kind, struct us_row *row) {
    uint8_t rows[PACK_BLOCK * PACK_ROW];
    size_t block, count;
    if (!find_block(pack, key, kind, &block)) {
        return US_PACK_NONE;
    }
    if (!read_block(fd, pack, block, rows, &count)) {
        return US_PACK_DAMAGED;
    }
    size_t low = 0;
    while (low < count) {
        size_t middle = low + (count - low) / 2;
        read_row(rows + middle * PACK_ROW, row);
        int order = compare(&row->key, row->kind, key, kind);
        if (order == 0) {
            return US_PACK_FOUND;
        }
        if (order < 0) {
            low = middle + 1;
        } else {
            count = middle;
        }
    }
    return US_PACK_NONE;
}

bool us_pack_check(int fd, const struct us_pack *pack) {
    return us_pack_each(fd, pack, NULL, NULL);
}

bool us_pack_each(int fd, const struct us_pack *pack,
                  void (*visit)(void *context, const struct us_row *row), void *context) {
    uint8_t rows[PACK_BLOCK * PACK_ROW], header[US_ENTRY_HEADER];
    size_t count;
    struct us_entry entry;
    if (us_read_at(fd, header, sizeof header, pack->table_at) != 0 ||
        us_entry_decode(header, sizeof header, &entry) != US_ENTRY_FINE ||
        entry.kind != US_ENTRY_TABLE) {
        return false;
    }
    for (size_t block = 0; block < pack->fence_count; block++) {
        if (!read_block(fd, pack, block, rows, &count)) {
            return false;
        }
        for (size_t i = 0; i < count && visit; i++) {
            struct us_row row;
            read_row(rows + i * PACK_ROW, &row);
            visit(context, &row);
        }
    }
    return true;
}
