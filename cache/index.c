#include "cache/index.h"

#include <lmdb.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "runtime/base/mem.h"
#include "runtime/base/path.h"

enum { MAP_START = 256 << 20, READERS = 512, BATCH = 2048, BATCH_SECONDS = 2, SUM = 8 };

void us_index_init(struct us_index *index, char *folder) {
    *index = (struct us_index){0};
    index->folder = folder;
    pthread_mutex_init(&index->lock, NULL);
}

static void close_env(struct us_index *index) {
    if (index->reader) {
        mdb_txn_abort(index->reader);
    }
    if (index->env) {
        mdb_env_close(index->env);
    }
    index->reader = NULL;
    index->env = NULL;
}

static void remove_files(const struct us_index *index) {
    static const char *const names[] = {"data.mdb", "lock.mdb"};
    for (size_t i = 0; i < 2; i++) {
        char *path = us_path_join(index->folder, names[i]);
        unlink(path);
        us_free(path);
    }
}

/* A page of the index is not what LMDB knows it must be, and LMDB cannot go on: no result is in the
 * index, so that it goes, and the next run starts with a new one. */
static void page_damaged(MDB_env *env, const char *what) {
    const struct us_index *index = mdb_env_get_userctx(env);
    fprintf(stderr, "error: the index in '%s' is damaged (%s); it was removed: run again\n",
            index->folder, what);
    remove_files(index);
    _exit(us_code_status(US_RETRY));
}

static int open_env(struct us_index *index) {
    MDB_env *env;
    int failed = mdb_env_create(&env);
    if (failed) {
        return failed;
    }
    index->env = env;
    mdb_env_set_userctx(env, index);
    mdb_env_set_assert(env, page_damaged);
    mdb_env_set_mapsize(env, MAP_START);
    mdb_env_set_maxreaders(env, READERS);
    failed = mdb_env_open(env, index->folder, MDB_NOTLS | MDB_NOMETASYNC, 0640);
    MDB_txn *txn = NULL;
    int dead;
    if (!failed) {
        mdb_reader_check(env, &dead);
        failed = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);
    }
    if (failed == MDB_MAP_RESIZED) {
        mdb_env_set_mapsize(env, 0);
        failed = mdb_txn_begin(env, NULL, MDB_RDONLY, &txn);
    }
    if (!failed) {
        index->reader = txn;
        MDB_dbi table;
        failed = mdb_dbi_open(txn, NULL, 0, &table);
        index->table = table;
        mdb_txn_reset(txn);
    }
    if (failed) {
        close_env(index);
    }
    return failed;
}

/* With the lock held. */
static bool is_open(struct us_index *index) {
    if (index->tried) {
        return index->env != NULL;
    }
    index->tried = true;
    struct us_error *error = us_make_folders(index->folder);
    if (error) {
        us_error_free(error);
        return false;
    }
    int failed = open_env(index);
    if (failed == MDB_INVALID || failed == MDB_CORRUPTED || failed == MDB_VERSION_MISMATCH ||
        failed == MDB_PAGE_NOTFOUND || failed == MDB_PANIC) {
        remove_files(index);
        failed = open_env(index);
    }
    return !failed;
}

static size_t slot_of(const struct us_index *index, const struct us_digest *key) {
    size_t slot;
    memcpy(&slot, key->bytes, sizeof slot);
    for (;; slot++) {
        struct us_index_entry *entry = &index->pending[slot & (index->pending_capacity - 1)];
        if (!entry->used || us_digest_equal(&entry->key, key)) {
            return slot & (index->pending_capacity - 1);
        }
    }
}

static void forget_pending(struct us_index *index) {
    for (size_t i = 0; i < index->pending_capacity; i++) {
        us_free(index->pending[i].bytes);
    }
    us_free(index->pending);
    index->pending = NULL;
    index->pending_count = index->pending_capacity = 0;
}

static void grow_pending(struct us_index *index) {
    struct us_index old = *index;
    index->pending_capacity = old.pending_capacity ? 2 * old.pending_capacity : 256;
    index->pending = us_calloc(index->pending_capacity, sizeof *index->pending);
    for (size_t i = 0; i < old.pending_capacity; i++) {
        if (old.pending[i].used) {
            index->pending[slot_of(index, &old.pending[i].key)] = old.pending[i];
        }
    }
    us_free(old.pending);
}

/* Of a value under its key: half an XXH3-128. */
static void value_sum(const struct us_digest *key, const void *bytes, size_t size,
                      uint8_t sum[SUM]) {
    struct us_digest whole = us_digest_of(bytes, size);
    uint8_t both[2 * sizeof whole.bytes];
    memcpy(both, key->bytes, sizeof key->bytes);
    memcpy(both + sizeof key->bytes, whole.bytes, sizeof whole.bytes);
    whole = us_digest_of(both, sizeof both);
    memcpy(sum, whole.bytes, SUM);
}

static int write_value(struct us_index *index, MDB_txn *txn, struct us_index_entry *entry) {
    MDB_val key = {sizeof entry->key.bytes, entry->key.bytes};
    MDB_val value = {SUM + entry->size, NULL};
    int failed = mdb_put(txn, index->table, &key, &value, MDB_RESERVE);
    if (!failed) {
        value_sum(&entry->key, entry->bytes, entry->size, value.mv_data);
        memcpy((uint8_t *)value.mv_data + SUM, entry->bytes, entry->size);
    }
    return failed;
}

