#include "cache/remote.h"

#include <stdio.h>
#include <string.h>

#include "cache/remote_internal.h"
#include "runtime/base/mem.h"
#include "runtime/base/str.h"

/* How long "there is none" is believed: other hosts publish meanwhile. */
#define MISSING_SECONDS 10.0

static struct remote *remote_of(struct us_store *store) {
    return (struct remote *)store;
}

void remote_warn(struct remote *remote, const char *format, ...) {
    char text[1024];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    pthread_mutex_lock(&remote->lock);
    us_grow(&remote->warnings, &remote->warning_capacity, remote->warning_count,
            sizeof *remote->warnings);
    remote->warnings[remote->warning_count++] = us_strdup(text);
    pthread_mutex_unlock(&remote->lock);
}

/* Uploads outlive what `warn` writes to, so only callers' threads call it. */
void remote_tell(struct remote *remote) {
    pthread_mutex_lock(&remote->lock);
    char **warnings = remote->warnings;
    size_t count = remote->warning_count;
    bool told = count && remote->store.warn;
    if (told) {
        remote->warnings = NULL;
        remote->warning_count = remote->warning_capacity = 0;
    }
    pthread_mutex_unlock(&remote->lock);
    for (size_t i = 0; told && i < count; i++) {
        remote->store.warn(remote->store.warn_context, warnings[i]);
        us_free(warnings[i]);
    }
    if (told) {
        us_free(warnings);
    }
}

static void warn_of_local(void *context, const char *message) {
    struct remote *remote = context;
    remote_warn(remote, "%s", message);
}

static bool may_ask(struct remote *remote, enum remote_kind kind, const struct us_digest *key) {
    if (!remote->reads || atomic_load(&remote->off)) {
        return false;
    }
    pthread_mutex_lock(&remote->lock);
    struct remote_fact fact = remote_fact_of(&remote->facts, kind, key);
    pthread_mutex_unlock(&remote->lock);
    return !(fact.flags & (REMOTE_DAMAGED | REMOTE_DROPPED)) &&
           (!fact.missing_until || fact.missing_until < remote_now());
}

static void learn(struct remote *remote, enum remote_kind kind, const struct us_digest *key,
                  enum remote_answer answer, size_t fetched) {
    if (answer != REMOTE_OK && answer != REMOTE_MISSING) {
        return;
    }
    pthread_mutex_lock(&remote->lock);
    struct remote_fact *fact = remote_fact_at(&remote->facts, kind, key);
    bool there = answer == REMOTE_OK;
    fact->missing_until = there ? 0 : remote_now() + MISSING_SECONDS;
    fact->flags =
        (uint8_t)(there ? fact->flags | REMOTE_THERE : fact->flags & ~(unsigned)REMOTE_THERE);
    if (there && fetched) {
        remote->counts.objects_fetched += kind == REMOTE_OBJECT;
        remote->counts.records_fetched += kind == REMOTE_RECORD;
        remote->counts.bytes_fetched += fetched;
    }
    pthread_mutex_unlock(&remote->lock);
}

/* Fetches an object and keeps it in the local store; *bytes NULL when that is not to be had. A full
 * disk is no reason to fail: what was fetched is still good. */
static bool fetch_object(struct remote *remote, const struct us_digest *digest, uint8_t **bytes,
                         size_t *size) {
    *bytes = NULL;
    if (!may_ask(remote, REMOTE_OBJECT, digest)) {
        return false;
    }
    struct remote_request request = {.verb = REMOTE_GET, .kind = REMOTE_OBJECT, .key = *digest};
    enum remote_answer answer = remote_ask(remote, &request);
    learn(remote, REMOTE_OBJECT, digest, answer, request.size + REMOTE_HEADER);
    if (answer != REMOTE_OK) {
        return false;
    }
    struct us_error *error =
        remote->local->ops->put_object(remote->local, digest, request.bytes, request.size);
    bool kept = !error;
    us_error_free(error);
    *bytes = request.bytes;
    *size = request.size;
    return kept;
}

