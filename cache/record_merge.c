#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <unistd.h>

#include "cache/record_sort.h"
#include "cache/records_internal.h"
#include "runtime/base/mem.h"

struct input_row {
    struct us_row row; /* the first: us_rows_sort */
    uint32_t input;
    bool stands;
};

struct work {
    struct us_merge *merge;
    struct input_row *rows; /* in the order of the files */
    size_t row_count, row_capacity;
    struct us_sorted_row *sorted;
    uint64_t *ends;          /* of the inputs' entries */
    struct input_row *drops; /* their sum is what they drop */
    size_t drop_count, drop_capacity;
    struct us_record_table dropped;
    uint64_t input_bytes;
};

static void take_entry(struct work *work, uint32_t input, const struct us_scanned *scanned) {
    const struct us_entry *entry = &scanned->entry;
    struct input_row row = {.row = {.key = entry->key,
                                    .when = entry->when,
                                    .sum = us_half_sum(&entry->sum),
                                    .offset = scanned->offset,
                                    .size = (uint32_t)scanned->size,
                                    .kind = (uint32_t)entry->kind},
                            .input = input};
    if (entry->kind == US_ENTRY_RECORD || entry->kind == US_ENTRY_OBJECT) {
        us_grow(&work->rows, &work->row_capacity, work->row_count, sizeof *work->rows);
        work->rows[work->row_count++] = row;
    } else if (entry->kind == US_ENTRY_DROP && entry->payload_size == sizeof(struct us_digest)) {
        struct us_digest sum;
        memcpy(sum.bytes, entry->payload, sizeof sum.bytes);
        row.row.sum = us_half_sum(&sum);
        us_table_drop(&work->dropped, &entry->key, row.row.sum);
        us_grow(&work->drops, &work->drop_capacity, work->drop_count, sizeof *work->drops);
        work->drops[work->drop_count++] = row;
    }
}

static struct us_error *read_input(struct work *work, uint32_t input) {
    const struct us_record_part *part = &work->merge->inputs[input];
    struct us_record_file *file = part->file;
    struct stat info;
    if (fstat(file->fd, &info) != 0) {
        return us_cache_errno(work->merge->cache, errno, "cannot read", file->name);
    }
    work->input_bytes += (uint64_t)info.st_size;
    struct us_scan scan = {.fd = file->fd, .end = (uint64_t)info.st_size};
    if (file->is_pack) {
        scan.end = part->end;
    }
    work->ends[input] = scan.end;
    struct us_scanned scanned;
    enum us_scan_result result;
    while ((result = us_scan_next(&scan, &scanned)) == US_SCAN_ENTRY || result == US_SCAN_DAMAGE) {
        if (result == US_SCAN_DAMAGE) {
            us_records_damage(work->merge->cache, file, scanned.offset, scanned.size);
        } else {
            take_entry(work, input, &scanned);
        }
    }
    us_scan_finish(&scan);
    return scan.failed ? us_cache_errno(work->merge->cache, scan.failed, "cannot read", file->name)
                       : NULL;
}

static bool same_name(const struct us_row *a, const struct us_row *b) {
    return a->kind == b->kind && us_digest_equal(&a->key, &b->key);
}

/* Of each key the first that nobody dropped stands. */
static void choose(struct work *work) {
    struct us_records *records = work->merge->cache->records;
    work->sorted = us_rows_sort(work->rows, work->row_count, sizeof *work->rows);
    const struct us_row *standing = NULL;
    pthread_mutex_lock(&records->lock);
    for (size_t i = 0; i < work->row_count; i++) {
        const struct us_row *row = work->sorted[i].row;
        if ((standing && same_name(standing, row)) ||
            us_table_dropped(&work->dropped, &row->key, row->sum) ||
            us_table_dropped(&records->table, &row->key, row->sum)) {
            continue;
        }
        work->rows[(const struct input_row *)row - work->rows].stands = true;
        standing = row;
    }
    pthread_mutex_unlock(&records->lock);
}

/* True when what a drop takes away was among the inputs, so that both are done with. */
static bool drop_is_done(const struct work *work, const struct us_row *drop) {
    size_t low = 0, high = work->row_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (memcmp(work->sorted[middle].row->key.bytes, drop->key.bytes, sizeof drop->key.bytes) <
            0) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    for (; low < work->row_count && us_digest_equal(&work->sorted[low].row->key, &drop->key);
         low++) {
        if (work->sorted[low].row->sum == drop->sum) {
            return true;
        }
    }
    return false;
}

/* Rows come in the order of the files, so that most are read with those before; where what is ahead
 * cannot be read, the row by itself. */
static const uint8_t *read_row(const struct work *work, const struct input_row *row,
                               struct us_scan *ahead, struct us_entry *entry) {
    const int fd = work->merge->inputs[row->input].file->fd;
    const uint64_t end = row->row.offset + row->row.size;
    size_t available;
    if (ahead->fd != fd || ahead->end < end) {
        ahead->fd = fd;
        ahead->end = work->ends[row->input] > end ? work->ends[row->input] : end;
        ahead->have = 0;
    }
    ahead->failed = 0;
    const uint8_t *bytes = us_scan_bytes(ahead, row->row.offset, row->row.size, &available);
    if (ahead->failed) {
        ahead->failed = us_read_at(fd, ahead->buffer, row->row.size, row->row.offset);
        ahead->have = 0;
        available = ahead->failed ? 0 : row->row.size;
    }
    return available >= row->row.size &&
                   us_entry_decode(bytes, row->row.size, entry) == US_ENTRY_FINE
               ? bytes
               : NULL;
}