static int write_pending(struct us_index *index) {
    MDB_txn *txn;
    int failed = mdb_txn_begin(index->env, NULL, 0, &txn);
    if (failed) {
        return failed;
    }
    for (size_t i = 0; i < index->pending_capacity && !failed; i++) {
        struct us_index_entry *entry = &index->pending[i];
        if (entry->used) {
            failed = write_value(index, txn, entry);
        }
    }
    if (failed) {
        mdb_txn_abort(txn);
        return failed;
    }
    return mdb_txn_commit(txn);
}

static void flush(struct us_index *index) {
    if (!index->pending_count || !is_open(index)) {
        return;
    }
    int failed = write_pending(index);
    for (int tries = 0; (failed == MDB_MAP_FULL || failed == MDB_MAP_RESIZED) && tries < 8;
         tries++) {
        MDB_envinfo info;
        mdb_env_info(index->env, &info);
        mdb_env_set_mapsize(index->env, failed == MDB_MAP_FULL ? 2 * info.me_mapsize : 0);
        failed = write_pending(index);
    }
    forget_pending(index);
}

void us_index_finish(struct us_index *index) {
    flush(index);
    forget_pending(index);
    close_env(index);
    us_free(index->folder);
    pthread_mutex_destroy(&index->lock);
}

static uint8_t *copy(const void *bytes, size_t size) {
    uint8_t *block = us_malloc(size + 1);
    memcpy(block, bytes, size);
    block[size] = '\0';
    return block;
}

/* With the lock held. */
static bool begin_read(struct us_index *index) {
    int failed = mdb_txn_renew(index->reader);
    if (failed == MDB_MAP_RESIZED) {
        mdb_env_set_mapsize(index->env, 0);
        failed = mdb_txn_renew(index->reader);
    }
    return !failed;
}

enum answer { NONE, FOUND, DAMAGED };

/* Inside a transaction: *bytes points into the index. */
static enum answer get_stored(struct us_index *index, const struct us_digest *key,
                              const uint8_t **bytes, size_t *size) {
    struct us_digest name = *key;
    MDB_val wanted = {sizeof name.bytes, name.bytes}, value;
    int failed = mdb_get(index->reader, index->table, &wanted, &value);
    if (failed) {
        return failed == MDB_NOTFOUND ? NONE : DAMAGED;
    }
    if (value.mv_size < SUM) {
        return DAMAGED;
    }
    uint8_t sum[SUM];
    *bytes = (const uint8_t *)value.mv_data + SUM;
    *size = value.mv_size - SUM;
    value_sum(key, *bytes, *size, sum);
    return memcmp(sum, value.mv_data, SUM) == 0 ? FOUND : DAMAGED;
}

static void start_anew(struct us_index *index) {
    close_env(index);
    remove_files(index);
    index->tried = false;
}

static const struct us_index_entry *get_pending(struct us_index *index,
                                                const struct us_digest *key) {
    if (!index->pending_count) {
        return NULL;
    }
    const struct us_index_entry *entry = &index->pending[slot_of(index, key)];
    return entry->used ? entry : NULL;
}

uint8_t *us_index_get(struct us_index *index, const struct us_digest *key, size_t *size) {
    uint8_t *found = NULL;
    *size = 0;
    pthread_mutex_lock(&index->lock);
    const struct us_index_entry *entry = get_pending(index, key);
    const uint8_t *bytes = NULL;
    if (entry) {
        found = copy(entry->bytes, entry->size);
        *size = entry->size;
    } else if (is_open(index) && begin_read(index)) {
        enum answer answer = get_stored(index, key, &bytes, size);
        if (answer == FOUND) {
            found = copy(bytes, *size);
        } else {
            *size = 0;
        }
        mdb_txn_reset(index->reader);
        if (answer == DAMAGED) {
            start_anew(index);
        }
    }
    pthread_mutex_unlock(&index->lock);
    return found;
}

void us_index_get_many(struct us_index *index, const struct us_digest *keys, size_t count,
                       size_t size, void *values, bool *found) {
    pthread_mutex_lock(&index->lock);
    bool stored = is_open(index) && begin_read(index), damaged = false;
    for (size_t i = 0; i < count; i++) {
        const struct us_index_entry *entry = get_pending(index, &keys[i]);
        const uint8_t *bytes = entry ? entry->bytes : NULL;
        size_t length = entry ? entry->size : 0;
        enum answer answer = entry                ? FOUND
                             : stored && !damaged ? get_stored(index, &keys[i], &bytes, &length)
                                                  : NONE;
        damaged = damaged || answer == DAMAGED;
        found[i] = answer == FOUND && length == size;
        if (found[i]) {
            memcpy((uint8_t *)values + i * size, bytes, size);
        }
    }
    if (stored) {
        mdb_txn_reset(index->reader);
    }
    if (damaged) {
        start_anew(index);
    }
    pthread_mutex_unlock(&index->lock);
}

void us_index_put(struct us_index *index, const struct us_digest *key, const void *bytes,
                  size_t size) {
    pthread_mutex_lock(&index->lock);
    if (2 * (index->pending_count + 1) > index->pending_capacity) {
        grow_pending(index);
    }
    struct us_index_entry *entry = &index->pending[slot_of(index, key)];
    if (!entry->used && index->pending_count++ == 0) {
        index->pending_since = time(NULL);
    }
    us_free(entry->bytes);
    *entry = (struct us_index_entry){
        .key = *key, .bytes = copy(bytes, size), .size = size, .used = true};
    if (index->pending_count >= BATCH) {
        flush(index);
    }
    pthread_mutex_unlock(&index->lock);
}

void us_index_tick(struct us_index *index) {
    pthread_mutex_lock(&index->lock);
    if (index->pending_count && time(NULL) - index->pending_since >= BATCH_SECONDS) {
        flush(index);
    }
    pthread_mutex_unlock(&index->lock);
}
