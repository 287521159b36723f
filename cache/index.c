#include "cache/index.h"

#include <lmdb.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cache/page_guard.h"
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

/* LMDB knows that a page is not what it must be. */
static void page_damaged(MDB_env *env, const char *what) {
    (void)env;
    (void)what;
    us_page_guard_leave();
}

static int open_env(struct us_index *index) {
    MDB_env *env;
    int failed = mdb_env_create(&env);
    if (failed) {
        return failed;
    }
    index->env = env;
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

struct opening {
    struct us_index *index;
    int failed;
};

static void open_pages(void *context) {
    struct opening *opening = context;
    opening->failed = open_env(opening->index);
}

static int open_guarded(struct us_index *index) {
    struct opening opening = {.index = index};
    if (!us_page_guarded(open_pages, &opening)) {
        index->env = index->reader = NULL; /* what is half open is left alone */
        return MDB_CORRUPTED;
    }
    return opening.failed;
}

/* With the lock held. */
static bool is_open(struct us_index *index) {
    if (index->tried) {
        return index->env != NULL;
    }
    index->tried = true;
    struct us_error *error = us_make_private_folder(index->folder);
    if (error) {
        us_error_free(error);
        return false;
    }
    int failed = open_guarded(index);
    if (failed == MDB_INVALID || failed == MDB_CORRUPTED || failed == MDB_VERSION_MISMATCH ||
        failed == MDB_PAGE_NOTFOUND || failed == MDB_PANIC) {
        remove_files(index);
        failed = open_guarded(index);
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

struct writing {
    struct us_index *index;
    int failed;
    bool whole;
};

/* With the lock held. */
static bool begin_read(struct us_index *index) {
    int failed = mdb_txn_renew(index->reader);
    if (failed == MDB_MAP_RESIZED) {
        mdb_env_set_mapsize(index->env, 0);
        failed = mdb_txn_renew(index->reader);
    }
    return !failed;
}

static void write_pages(void *context) {
    struct writing *w = context;
    struct us_index *index = w->index;
    MDB_txn *txn = NULL;
    w->failed = mdb_txn_begin(index->env, NULL, 0, &txn);
    for (size_t i = 0; i < index->pending_capacity && !w->failed; i++) {
        struct us_index_entry *entry = &index->pending[i];
        if (entry->used) {
            w->failed = write_value(index, txn, entry);
        }
    }
    if (!w->failed) {
        w->failed = mdb_txn_commit(txn);
    } else if (txn) {
        mdb_txn_abort(txn);
    }
}

static void abandon(struct us_index *index) {
    index->env = index->reader = NULL;
    remove_files(index);
    index->tried = false;
}

static void start_anew(struct us_index *index) {
    close_env(index);
    abandon(index);
}

static void *write_guarded(void *context) {
    struct writing *w = context;
    w->whole = us_page_guarded(write_pages, w);
    return NULL;
}

/* In a thread of its own: a transaction that broke off can neither be ended nor closed with the
 * rest, but with its thread the lock that it has for all processes goes to the next. */
static int write_pending(struct us_index *index) {
    struct writing w = {.index = index};
    pthread_t thread;
    if (pthread_create(&thread, NULL, write_guarded, &w) != 0) {
        return MDB_PANIC;
    }
    pthread_join(thread, NULL);
    if (!w.whole) {
        abandon(index);
        return MDB_CORRUPTED;
    }
    if (w.failed == MDB_CORRUPTED || w.failed == MDB_PAGE_NOTFOUND || w.failed == MDB_PANIC) {
        start_anew(index);
        return MDB_CORRUPTED;
    }
    return w.failed;
}

static void flush(struct us_index *index) {
    if (!index->pending_count || !is_open(index)) {
        return;
    }
    int failed = write_pending(index);
    for (int tries = 0; failed && tries < 8; tries++) {
        MDB_envinfo info;
        if (failed == MDB_CORRUPTED) {
            if (!is_open(index)) {
                break;
            }
        } else if (failed == MDB_MAP_FULL || failed == MDB_MAP_RESIZED) {
            mdb_env_info(index->env, &info);
            mdb_env_set_mapsize(index->env, failed == MDB_MAP_FULL ? 2 * info.me_mapsize : 0);
        } else {
            break;
        }
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

static const struct us_index_entry *get_pending(struct us_index *index,
                                                const struct us_digest *key) {
    if (!index->pending_count) {
        return NULL;
    }
    const struct us_index_entry *entry = &index->pending[slot_of(index, key)];
    return entry->used ? entry : NULL;
}

/* Of many keys; `take` gets each value that there is. */
struct reading {
    struct us_index *index;
    const struct us_digest *keys;
    size_t count;
    void (*take)(void *context, size_t i, const uint8_t *bytes, size_t size);
    void *context;
    bool damaged;
};

static void read_pages(void *context) {
    struct reading *r = context;
    for (size_t i = 0; i < r->count && !r->damaged; i++) {
        if (get_pending(r->index, &r->keys[i])) {
            continue;
        }
        const uint8_t *bytes;
        size_t size;
        const enum answer answer = get_stored(r->index, &r->keys[i], &bytes, &size);
        r->damaged = answer == DAMAGED;
        if (answer == FOUND) {
            r->take(r->context, i, bytes, size);
        }
    }
}

static void read_values(struct reading *r) {
    struct us_index *index = r->index;
    pthread_mutex_lock(&index->lock);
    size_t pending = 0;
    for (size_t i = 0; i < r->count && index->pending_count; i++) {
        const struct us_index_entry *entry = get_pending(index, &r->keys[i]);
        if (entry) {
            r->take(r->context, i, entry->bytes, entry->size);
            pending++;
        }
    }
    if (pending < r->count && is_open(index) && begin_read(index)) {
        const bool whole = us_page_guarded(read_pages, r);
        mdb_txn_reset(index->reader);
        if (!whole || r->damaged) {
            start_anew(index);
        }
    }
    pthread_mutex_unlock(&index->lock);
}

struct one_value {
    uint8_t *bytes;
    size_t size;
};

static void take_one(void *context, size_t i, const uint8_t *bytes, size_t size) {
    (void)i;
    *(struct one_value *)context = (struct one_value){copy(bytes, size), size};
}

uint8_t *us_index_get(struct us_index *index, const struct us_digest *key, size_t *size) {
    struct one_value value = {0};
    struct reading reading = {
        .index = index, .keys = key, .count = 1, .take = take_one, .context = &value};
    read_values(&reading);
    *size = value.size;
    return value.bytes;
}

struct many_values {
    uint8_t *values;
    size_t size;
    bool *found;
};

static void take_many(void *context, size_t i, const uint8_t *bytes, size_t size) {
    const struct many_values *many = context;
    if (size == many->size) {
        memcpy(many->values + i * size, bytes, size);
        many->found[i] = true;
    }
}

void us_index_get_many(struct us_index *index, const struct us_digest *keys, size_t count,
                       size_t size, void *values, bool *found) {
    struct many_values many = {values, size, found};
    struct reading reading = {
        .index = index, .keys = keys, .count = count, .take = take_many, .context = &many};
    memset(found, 0, count * sizeof *found);
    read_values(&reading);
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
