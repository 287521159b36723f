#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cache/cache_internal.h"
#include "cache/records.h"

static struct us_error *each_in(struct cache *cache, const char *path, us_cache_visit *visit,
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
        if (strlen(entry->d_name) == US_DIGEST_HEX - 1 && us_digest_parse(entry->d_name, &digest)) {
            error = visit(context, &digest, NULL);
        }
    }
    closedir(folder);
    return error;
}

struct each {
    us_cache_visit *visit;
    void *context;
};

static struct us_error *visit_view(void *context, const struct us_record_view *view) {
    const struct each *each = context;
    return each->visit(each->context, &view->key, view->is_object ? NULL : &view->note);
}

struct us_error *us_cache_each_object(struct us_store *store, us_cache_visit *visit,
                                      void *context) {
    struct cache *cache = us_cache_of(store);
    struct each each = {visit, context};
    for (int i = 0; i < 256; i++) {
        char name[4], path[CACHE_PATH];
        snprintf(name, sizeof name, "%02x", i);
        us_cache_room_path(cache, "objects", name, path);
        US_TRY(each_in(cache, path, visit, context));
    }
    return us_records_each_object(cache, visit_view, &each);
}

struct us_error *us_cache_each_record(struct us_store *store, us_cache_visit *visit,
                                      void *context) {
    struct each each = {visit, context};
    return us_records_each(us_cache_of(store), visit_view, &each);
}
