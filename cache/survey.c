#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache/cache_internal.h"
#include "cache/care.h"
#include "cache/records.h"
#include "cache/stock.h"
#include "runtime/base/mem.h"

const char *us_cache_kind_name(enum us_cache_kind kind) {
    static const char *const names[] = {"EXR", "PNG", "JSON", "safetensors", "other"};
    return names[kind];
}

static enum us_cache_kind kind_of(const char *path) {
    uint8_t head[9] = {0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        return US_CACHE_OTHER;
    }
    ssize_t got = read(fd, head, sizeof head);
    close(fd);
    if (got >= 4 && memcmp(head, "\x76\x2f\x31\x01", 4) == 0) {
        return US_CACHE_EXR;
    }
    if (got >= 4 && memcmp(head, "\x89PNG", 4) == 0) {
        return US_CACHE_PNG;
    }
    if (got >= 1 && (head[0] == '{' || head[0] == '[')) {
        return US_CACHE_JSON;
    }
    /* a length of eight bytes, then a JSON header */
    return got == 9 && head[8] == '{' ? US_CACHE_SAFETENSORS : US_CACHE_OTHER;
}

static void count_file(struct us_cache_count *count, const char *path) {
    struct stat info;
    if (lstat(path, &info) == 0) {
        count->files++;
        count->bytes += (uint64_t)info.st_size;
    }
}

static struct us_error *count_object(struct cache *cache, const char *path,
                                     const struct us_digest *digest, void *context) {
    (void)cache;
    (void)digest;
    struct us_cache_stats *stats = context;
    count_file(&stats->objects[kind_of(path)], path);
    return NULL;
}

static struct us_error *count_record(void *context, const struct us_record_view *view) {
    struct us_cache_count *count = context;
    count->files++;
    count->bytes += view->bytes;
    return NULL;
}

static void count_entries(const char *path, struct us_cache_count *count) {
    DIR *folder = opendir(path);
    if (!folder) {
        return;
    }
    for (struct dirent *entry; (entry = readdir(folder));) {
        char file[CACHE_PATH];
        if (entry->d_name[0] != '.' &&
            snprintf(file, sizeof file, "%s/%s", path, entry->d_name) < CACHE_PATH) {
            count_file(count, file);
        }
    }
    closedir(folder);
}

static void count_attempts(struct cache *cache, const char *path, struct us_cache_count *count) {
    DIR *folder = opendir(path);
    if (!folder) {
        return;
    }
    for (struct dirent *entry; (entry = readdir(folder));) {
        char attempt[CACHE_PATH];
        struct us_cache_count files = {0};
        if (entry->d_name[0] != '.') {
            us_cache_room_path(cache, "attempts", entry->d_name, attempt);
            count_entries(attempt, &files);
            count->files++;
            count->bytes += files.bytes;
        }
    }
    closedir(folder);
}

struct us_error *us_cache_stats(struct us_store *store, struct us_cache_stats *stats) {
    struct cache *cache = us_cache_of(store);
    *stats = (struct us_cache_stats){0};
    US_TRY(us_cache_each_file(cache, "objects", count_object, stats));
    US_TRY(us_records_each(cache, count_record, &stats->records));
    US_TRY(us_records_each_object(cache, count_record, &stats->inlined));
    char path[CACHE_PATH];
    us_cache_room_path(cache, "quarantine", "", path);
    count_entries(path, &stats->quarantined);
    us_cache_room_path(cache, "trash", "", path);
    count_entries(path, &stats->trash);
    us_cache_room_path(cache, "attempts", "", path);
    count_attempts(cache, path, &stats->attempts);
    return NULL;
}

static int by_show(const void *a, const void *b) {
    const struct us_cache_type *x = a, *y = b;
    int order = strcmp(x->show, y->show);
    if (order) {
        return order;
    }
    if (x->objects.bytes != y->objects.bytes) {
        return x->objects.bytes < y->objects.bytes ? 1 : -1;
    }
    return strcmp(x->type, y->type);
}

struct us_error *us_cache_types(struct us_store *store, struct us_cache_type **types,
                                size_t *count) {
    struct us_stock stock;
    *types = NULL;
    *count = 0;
    struct us_error *error = us_stock_take(us_cache_of(store), &stock);
    if (!error) {
        us_stock_sum(&stock);
        *types = us_calloc(stock.type_count, sizeof **types);
    }
    for (size_t i = 0; !error && i < stock.type_count; i++) {
        const struct us_stock_type *from = &stock.types[i];
        if (!from->records && !from->objects) {
            continue;
        }
        (*types)[(*count)++] = (struct us_cache_type){
            .type = us_strdup(from->type),
            .show = us_strdup(from->show),
            .objects = {from->objects, from->bytes},
            .records = from->records,
            .seconds = from->seconds,
            .used = from->used,
        };
    }
    us_stock_finish(&stock);
    if (*count) {
        qsort(*types, *count, sizeof **types, by_show);
    }
    return error;
}

void us_cache_types_finish(struct us_cache_type *types, size_t count) {
    for (size_t i = 0; i < count; i++) {
        us_free(types[i].type);
        us_free(types[i].show);
    }
    us_free(types);
}

struct us_error *us_cache_runs(struct us_store *store, size_t *runs) {
    struct us_gc_watch watch;
    US_TRY(us_live_look(us_cache_of(store), true, &watch));
    *runs = watch.runs;
    us_live_leave(&watch);
    return NULL;
}
