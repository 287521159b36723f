#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "cache/cache_internal.h"
#include "cache/file_facts.h"
#include "runtime/base/mem.h"

enum { THREADS = 8, PORTION = 64 };

struct file {
    struct us_file_facts facts;
    bool there;
};

struct batch {
    struct us_store *store;
    const char *const *paths;
    size_t count;
    struct file *files;
    struct us_digest *keys, *digests;
    struct us_error **errors;
    const size_t *unknown; /* to be read */
    size_t unknown_count;
    _Atomic size_t next;
    void (*work)(struct batch *batch, size_t index);
    size_t work_count;
};

static void stat_one(struct batch *batch, size_t index) {
    struct stat info;
    struct file *file = &batch->files[index];
    file->there = stat(batch->paths[index], &info) == 0;
    if (file->there) {
        file->facts = us_facts_of(&info);
        batch->keys[index] = us_facts_key(&info);
    }
}

static void read_one(struct batch *batch, size_t index) {
    size_t at = batch->unknown[index];
    batch->errors[at] = us_cache_file_digest(batch->store, batch->paths[at], &batch->digests[at]);
}

static void *run(void *context) {
    struct batch *batch = context;
    size_t portion = batch->work_count > (size_t)THREADS * PORTION ? PORTION : 1;
    for (;;) {
        size_t first = atomic_fetch_add(&batch->next, portion);
        if (first >= batch->work_count) {
            return NULL;
        }
        for (size_t i = first; i < first + portion && i < batch->work_count; i++) {
            batch->work(batch, i);
        }
    }
}

/* By several threads, this one among them; signals belong to the program's own. */
static void run_all(struct batch *batch, void (*work)(struct batch *batch, size_t index),
                    size_t count) {
    pthread_t threads[THREADS - 1];
    size_t started = 0;
    batch->work = work;
    batch->work_count = count;
    atomic_store(&batch->next, 0);
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (started < THREADS - 1 && started + 1 < count &&
           pthread_create(&threads[started], NULL, run, batch) == 0) {
        started++;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    run(batch);
    for (size_t i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
    }
}

/* Fills what the index knows, and lists the rest. */
static size_t recall_known(struct batch *batch, size_t *unknown) {
    struct cache *cache = us_cache_of(batch->store);
    struct us_file_facts *known = us_calloc(batch->count, sizeof *known);
    bool *found = us_calloc(batch->count, sizeof *found);
    us_index_get_many(&cache->index, batch->keys, batch->count, sizeof *known, known, found);
    size_t count = 0;
    for (size_t i = 0; i < batch->count; i++) {
        batch->errors[i] = NULL;
        if (found[i] && batch->files[i].there && us_same_facts(&known[i], &batch->files[i].facts)) {
            batch->digests[i] = known[i].digest;
        } else {
            unknown[count++] = i;
        }
    }
    us_free(known);
    us_free(found);
    return count;
}

static int by_file(const void *left, const void *right, void *context) {
    const struct us_digest *keys = ((const struct batch *)context)->keys;
    size_t a = *(const size_t *)left, b = *(const size_t *)right;
    int order = memcmp(keys[a].bytes, keys[b].bytes, sizeof keys[a].bytes);
    return order ? order : (a > b) - (a < b);
}

/* Moves files that are in the list before to its end; how many are left at its start. */
static size_t repeated_last(struct batch *batch, size_t *unknown, size_t count) {
    qsort_r(unknown, count, sizeof *unknown, by_file, batch);
    size_t *repeated = us_calloc(count + 1, sizeof *repeated), repeats = 0, kept = 0;
    for (size_t i = 0; i < count; i++) {
        bool again = kept && batch->files[unknown[i]].there &&
                     us_digest_equal(&batch->keys[unknown[i]], &batch->keys[unknown[kept - 1]]);
        if (again) {
            repeated[repeats++] = unknown[i];
        } else {
            unknown[kept++] = unknown[i];
        }
    }
    memcpy(unknown + kept, repeated, repeats * sizeof *repeated);
    us_free(repeated);
    return kept;
}

void us_cache_file_digests(struct us_store *store, const char *const *paths, size_t count,
                           struct us_digest *digests, struct us_error **errors) {
    if (!count) {
        return;
    }
    struct batch batch = {
        .store = store, .paths = paths, .count = count, .digests = digests, .errors = errors};
    batch.files = us_calloc(count, sizeof *batch.files);
    batch.keys = us_calloc(count, sizeof *batch.keys);
    size_t *unknown = us_calloc(count, sizeof *unknown);
    run_all(&batch, stat_one, count);
    batch.unknown_count = recall_known(&batch, unknown);
    batch.unknown = unknown;
    size_t first = repeated_last(&batch, unknown, batch.unknown_count);
    run_all(&batch, read_one, first);
    for (size_t i = first; i < batch.unknown_count; i++) {
        read_one(&batch, i); /* known by now, as a rule */
    }
    us_free(batch.files);
    us_free(batch.keys);
    us_free(unknown);
}
