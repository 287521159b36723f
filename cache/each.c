#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cache/cache_internal.h"
#include "cache/records.h"

static struct us_error *each_in(struct cache *cache, const char *path, us_file_visit *visit,
                                void *context) {
    DIR *folder = opendir(path);
    if (!folder) {
        return errno == ENOENT || errno == ENOTDIR
                   ? NULL
                   : us_cache_errno(cache, errno, "cannot read folder", path);
    }
    struct us_error *error = NULL;
    for (struct dirent *entry; !error && (entry = readdir(folder));) {
        struct us_digest digest;
        char file[CACHE_PATH];
        if (strlen(entry->d_name) == US_DIGEST_HEX - 1 && us_digest_parse(entry->d_name, &digest)) {
            int length = snprintf(file, sizeof file, "%s/%s", path, entry->d_name);
            error = length < CACHE_PATH ? visit(cache, file, &digest, context) : NULL;
        }
    }
    closedir(folder);
    return error;
}

struct us_error *us_cache_each_file(struct cache *cache, const char *room, us_file_visit *visit,
                                    void *context) {
    for (int i = 0; i < 256; i++) {
        char name[4], path[CACHE_PATH];
        snprintf(name, sizeof name, "%02x", i);
        us_cache_room_path(cache, room, name, path);
        US_TRY(each_in(cache, path, visit, context));
    }
    return NULL;
}

struct each {
    us_cache_visit *visit;
    void *context;
};

static struct us_error *visit_view(void *context, const struct us_record_view *view) {
    const struct each *each = context;
    return each->visit(each->context, &view->key, view->is_object ? NULL : &view->note);
}

static struct us_error *visit_file(struct cache *cache, const char *path,
                                   const struct us_digest *digest, void *context) {
    const struct each *each = context;
    (void)cache;
    (void)path;
    return each->visit(each->context, digest, NULL);
}

struct us_error *us_cache_each_object(struct us_store *store, us_cache_visit *visit,
                                      void *context) {
    struct cache *cache = us_cache_of(store);
    struct each each = {visit, context};
    US_TRY(us_cache_each_file(cache, "objects", visit_file, &each));
    return us_records_each_object(cache, visit_view, &each);
}

struct us_error *us_cache_each_record(struct us_store *store, us_cache_visit *visit,
                                      void *context) {
    struct each each = {visit, context};
    return us_records_each(us_cache_of(store), visit_view, &each);
}
