#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache/hold.h"
#include "cache/records_internal.h"
#include "runtime/base/mem.h"

enum { TIDY_LOGS = 16, TIDY_BYTES = 1 << 20 };

/* With the lock held. */
static uint64_t end_of(const struct us_record_file *file) {
    return file->pack.table_at ? file->pack.table_at : file->read_to;
}

size_t us_records_snapshot(struct cache *cache, struct us_record_part **parts) {
    struct us_records *records = cache->records;
    us_records_sync(cache); /* what waits to be written is part of it */
    pthread_mutex_lock(&records->lock);
    us_records_refresh(cache, US_FRESH_NOW);
    size_t count = records->count;
    *parts = us_calloc(count + 1, sizeof **parts);
    for (size_t i = 0; i < count; i++) {
        struct us_record_file *file = records->files[i];
        struct us_record_part *part = &(*parts)[i];
        *part = (struct us_record_part){.file = file, .end = end_of(file), .final = file->final};
        part->cover_bytes = file->pack.cover_bytes;
        part->covers = us_calloc(part->cover_bytes + 1, 1);
        if (part->cover_bytes) {
            memcpy(part->covers, file->pack.covers, part->cover_bytes);
        }
        file->references++;
    }
    pthread_mutex_unlock(&records->lock);
    return count;
}

void us_records_end_snapshot(struct cache *cache, struct us_record_part *parts, size_t count) {
    pthread_mutex_lock(&cache->records->lock);
    for (size_t i = 0; i < count; i++) {
        us_records_let_go(parts[i].file);
        us_free(parts[i].covers);
    }
    pthread_mutex_unlock(&cache->records->lock);
    us_free(parts);
}

static bool stands(struct cache *cache, const struct us_entry *entry) {
    struct us_found found;
    pthread_mutex_lock(&cache->records->lock);
    bool is = us_records_locate(cache, &entry->key, entry->kind, &found) &&
              found.row.sum == us_half_sum(&entry->sum);
    pthread_mutex_unlock(&cache->records->lock);
    return is;
}

static bool is_done(const struct us_record_file *file, bool final, int64_t now) {
    struct stat info;
    return final || (!file->mine && fstat(file->fd, &info) == 0 &&
                     us_records_is_dead(file->name, us_stamp_of(&info), now));
}

/* Packing will leave it, as far as can be told without the file server's clock. */
static bool stays_in(const struct us_record_part *part) {
    return !part->file->is_pack && !part->file->mine &&
           !is_done(part->file, part->final, us_clock_ns(CLOCK_REALTIME));
}

static struct us_error *visit_part(struct cache *cache, const struct us_record_part *part,
                                   enum us_entry_kind kind, us_record_visit *visit, void *context) {
    struct us_scan scan = {.fd = part->file->fd, .end = part->end};
    const bool stays = stays_in(part);
    struct us_scanned scanned;
    struct us_error *error = NULL;
    enum us_scan_result result;
    while (!error && ((result = us_scan_next(&scan, &scanned)) == US_SCAN_ENTRY ||
                      result == US_SCAN_DAMAGE)) {
        if (result == US_SCAN_DAMAGE) {
            us_records_damage(cache, part->file, scanned.offset, scanned.size);
        } else if (scanned.entry.kind == kind && stands(cache, &scanned.entry)) {
            struct us_record_view view;
            us_entry_view(&scanned.entry, &view);
            view.stays = stays;
            error = visit(context, &view);
        }
    }
    us_scan_finish(&scan);
    return error;
}

static struct us_error *each(struct cache *cache, enum us_entry_kind kind, us_record_visit *visit,
                             void *context) {
    struct us_record_part *parts;
    size_t count = us_records_snapshot(cache, &parts);
    struct us_error *error = NULL;
    for (size_t i = 0; i < count && !error; i++) {
        error = visit_part(cache, &parts[i], kind, visit, context);
    }
    us_records_end_snapshot(cache, parts, count);
    return error;
}

struct us_error *us_records_each(struct cache *cache, us_record_visit *visit, void *context) {
    US_TRY(each(cache, US_ENTRY_RECORD, visit, context));
    return us_old_records_each(cache, visit, context);
}

struct us_error *us_records_each_object(struct cache *cache, us_record_visit *visit,
                                        void *context) {
    return each(cache, US_ENTRY_OBJECT, visit, context);
}

static struct us_digest merge_key(void) {
    static const char name[] = "packing of records";
    return us_digest_of(name, sizeof name);
}