static bool has_object(struct us_store *store, const struct us_digest *digest) {
    struct remote *remote = remote_of(store);
    if (remote->local->ops->has_object(remote->local, digest)) {
        return true;
    }
    bool has = false;
    if (!remote->ask_only) {
        uint8_t *bytes;
        size_t size;
        has = fetch_object(remote, digest, &bytes, &size);
        us_free(bytes);
    } else if (may_ask(remote, REMOTE_OBJECT, digest)) {
        struct remote_request request = {
            .verb = REMOTE_HEAD, .kind = REMOTE_OBJECT, .key = *digest};
        enum remote_answer answer = remote_ask(remote, &request);
        learn(remote, REMOTE_OBJECT, digest, answer, 0);
        has = answer == REMOTE_OK;
    }
    remote_tell(remote);
    return has;
}

static struct us_error *get_object(struct us_store *store, const struct us_digest *digest,
                                   uint8_t **bytes, size_t *size) {
    struct remote *remote = remote_of(store);
    US_TRY(remote->local->ops->get_object(remote->local, digest, bytes, size));
    if (!*bytes) {
        fetch_object(remote, digest, bytes, size);
    }
    remote_tell(remote);
    return NULL;
}

static void fetch_record(struct remote *remote, const struct us_digest *key, uint8_t **bytes,
                         size_t *size) {
    if (!may_ask(remote, REMOTE_RECORD, key)) {
        return;
    }
    struct remote_request request = {.verb = REMOTE_GET, .kind = REMOTE_RECORD, .key = *key};
    enum remote_answer answer = remote_ask(remote, &request);
    learn(remote, REMOTE_RECORD, key, answer, request.size + REMOTE_HEADER);
    if (answer != REMOTE_OK) {
        return;
    }
    struct remote_note note;
    size_t head = remote_note_read(request.bytes, request.size, &note);
    if (!head) {
        us_free(request.bytes);
        return;
    }
    *size = request.size - head;
    memmove(request.bytes, request.bytes + head, *size + 1);
    *bytes = request.bytes;
    bool won;
    us_error_free(remote->local->ops->put_record(remote->local, key, note.given ? &note.note : NULL,
                                                 *bytes, *size, &won));
}

static struct us_error *find_record(struct us_store *store, const struct us_digest *key,
                                    uint8_t **bytes, size_t *size) {
    struct remote *remote = remote_of(store);
    US_TRY(remote->local->ops->find_record(remote->local, key, bytes, size));
    if (!*bytes) {
        fetch_record(remote, key, bytes, size);
    }
    remote_tell(remote);
    return NULL;
}

static struct us_error *put_object(struct us_store *store, const struct us_digest *digest,
                                   const void *bytes, size_t size) {
    struct remote *remote = remote_of(store);
    US_TRY(remote->local->ops->put_object(remote->local, digest, bytes, size));
    if (atomic_load(&remote->writes) && !atomic_load(&remote->off)) {
        remote_queue_object(remote, digest, false);
    } else {
        remote_count_unsent(remote, REMOTE_OBJECT, digest);
    }
    remote_tell(remote);
    return NULL;
}

static struct us_error *put_record(struct us_store *store, const struct us_digest *key,
                                   const struct us_record_note *note, const void *bytes,
                                   size_t size, bool *won) {
    struct remote *remote = remote_of(store);
    US_TRY(remote->local->ops->put_record(remote->local, key, note, bytes, size, won));
    if (*won && atomic_load(&remote->writes) && !atomic_load(&remote->off)) {
        remote_queue_record(remote, key, note, bytes, size, false);
    } else if (*won) {
        remote_count_unsent(remote, REMOTE_RECORD, key);
    }
    remote_tell(remote);
    return NULL;
}

static struct us_error *drop_record(struct us_store *store, const struct us_digest *key) {
    struct remote *remote = remote_of(store);
    remote_queue_forget(remote, key);
    pthread_mutex_lock(&remote->lock);
    remote_fact_at(&remote->facts, REMOTE_RECORD, key)->flags |= REMOTE_DROPPED;
    pthread_mutex_unlock(&remote->lock);
    return remote->local->ops->drop_record(remote->local, key);
}

static struct us_digest generation(struct us_store *store) {
    struct us_store *local = remote_of(store)->local;
    return local->ops->generation(local);
}

static struct us_error *file_digest(struct us_store *store, const char *path,
                                    struct us_digest *digest) {
    struct us_store *local = remote_of(store)->local;
    return local->ops->file_digest(local, path, digest);
}

