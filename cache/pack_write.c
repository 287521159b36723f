#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cache/pack.h"
#include "cache/pack_internal.h"
#include "cache/record_entry.h"
#include "cache/record_sort.h"
#include "runtime/base/mem.h"

enum { FLUSH_AT = 1 << 20 };

static void flush(struct us_pack_writer *writer) {
    const char *from = writer->buffer.data;
    for (size_t left = writer->buffer.length; left && !writer->failed;) {
        ssize_t put = write(writer->fd, from, left);
        if (put < 0 && errno != EINTR) {
            writer->failed = errno;
        } else if (put > 0) {
            from += put;
            left -= (size_t)put;
        }
    }
    us_str_clear(&writer->buffer);
}

static void put(struct us_pack_writer *writer, const void *bytes, size_t size) {
    us_str_append_bytes(&writer->buffer, bytes, size);
    writer->at += size;
    if (writer->buffer.length >= FLUSH_AT) {
        flush(writer);
    }
}

void us_pack_add(struct us_pack_writer *writer, const void *bytes, size_t size,
                 const struct us_row *row) {
    us_grow(&writer->rows, &writer->row_capacity, writer->row_count, sizeof *writer->rows);
    writer->rows[writer->row_count] = *row;
    writer->rows[writer->row_count++].offset = writer->at;
    put(writer, bytes, size);
}

void us_pack_add_drop(struct us_pack_writer *writer, const void *bytes, size_t size,
                      const struct us_drop *drop) {
    us_grow(&writer->drops, &writer->drop_capacity, writer->drop_count, sizeof *writer->drops);
    writer->drops[writer->drop_count++] = *drop;
    put(writer, bytes, size);
}

static void row_bytes(const struct us_row *row, uint8_t bytes[PACK_ROW]) {
    memcpy(bytes, row->key.bytes, sizeof row->key.bytes);
    us_put_le(bytes + 16, (uint64_t)row->when, 8);
    us_put_le(bytes + 24, row->sum, 8);
    us_put_le(bytes + 32, row->offset, 8);
    us_put_le(bytes + 40, row->size, 4);
    us_put_le(bytes + 44, row->kind, 4);
}

/* Writes one block of rows and adds its fence to `meta`. */
static void put_block(struct us_pack_writer *writer, const struct us_sorted_row *sorted,
                      size_t first, struct us_str *meta) {
    uint8_t rows[PACK_BLOCK * PACK_ROW], fence[PACK_FENCE];
    size_t left = writer->row_count - first, count = left < PACK_BLOCK ? left : PACK_BLOCK;
    for (size_t i = 0; i < count; i++) {
        row_bytes(sorted[first + i].row, rows + i * PACK_ROW);
    }
    put(writer, rows, count * PACK_ROW);
    struct us_digest sum = us_digest_of(rows, count * PACK_ROW);
    memcpy(fence, sorted[first].row->key.bytes, sizeof sorted[first].row->key.bytes);
    us_put_le(fence + 16, sorted[first].row->kind, 8);
    us_put_le(fence + 24, us_half_sum(&sum), 8);
    us_str_append_bytes(meta, fence, sizeof fence);
}

static void add_trailer(struct us_pack_writer *writer, uint64_t table_at, struct us_str *meta) {
    static const char zeros[8];
    for (size_t i = 0; i < writer->drop_count; i++) {
        uint8_t sum[8];
        us_put_le(sum, writer->drops[i].sum, 8);
        us_str_append_bytes(meta, writer->drops[i].key.bytes, sizeof writer->drops[i].key.bytes);
        us_str_append_bytes(meta, sum, sizeof sum);
    }
    size_t covers = writer->covers.length;
    us_str_append_bytes(meta, writer->covers.data, covers);
    us_str_append_bytes(meta, zeros, pack_padded(covers) - covers);
    uint8_t trailer[PACK_TRAILER - US_ENTRY_SUM] = {0};
    memcpy(trailer, pack_magic, sizeof pack_magic);
    us_put_le(trailer + 8, table_at, 8);
    us_put_le(trailer + 16, writer->row_count, 8);
    us_put_le(trailer + 24, writer->drop_count, 8);
    us_put_le(trailer + 32, covers, 8);
    us_str_append_bytes(meta, trailer, sizeof trailer);
    struct us_digest sum = us_digest_of(meta->data, meta->length);
    us_str_append_bytes(meta, sum.bytes, sizeof sum.bytes);
}

void us_pack_end(struct us_pack_writer *writer) {
    uint64_t table_at = writer->at;
    size_t fences = (writer->row_count + PACK_BLOCK - 1) / PACK_BLOCK;
    uint64_t size = US_ENTRY_HEADER + writer->row_count * PACK_ROW + fences * PACK_FENCE +
                    writer->drop_count * PACK_DROP + pack_padded(writer->covers.length) +
                    PACK_TRAILER;
    uint8_t header[US_ENTRY_HEADER];
    us_entry_table_header(size, header);
    put(writer, header, sizeof header);
    struct us_sorted_row *sorted =
        us_rows_sort(writer->rows, writer->row_count, sizeof *writer->rows);
    struct us_str meta = {0};
    for (size_t first = 0; first < writer->row_count; first += PACK_BLOCK) {
        put_block(writer, sorted, first, &meta);
    }
    us_free(sorted);
    add_trailer(writer, table_at, &meta);
    put(writer, meta.data, meta.length);
    us_str_finish(&meta);
    flush(writer);
}

void us_pack_writer_finish(struct us_pack_writer *writer) {
    us_str_finish(&writer->buffer);
    us_str_finish(&writer->covers);
    us_free(writer->rows);
    us_free(writer->drops);
}