static uint64_t size_of(const struct us_record_file *file) {
    struct stat info;
    return fstat(file->fd, &info) == 0 ? (uint64_t)info.st_size : 0;
}

static int by_size(const void *left, const void *right) {
    uint64_t a = size_of(((const struct us_record_part *)left)->file),
             b = size_of(((const struct us_record_part *)right)->file);
    return (a > b) - (a < b);
}

/* Of the files, puts those to be packed first and says how many: all that nobody writes any more;
 * with `some`, logs, and packs that are not much larger than what is before them, so that an entry
 * is written again only as often as the whole doubles. */
static size_t choose(struct us_record_part *parts, size_t count, int64_t now, bool some) {
    size_t chosen = 0;
    uint64_t bytes = 0;
    if (count) {
        qsort(parts, count, sizeof *parts, by_size);
    }
    for (int round = 0; round < 2; round++) { /* logs, then packs */
        for (size_t i = chosen; i < count; i++) {
            const struct us_record_part part = parts[i];
            const struct us_record_file *file = part.file;
            bool fits = round ? file->is_pack && (!some || size_of(file) <= 2 * bytes)
                              : !file->is_pack && is_done(file, part.final, now);
            if (fits) {
                bytes += size_of(file);
                memmove(parts + chosen + 1, parts + chosen, (i - chosen) * sizeof *parts);
                parts[chosen++] = part;
            }
        }
    }
    return chosen;
}

/* With the lease on packing. */
static struct us_error *pack(struct us_merge *merge, bool some) {
    struct us_record_part *parts;
    int64_t now;
    size_t count = us_records_snapshot(merge->cache, &parts);
    struct us_error *error = NULL;
    if (count && us_cache_server_time(merge->cache, &now)) {
        merge->inputs = parts;
        merge->count = choose(parts, count, now, some);
        merge->everything = merge->count == count;
        error = merge->count ? us_pack_merge(merge) : NULL;
    }
    us_records_end_snapshot(merge->cache, parts, count);
    return error;
}

static struct us_error *pack_alone(struct us_merge *merge, bool some) {
    struct us_store *store = &merge->cache->store;
    struct us_digest key = merge_key();
    bool taken;
    US_TRY(us_cache_lease(store, &key, &taken));
    if (!taken) {
        return NULL;
    }
    struct us_error *error = pack(merge, some);
    us_cache_release(store, &key);
    return error;
}

static void seal_own(struct cache *cache) {
    pthread_mutex_lock(&cache->records->lock);
    us_records_seal(cache);
    pthread_mutex_unlock(&cache->records->lock);
}

struct us_error *us_records_compact(struct cache *cache,
                                    bool (*keep)(void *context, const struct us_record_view *view),
                                    void *context, uint64_t *entries, uint64_t *bytes) {
    struct us_merge merge = {.cache = cache, .keep = keep, .context = context};
    seal_own(cache);
    struct us_error *error = pack_alone(&merge, false);
    *entries = merge.dropped;
    *bytes = merge.bytes_gone;
    return error;
}

struct us_error *us_records_rebuild(struct cache *cache) {
    uint64_t entries, bytes;
    return us_records_compact(cache, NULL, NULL, &entries, &bytes);
}

void us_records_tidy(struct cache *cache) {
    struct us_records *records = cache->records;
    size_t logs = 0;
    uint64_t bytes = 0;
    pthread_mutex_lock(&records->lock);
    us_records_refresh(cache, US_FRESH_ENOUGH);
    for (size_t i = 0; i < records->count; i++) {
        if (!records->files[i]->is_pack) {
            logs++;
            bytes += records->files[i]->read_to;
        }
    }
    pthread_mutex_unlock(&records->lock);
    if (logs >= TIDY_LOGS || bytes >= TIDY_BYTES) {
        us_error_free(pack_alone(&(struct us_merge){.cache = cache}, true));
    }
}

struct range {
    uint64_t at, end;
};

struct check {
    const struct us_record_choice *choice;
    struct us_record_counts counts;
    bool hurt;
    struct range *ranges; /* of the pack that is read */
    size_t range_count, range_capacity;
};

static void add_range(struct check *check, uint64_t at, uint64_t end) {
    us_grow(&check->ranges, &check->range_capacity, check->range_count, sizeof *check->ranges);
    check->ranges[check->range_count++] = (struct range){at, end};
}

static void choose_row(void *context, const struct us_row *row) {
    struct check *check = context;
    if (check->choice && check->choice->chosen(check->choice->context, &row->key)) {
        add_range(check, row->offset, row->offset + row->size);
    }
}

