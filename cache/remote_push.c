#include <string.h>

#include "cache/cache.h"
#include "cache/remote_internal.h"
#include "runtime/base/mem.h"

static struct us_error *push_object(void *context, const struct us_digest *digest,
                                    const struct us_record_note *note) {
    (void)note;
    remote_queue_object(context, digest, true);
    return NULL;
}

static struct us_error *push_record(void *context, const struct us_digest *key,
                                    const struct us_record_note *note) {
    struct remote *remote = context;
    uint8_t *bytes;
    size_t size;
    US_TRY(remote->local->ops->find_record(remote->local, key, &bytes, &size));
    if (bytes) {
        remote_queue_record(remote, key, note, bytes, size, true);
    }
    us_free(bytes);
    return NULL;
}

struct us_error *us_remote_push(struct us_store *store) {
    struct remote *remote = (struct remote *)store;
    struct us_error *error = us_cache_each_object(remote->local, push_object, remote);
    us_remote_flush(store, -1);
    if (!error) {
        error = us_cache_each_record(remote->local, push_record, remote);
        us_remote_flush(store, -1);
    }
    struct us_remote_counts counts;
    us_remote_counts(store, &counts);
    if (!error && (counts.off || counts.given_up)) {
        error = us_fail(US_RETRY, "%llu objects and records did not reach %s",
                        (unsigned long long)counts.given_up, remote->target.shown);
    }
    return error;
}

void us_remote_close(struct us_store *store) {
    if (!store) {
        return;
    }
    struct remote *remote = (struct remote *)store;
    us_remote_flush(store, -1);
    remote_queue_stop(remote);
    remote_tell(remote);
    remote_lines_finish(remote);
    us_cache_close(remote->local);
    for (size_t i = 0; i < remote->warning_count; i++) {
        us_free(remote->warnings[i]);
    }
    us_free(remote->warnings);
    us_free(remote->facts.items);
    remote_target_finish(&remote->target);
    pthread_mutex_destroy(&remote->lock);
    pthread_cond_destroy(&remote->wake);
    pthread_cond_destroy(&remote->done);
    us_free(remote);
}