static bool is_kept(struct us_merge *merge, const struct us_entry *entry) {
    struct us_record_view view;
    us_entry_view(entry, &view);
    if (!merge->keep || merge->keep(merge->context, &view)) {
        return true;
    }
    merge->refused = true;
    return false;
}

static void copy_entries(struct work *work, struct us_pack_writer *writer) {
    struct us_merge *merge = work->merge;
    struct us_scan buffer = {.fd = -1};
    for (size_t i = 0; i < work->row_count && !writer->failed; i++) {
        const struct input_row *row = &work->rows[i];
        struct us_entry entry;
        const uint8_t *bytes = row->stands ? read_row(work, row, &buffer, &entry) : NULL;
        if (bytes && is_kept(merge, &entry)) {
            us_pack_add(writer, bytes, row->row.size, &row->row);
        } else {
            merge->dropped++;
        }
    }
    for (size_t i = 0; i < work->drop_count && !writer->failed; i++) {
        const struct input_row *drop = &work->drops[i];
        struct us_entry entry;
        const uint8_t *bytes = merge->everything || drop_is_done(work, &drop->row)
                                   ? NULL
                                   : read_row(work, drop, &buffer, &entry);
        if (bytes) {
            us_pack_add_drop(writer, bytes, drop->row.size,
                             &(struct us_drop){.key = drop->row.key, .sum = drop->row.sum});
        }
    }
    us_scan_finish(&buffer);
}

static bool exists(const struct cache *cache, const char *name) {
    char path[CACHE_PATH];
    us_records_path(cache, name, path);
    return access(path, F_OK) == 0;
}

/* The pack stands for its inputs, and for what these stood for and nobody has removed yet. */
static void add_covers(const struct us_merge *merge, struct us_str *covers) {
    for (size_t i = 0; i < merge->count; i++) {
        const struct us_record_part *part = &merge->inputs[i];
        us_str_append_bytes(covers, part->file->name, strlen(part->file->name) + 1);
        for (size_t at = 0; at < part->cover_bytes; at += strlen(part->covers + at) + 1) {
            const char *name = part->covers + at;
            if (exists(merge->cache, name)) {
                us_str_append_bytes(covers, name, strlen(name) + 1);
            }
        }
    }
}

static struct us_error *write_pack(struct work *work, const char *temporary, const char *path,
                                   struct us_str *covers) {
    struct us_merge *merge = work->merge;
    struct us_pack_writer writer = {
        .fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600)};
    if (writer.fd < 0) {
        return us_cache_errno(merge->cache, errno, "cannot write", temporary);
    }
    copy_entries(work, &writer);
    add_covers(merge, &writer.covers);
    us_pack_end(&writer);
    us_str_append_bytes(covers, writer.covers.data, writer.covers.length);
    merge->bytes_gone = work->input_bytes > writer.at ? work->input_bytes - writer.at : 0;
    int failed = writer.failed;
    us_pack_writer_finish(&writer);
    return us_cache_publish_file(merge->cache, writer.fd, failed, temporary, path);
}

static void remove_inputs(const struct cache *cache, const struct us_str *covers) {
    for (size_t at = 0; at < covers->length; at += strlen(covers->data + at) + 1) {
        char path[CACHE_PATH];
        us_records_path(cache, covers->data + at, path);
        unlink(path);
    }
}

struct us_error *us_pack_merge(struct us_merge *merge) {
    struct cache *cache = merge->cache;
    struct work work = {.merge = merge};
    work.ends = us_calloc(merge->count + 1, sizeof *work.ends);
    struct us_str covers = {0};
    struct us_error *error = NULL;
    char name[RECORD_NAME], path[CACHE_PATH], temporary[CACHE_PATH];
    for (size_t i = 0; i < merge->count && !error; i++) {
        error = read_input(&work, (uint32_t)i);
    }
    if (!error) {
        choose(&work);
        us_records_name(".pack", name);
        us_records_path(cache, name, path);
        us_cache_temporary(cache, temporary);
        error = write_pack(&work, temporary, path, &covers);
    }
    if (!error) {
        remove_inputs(cache, &covers);
        pthread_mutex_lock(&cache->records->lock);
        cache->records->listed_at = 0;
        us_records_refresh(cache, US_FRESH_NOW);
        pthread_mutex_unlock(&cache->records->lock);
        error = merge->refused ? us_records_next_generation(cache) : NULL;
    }
    us_str_finish(&covers);
    us_table_finish(&work.dropped);
    us_free(work.rows);
    us_free(work.sorted);
    us_free(work.ends);
    us_free(work.drops);
    return us_error_wrap(error, "cannot pack the records of '%s'", cache->folder);
}