static int by_place(const void *left, const void *right) {
    const struct range *a = left, *b = right;
    return (a->at > b->at) - (a->at < b->at);
}

/* What follows each other is read at once. */
static void join_ranges(struct check *check) {
    size_t count = 0;
    if (check->range_count) {
        qsort(check->ranges, check->range_count, sizeof *check->ranges, by_place);
    }
    for (size_t i = 0; i < check->range_count; i++) {
        if (count && check->ranges[count - 1].end == check->ranges[i].at) {
            check->ranges[count - 1].end = check->ranges[i].end;
        } else {
            check->ranges[count++] = check->ranges[i];
        }
    }
    check->range_count = count;
}

/* Says what to read of a file: of a pack whose table is whole what is chosen, else all. */
static void choose_ranges(struct cache *cache, struct us_record_part *part, struct check *check) {
    struct us_record_file *file = part->file;
    check->range_count = 0;
    pthread_mutex_lock(&cache->records->lock);
    const bool table = file->pack.table_at != 0;
    const bool whole =
        file->is_pack && table && us_pack_each(file->fd, &file->pack, choose_row, check);
    if (file->is_pack && !whole) {
        check->hurt = true;
        if (table) {
            us_records_lose_table(cache, file);
            part->end = end_of(file);
        }
    }
    pthread_mutex_unlock(&cache->records->lock);
    if (!whole || !check->choice) {
        check->range_count = 0;
        add_range(check, 0, part->end);
    }
    join_ranges(check);
}

static void check_range(struct cache *cache, struct us_record_file *file, const struct range *range,
                        struct check *check) {
    struct us_scan scan = {.fd = file->fd, .at = range->at, .end = range->end};
    struct us_scanned scanned;
    enum us_scan_result result;
    while ((result = us_scan_next(&scan, &scanned)) == US_SCAN_ENTRY || result == US_SCAN_DAMAGE) {
        if (result == US_SCAN_DAMAGE) {
            check->hurt = true;
            us_records_damage(cache, file, scanned.offset, scanned.size);
        } else if (scanned.entry.kind == US_ENTRY_RECORD) {
            check->counts.records += stands(cache, &scanned.entry);
        } else if (scanned.entry.kind == US_ENTRY_OBJECT) {
            check->counts.objects += stands(cache, &scanned.entry);
        }
    }
    check->counts.bytes += scan.at - range->at;
    us_scan_finish(&scan);
}

static void check_part(struct cache *cache, struct us_record_part *part, struct check *check) {
    choose_ranges(cache, part, check);
    for (size_t i = 0; i < check->range_count; i++) {
        check_range(cache, part->file, &check->ranges[i], check);
    }
}

static struct us_error *count_old(void *context, const struct us_record_view *view) {
    struct check *check = context;
    check->counts.records++;
    check->counts.bytes += view->bytes;
    return NULL;
}

/* What a dead writer's log ends with is not on its way any more. */
static void read_ends(struct cache *cache) {
    struct us_records *records = cache->records;
    int64_t now;
    if (!us_cache_server_time(cache, &now)) {
        return;
    }
    pthread_mutex_lock(&records->lock);
    us_records_refresh(cache, US_FRESH_NOW);
    for (size_t i = 0; i < records->count; i++) {
        struct us_record_file *file = records->files[i];
        if (!file->is_pack && !file->final && is_done(file, false, now)) {
            file->final = true;
            us_records_read_on(cache, file);
        }
    }
    pthread_mutex_unlock(&records->lock);
}

struct us_error *us_records_check(struct cache *cache, const struct us_record_choice *choice,
                                  struct us_record_counts *counts) {
    struct check check = {.choice = choice};
    struct us_record_part *parts;
    uint64_t before = atomic_load(&cache->records->damages);
    read_ends(cache);
    size_t count = us_records_snapshot(cache, &parts);
    for (size_t i = 0; i < count; i++) {
        check_part(cache, &parts[i], &check);
    }
    us_records_end_snapshot(cache, parts, count);
    us_free(check.ranges);
    US_TRY(us_old_records_each(cache, count_old, &check));
    *counts = check.counts;
    counts->damaged = atomic_load(&cache->records->damages) - before;
    return check.hurt ? us_records_rebuild(cache) : NULL;
}

struct us_error *us_records_verify(struct cache *cache, uint64_t *records, uint64_t *bytes,
                                   uint64_t *damaged) {
    struct us_record_counts counts = {0};
    struct us_error *error = us_records_check(cache, NULL, &counts);
    *records = counts.records;
    *bytes = counts.bytes;
    *damaged = counts.damaged;
    return error;
}
