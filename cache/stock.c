#include "cache/stock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cache/parallel.h"
#include "runtime/base/mem.h"

_Static_assert(sizeof(struct us_stock_item) <= 56, "an object of the cache takes 56 bytes");

enum { SHARD_NAME = US_DIGEST_HEX - 1, MARKER_NAME = 2 * SHARD_NAME + 1, MOST_TYPES = 65535 };

struct taking {
    struct cache *cache;
    struct us_stock *stock;
    size_t last_type;
};

static int by_digest(const void *a, const void *b) {
    return memcmp(((const struct us_stock_item *)a)->digest.bytes,
                  ((const struct us_stock_item *)b)->digest.bytes, sizeof(struct us_digest));
}

static void add_item(struct us_stock_drawer *drawer, const struct us_stock_item *item) {
    us_grow(&drawer->items, &drawer->capacity, drawer->count, sizeof *drawer->items);
    drawer->items[drawer->count++] = *item;
}

static uint32_t seconds_of(int64_t time) {
    return time < 0 ? 0 : time > UINT32_MAX ? UINT32_MAX : (uint32_t)time;
}

/* An object's file, or a marker: put aside, since its object may come later. */
static void add_name(int folder, const char *name, struct us_stock_drawer *objects,
                     struct us_stock_drawer *markers) {
    struct us_stock_item item = {0};
    size_t length = strlen(name);
    bool marker = length == MARKER_NAME && name[SHARD_NAME] == '.';
    struct stat info;
    if ((length != SHARD_NAME && !marker) || !us_digest_parse(name, &item.digest)) {
        return;
    }
    if (marker) {
        if (us_digest_parse(name + SHARD_NAME + 1, &item.sum)) {
            add_item(markers, &item);
        }
    } else if (fstatat(folder, name, &info, AT_SYMLINK_NOFOLLOW) == 0) {
        item.size = (uint64_t)info.st_size;
        item.used = seconds_of(info.st_mtim.tv_sec);
        add_item(objects, &item);
    }
}

static struct us_stock_item *find(const struct us_stock_drawer *drawer, size_t count,
                                  const struct us_digest *digest) {
    struct us_stock_item key = {.digest = *digest};
    return count ? bsearch(&key, drawer->items, count, sizeof key, by_digest) : NULL;
}

/* Orphans go behind the objects: they are not looked for. */
static void join_markers(int folder, struct us_stock_drawer *drawer,
                         const struct us_stock_drawer *markers) {
    size_t count = drawer->count;
    for (size_t i = 0; i < markers->count; i++) {
        struct us_stock_item marker = markers->items[i];
        struct us_stock_item *object = find(drawer, count, &marker.digest);
        if (object) {
            object->sum = marker.sum;
            object->flags |= US_STOCK_MARKED;
            continue;
        }
        char name[2 * US_DIGEST_HEX], sum[US_DIGEST_HEX];
        us_digest_hex(&marker.digest, name);
        name[SHARD_NAME] = '.';
        memcpy(name + SHARD_NAME + 1, us_digest_hex(&marker.sum, sum), US_DIGEST_HEX);
        struct stat info;
        if (fstatat(folder, name, &info, AT_SYMLINK_NOFOLLOW) == 0) {
            marker.flags = US_STOCK_ORPHAN | US_STOCK_MARKED;
            marker.used = seconds_of(info.st_mtim.tv_sec);
            add_item(drawer, &marker);
        }
    }
}

static struct us_error *take_drawer(void *context, size_t index) {
    struct taking *taking = context;
    struct us_stock_drawer *drawer = &taking->stock->drawers[index], markers = {0};
    char path[CACHE_PATH], name[16];
    snprintf(name, sizeof name, "%02zx", index);
    us_cache_room_path(taking->cache, "objects", name, path);
    DIR *folder = opendir(path);
    if (!folder) {
        return errno == ENOENT || errno == ENOTDIR
                   ? NULL
                   : us_cache_errno(taking->cache, errno, "cannot read folder", path);
    }
    for (struct dirent *entry; (entry = readdir(folder));) {
        add_name(dirfd(folder), entry->d_name, drawer, &markers);
    }
    if (drawer->count) {
        qsort(drawer->items, drawer->count, sizeof *drawer->items, by_digest);
    }
    join_markers(dirfd(folder), drawer, &markers);
    us_free(markers.items);
    closedir(folder);
    return NULL;
}

static struct us_error *take_inline(void *context, const struct us_record_view *view) {
    struct taking *taking = context;
    struct us_stock_item item = {
        .digest = view->key,
        .size = view->bytes,
        .used = seconds_of(view->when),
        .flags = (uint8_t)(US_STOCK_INLINE | (view->stays ? US_STOCK_STAYS : 0))};
    add_item(&taking->stock->drawers[view->key.bytes[0]], &item);
    return NULL;
}