static void file_states(struct us_store *store, const char *const *paths, size_t count,
                        struct us_digest *states) {
    struct us_store *local = remote_of(store)->local;
    local->ops->file_states(local, paths, count, states);
}

static void file_digests(struct us_store *store, const char *const *paths, size_t count,
                         struct us_digest *digests, struct us_error **errors) {
    struct us_store *local = remote_of(store)->local;
    local->ops->file_digests(local, paths, count, digests, errors);
}

static void remember_file(struct us_store *store, const char *path,
                          const struct us_digest *digest) {
    struct us_store *local = remote_of(store)->local;
    local->ops->remember_file(local, path, digest);
}

static struct us_error *workspace(struct us_store *store, const struct us_digest *key,
                                  char **folder) {
    struct us_store *local = remote_of(store)->local;
    return local->ops->workspace(local, key, folder);
}

static struct us_error *lease(struct us_store *store, const struct us_digest *key, bool *taken) {
    struct us_store *local = remote_of(store)->local;
    return local->ops->lease(local, key, taken);
}

static char *lease_holder(struct us_store *store, const struct us_digest *key) {
    struct us_store *local = remote_of(store)->local;
    return local->ops->lease_holder(local, key);
}

static void release(struct us_store *store, const struct us_digest *key) {
    struct us_store *local = remote_of(store)->local;
    local->ops->release(local, key);
}

static uint8_t *recall(struct us_store *store, const char *name, size_t *size) {
    struct us_store *local = remote_of(store)->local;
    return local->ops->recall(local, name, size);
}

static void remember(struct us_store *store, const char *name, const void *bytes, size_t size) {
    struct us_store *local = remote_of(store)->local;
    local->ops->remember(local, name, bytes, size);
}

static void log_add(struct us_store *store, const char *name, const char *line) {
    struct us_store *local = remote_of(store)->local;
    local->ops->log_add(local, name, line);
}

static char *log_read(struct us_store *store, const char *name, int64_t *first) {
    struct us_store *local = remote_of(store)->local;
    return local->ops->log_read(local, name, first);
}

static const struct us_store_ops ops = {
    .find_record = find_record,
    .put_record = put_record,
    .drop_record = drop_record,
    .generation = generation,
    .has_object = has_object,
    .get_object = get_object,
    .put_object = put_object,
    .file_digest = file_digest,
    .file_states = file_states,
    .file_digests = file_digests,
    .remember_file = remember_file,
    .workspace = workspace,
    .lease = lease,
    .lease_holder = lease_holder,
    .release = release,
    .recall = recall,
    .remember = remember,
    .log_add = log_add,
    .log_read = log_read,
};

struct us_error *us_remote_open(struct us_store *local, const struct us_remote_options *options,
                                struct us_store **store) {
    *store = NULL;
    struct remote_target target;
    const struct us_curl *curl;
    US_TRY(remote_target_read(options->url, &target));
    struct us_error *error = us_curl_load(&curl);
    if (error) {
        remote_target_finish(&target);
        return error;
    }
    struct remote *remote = us_calloc(1, sizeof *remote);
    remote->store.ops = &ops;
    remote->local = local;
    remote->curl = curl;
    remote->target = target;
    remote->reads = !options->no_reads;
    remote->ask_only = options->ask_only;
    remote->may_write = !options->no_writes;
    atomic_store(&remote->writes, !options->no_writes);
    remote->breaker.opened = remote_now();
    pthread_mutex_init(&remote->lock, NULL);
    pthread_cond_init(&remote->wake, NULL);
    pthread_cond_init(&remote->done, NULL);
    local->warn = warn_of_local;
    local->warn_context = remote;
    *store = &remote->store;
    return NULL;
}

void us_remote_flush(struct us_store *store, double seconds) {
    struct remote *remote = remote_of(store);
    remote_queue_drain(remote, seconds);
    remote_tell(remote);
}

void us_remote_counts(struct us_store *store, struct us_remote_counts *counts) {
    struct remote *remote = remote_of(store);
    pthread_mutex_lock(&remote->lock);
    *counts = remote->counts;
    counts->waiting = remote->queued + remote->busy;
    counts->lost = remote->breaker.lost;
    counts->off = atomic_load(&remote->off);
    pthread_mutex_unlock(&remote->lock);
}
