#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "cache/cache_internal.h"
#include "cache/hold.h"
#include "runtime/base/mem.h"
#include "runtime/base/path.h"
#include "runtime/base/str.h"

struct cache *us_cache_of(struct us_store *store) {
    return (struct cache *)store;
}

static struct us_error *make_workspace(struct us_store *store, const struct us_digest *key,
                                       char **folder) {
    struct cache *cache = us_cache_of(store);
    char path[CACHE_PATH], hex[US_DIGEST_HEX];
    us_cache_room_path(cache, "attempts", us_digest_hex(key, hex), path);
    if (!us_cache_hold(cache, path) && mkdir(path, 0750) != 0 && errno == ENOENT) {
        US_TRY(us_cache_make_rooms(cache));
        if (mkdir(path, 0750) != 0 && errno != EEXIST) {
            return us_cache_errno(cache, errno, "cannot make folder", path);
        }
    }
    if (access(path, W_OK) != 0) {
        return us_cache_errno(cache, errno, "cannot write to folder", path);
    }
    *folder = us_strdup(path);
    return NULL;
}

static struct us_digest name_key(const char *name) {
    struct us_hasher *hasher = us_hasher_create();
    us_hasher_string(hasher, "fact");
    us_hasher_string(hasher, name);
    struct us_digest key = us_hasher_finish(hasher);
    us_hasher_destroy(hasher);
    return key;
}

static uint8_t *recall(struct us_store *store, const char *name, size_t *size) {
    struct us_digest key = name_key(name);
    return us_index_get(&us_cache_of(store)->index, &key, size);
}

static void remember(struct us_store *store, const char *name, const void *bytes, size_t size) {
    struct us_digest key = name_key(name);
    us_index_put(&us_cache_of(store)->index, &key, bytes, size);
}

static const struct us_store_ops ops = {
    .find_record = us_cache_find_record,
    .put_record = us_cache_put_record,
    .drop_record = us_cache_drop_record,
    .generation = us_cache_generation,
    .has_object = us_cache_has_object,
    .get_object = us_cache_get_object,
    .put_object = us_cache_put_object,
    .file_digest = us_cache_file_digest,
    .file_states = us_cache_file_states,
    .file_digests = us_cache_file_digests,
    .remember_file = us_cache_remember_file,
    .workspace = make_workspace,
    .lease = us_cache_lease,
    .lease_holder = us_cache_lease_holder,
    .release = us_cache_release,
    .recall = recall,
    .remember = remember,
    .log_add = us_cache_log_add,
    .log_read = us_cache_log_read,
};

/* LMDB maps its file into memory and locks it, which network file systems do not bear. */
bool us_cache_is_remote(const char *folder) {
    static const unsigned long remote[] = {0x6969,     0xFF534D42, 0xFE534D42,
                                           0x517B,     0x01021997, 0x0BD00BD0,
                                           0x65735546, 0x5346414F, 0x00C36400};
    struct statfs system;
    if (statfs(folder, &system) != 0) {
        return false;
    }
    for (size_t i = 0; i < sizeof remote / sizeof *remote; i++) {
        if (((unsigned long)system.f_type & 0xFFFFFFFFu) == remote[i]) {
            return true;
        }
    }
    return false;
}

static char *index_folder(const char *folder) {
    const char *state = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
    struct us_str path = {0};
    if (state && state[0] == '/') {
        us_str_printf(&path, "%s", state);
    } else if (us_cache_is_remote(folder) && home && home[0] == '/') {
        us_str_printf(&path, "%s/.local/state", home);
    } else {
        us_str_printf(&path, "%s/index", folder);
        return us_str_take(&path);
    }
    char *real = realpath(folder, NULL);
    const char *name = real ? real : folder;
    struct us_digest digest = us_digest_of(name, strlen(name));
    char hex[US_DIGEST_HEX];
    us_str_printf(&path, "/understudy/index-%.16s", us_digest_hex(&digest, hex));
    us_free(real);
    return us_str_take(&path);
}

struct us_error *us_cache_open(const char *folder, struct us_store **store) {
    *store = NULL;
    size_t length = strlen(folder);
    while (length > 1 && folder[length - 1] == '/') {
        length--;
    }
    if (length == 0 || length > CACHE_FOLDER_MAX) {
        return us_fail(US_USAGE, "the cache folder's path has %zu bytes, allowed 1 to %d", length,
                       CACHE_FOLDER_MAX);
    }
    struct cache *cache = us_calloc(1, sizeof *cache);
    cache->store.ops = &ops;
    cache->folder = us_strndup(folder, length);
    struct us_error *error = us_cache_make_rooms(cache);
    if (error) {
        us_free(cache->folder);
        us_free(cache);
        return error;
    }
    cache->remote = us_cache_is_remote(cache->folder);
    pthread_mutex_init(&cache->lock, NULL);
    pthread_cond_init(&cache->wake, NULL);
    cache->claim = -1;
    us_index_init(&cache->index, index_folder(cache->folder));
    us_records_open(cache);
    *store = &cache->store;
    return NULL;
}

void us_cache_close(struct us_store *store) {
    if (!store) {
        return;
    }
    struct cache *cache = us_cache_of(store);
    us_records_settle(cache);
    us_cache_leases_finish(cache);
    us_cache_stop_keeper(cache);
    us_live_finish(cache);
    us_cache_settle(cache, true);
    us_index_finish(&cache->index);
    us_records_close(cache);
    us_cache_claim_finish(cache);
    pthread_mutex_destroy(&cache->lock);
    pthread_cond_destroy(&cache->wake);
    us_free(cache->folder);
    us_free(cache);
}