/* Those among the records come into their drawers, before the orphans. */
static void sort_again(struct us_stock *stock, const size_t *before) {
    for (int i = 0; i < 256; i++) {
        struct us_stock_drawer *drawer = &stock->drawers[i];
        if (drawer->count == before[i]) {
            continue;
        }
        size_t objects = drawer->count;
        for (size_t k = before[i]; k-- > 0 && drawer->items[k].flags & US_STOCK_ORPHAN;) {
            struct us_stock_item orphan = drawer->items[k];
            drawer->items[k] = drawer->items[--objects];
            drawer->items[objects] = orphan;
        }
        if (objects) {
            qsort(drawer->items, objects, sizeof *drawer->items, by_digest);
        }
    }
}

static size_t type_number(struct taking *taking, const struct us_record_note *note) {
    struct us_stock *stock = taking->stock;
    const char *type = note->type ? note->type : "", *show = note->show ? note->show : "";
    for (size_t n = 0; n < stock->type_count; n++) {
        size_t i = (taking->last_type + n) % stock->type_count;
        if (i && strcmp(stock->types[i].type, type) == 0 &&
            strcmp(stock->types[i].show, show) == 0) {
            taking->last_type = i;
            return i;
        }
    }
    if (stock->type_count == MOST_TYPES) {
        return 0;
    }
    us_grow(&stock->types, &stock->type_capacity, stock->type_count, sizeof *stock->types);
    stock->types[stock->type_count] =
        (struct us_stock_type){.type = us_strdup(type), .show = us_strdup(show)};
    return taking->last_type = stock->type_count++;
}

static struct us_error *take_record(void *context, const struct us_record_view *view) {
    struct taking *taking = context;
    struct us_stock *stock = taking->stock;
    stock->oldest = stock->records && stock->oldest < view->when ? stock->oldest : view->when;
    stock->records++;
    stock->record_bytes += view->bytes;
    stock->silent += !view->note.type || !view->note.type[0];
    size_t number = type_number(taking, &view->note);
    stock->types[number].records++;
    bool fresh = false;
    for (size_t i = 0; i < view->note.object_count; i++) {
        struct us_stock_item *item = us_stock_find(stock, &view->note.objects[i]);
        if (!item) {
            continue;
        }
        float seconds = (float)view->note.seconds;
        if (!(item->flags & US_STOCK_NAMED)) {
            item->type = (uint16_t)number;
            fresh = true;
        }
        item->flags |= US_STOCK_NAMED;
        item->seconds = seconds > item->seconds ? seconds : item->seconds;
    }
    stock->types[number].seconds += fresh ? view->note.seconds : 0;
    return NULL;
}

static void count_objects(struct us_stock *stock) {
    for (int i = 0; i < 256; i++) {
        for (size_t k = 0; k < stock->drawers[i].count; k++) {
            const struct us_stock_item *item = &stock->drawers[i].items[k];
            stock->objects += !(item->flags & US_STOCK_ORPHAN);
            if (item->flags & US_STOCK_INLINE) {
                stock->record_bytes += item->size;
            } else {
                stock->object_bytes += item->size;
            }
        }
    }
}

struct us_error *us_stock_take(struct cache *cache, struct us_stock *stock) {
    *stock = (struct us_stock){0};
    us_grow(&stock->types, &stock->type_capacity, 0, sizeof *stock->types);
    stock->types[stock->type_count++] =
        (struct us_stock_type){.type = us_strdup(""), .show = us_strdup("")};
    struct taking taking = {.cache = cache, .stock = stock};
    US_TRY(us_parallel(256, take_drawer, &taking));
    size_t before[256];
    for (int i = 0; i < 256; i++) {
        before[i] = stock->drawers[i].count;
    }
    US_TRY(us_records_each_object(cache, take_inline, &taking));
    sort_again(stock, before);
    US_TRY(us_records_each(cache, take_record, &taking));
    count_objects(stock);
    return NULL;
}

void us_stock_finish(struct us_stock *stock) {
    for (int i = 0; i < 256; i++) {
        us_free(stock->drawers[i].items);
    }
    for (size_t i = 0; i < stock->type_count; i++) {
        us_free(stock->types[i].type);
        us_free(stock->types[i].show);
    }
    us_free(stock->types);
    *stock = (struct us_stock){0};
}

struct us_stock_item *us_stock_find(const struct us_stock *stock, const struct us_digest *digest) {
    const struct us_stock_drawer *drawer = &stock->drawers[digest->bytes[0]];
    size_t low = 0, high = drawer->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        struct us_stock_item *item = &drawer->items[middle];
        int order = item->flags & US_STOCK_ORPHAN
                        ? 1
                        : memcmp(item->digest.bytes, digest->bytes, sizeof digest->bytes);
        if (order == 0) {
            return item;
        }
        low = order < 0 ? middle + 1 : low;
        high = order > 0 ? middle : high;
    }
    return NULL;
}

void us_stock_sum(struct us_stock *stock) {
    for (int i = 0; i < 256; i++) {
        for (size_t k = 0; k < stock->drawers[i].count; k++) {
            const struct us_stock_item *item = &stock->drawers[i].items[k];
            struct us_stock_type *type = &stock->types[item->type];
            if (item->flags & US_STOCK_ORPHAN) {
                continue;
            }
            type->objects++;
            type->bytes += item->size;
            type->used = item->used > type->used ? item->used : type->used;
        }
    }
}
