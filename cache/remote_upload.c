/* The queue between what is made and the server. Objects wait as digests and are read from the
 * local store when their turn comes, so the queue is small, and what was damaged meanwhile is not
 * sent. A record goes after all objects queued before it, and only when those that it names are
 * there. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "cache/remote_internal.h"
#include "runtime/base/mem.h"

enum { QUEUED_MAX = 65536, QUEUED_BYTES_MAX = 64 << 20, OBJECTS_MAX = 16 };

struct remote_job {
    enum remote_kind kind;
    struct us_digest key;
    uint64_t number; /* object: its own; record: the last object's queued before it */
    uint8_t *bytes;  /* record: note and record */
    size_t size;
    struct us_digest objects[OBJECTS_MAX];
    size_t object_count;
    bool noted;
    struct remote_job *next;
};

/* With the lock. */
static void count_unsent(struct remote *remote, enum remote_kind kind,
                         const struct us_digest *key) {
    struct remote_fact *fact = remote_fact_at(&remote->facts, kind, key);
    const bool there = fact->flags & REMOTE_THERE && !(fact->flags & REMOTE_DAMAGED);
    if (!there && !(fact->flags & REMOTE_UNSENT)) {
        fact->flags |= REMOTE_UNSENT;
        remote->counts.given_up++;
    }
}

void remote_count_unsent(struct remote *remote, enum remote_kind kind,
                         const struct us_digest *key) {
    if (remote->may_write) {
        pthread_mutex_lock(&remote->lock);
        count_unsent(remote, kind, key);
        pthread_mutex_unlock(&remote->lock);
    }
}

/* It is there, after all where it was given up before. */
static void note_there(struct remote *remote, enum remote_kind kind, const struct us_digest *key) {
    pthread_mutex_lock(&remote->lock);
    struct remote_fact *fact = remote_fact_at(&remote->facts, kind, key);
    remote->counts.given_up -= (fact->flags & REMOTE_UNSENT) != 0;
    fact->flags =
        (uint8_t)((fact->flags & ~(unsigned)(REMOTE_DAMAGED | REMOTE_UNSENT)) | REMOTE_THERE);
    pthread_mutex_unlock(&remote->lock);
}

static unsigned flags_of(struct remote *remote, enum remote_kind kind,
                         const struct us_digest *key) {
    pthread_mutex_lock(&remote->lock);
    unsigned flags = remote_fact_of(&remote->facts, kind, key).flags;
    pthread_mutex_unlock(&remote->lock);
    return flags;
}

static enum remote_answer put(struct remote *remote, enum remote_kind kind,
                              const struct us_digest *key, const void *bytes, size_t size,
                              bool replace) {
    uint8_t header[REMOTE_HEADER];
    const struct remote_part parts[] = {{header, sizeof header}, {bytes, size}};
    remote_frame_write(kind, key, parts + 1, 1, header);
    struct remote_request request = {.verb = REMOTE_PUT,
                                     .kind = kind,
                                     .key = *key,
                                     .if_absent = !replace && !remote->no_conditions,
                                     .parts = parts,
                                     .part_count = 2};
    enum remote_answer answer = remote_ask(remote, &request);
    if (answer == REMOTE_FAILED && request.status == 501 && request.if_absent) {
        remote->no_conditions = true;
        request.if_absent = false;
        request.trouble[0] = '\0';
        answer = remote_ask(remote, &request);
    }
    pthread_mutex_lock(&remote->lock);
    struct us_remote_counts *counts = &remote->counts;
    counts->objects_sent += answer == REMOTE_OK && kind == REMOTE_OBJECT;
    counts->records_sent += answer == REMOTE_OK && kind == REMOTE_RECORD;
    counts->bytes_sent += answer == REMOTE_OK ? size : 0;
    counts->there += answer == REMOTE_EXISTS;
    pthread_mutex_unlock(&remote->lock);
    return answer;
}

static enum remote_answer head(struct remote *remote, enum remote_kind kind,
                               const struct us_digest *key) {
    struct remote_request request = {.verb = REMOTE_HEAD, .kind = kind, .key = *key};
    enum remote_answer answer = remote_ask(remote, &request);
    if (answer == REMOTE_OK) {
        pthread_mutex_lock(&remote->lock);
        remote->counts.there++;
        pthread_mutex_unlock(&remote->lock);
    }
    return answer;
}

static bool send_object(struct remote *remote, const struct us_digest *digest) {
    unsigned flags = flags_of(remote, REMOTE_OBJECT, digest);
    bool replace = flags & REMOTE_DAMAGED;
    if (flags & REMOTE_THERE && !replace) {
        return true;
    }
    enum remote_answer answer = replace ? REMOTE_MISSING : head(remote, REMOTE_OBJECT, digest);
    if (answer == REMOTE_MISSING) {
        uint8_t *bytes = NULL;
        size_t size;
        us_error_free(remote->local->ops->get_object(remote->local, digest, &bytes, &size));
        answer = bytes ? put(remote, REMOTE_OBJECT, digest, bytes, size, replace) : REMOTE_FAILED;
        us_free(bytes);
    }
    bool sent = answer == REMOTE_OK || answer == REMOTE_EXISTS;
    if (sent) {
        note_there(remote, REMOTE_OBJECT, digest);
    }
    return sent;
}

/* True when the record that the server has names an object that it has not: nobody can use it. */
static bool is_useless(struct remote *remote, const struct us_digest *key) {
    struct remote_request request = {.verb = REMOTE_GET, .kind = REMOTE_RECORD, .key = *key};
    enum remote_answer answer = remote_ask(remote, &request);
    bool useless = answer == REMOTE_BAD;
    struct remote_note note;
    if (answer == REMOTE_OK && remote_note_read(request.bytes, request.size, &note)) {
        for (size_t i = 0; i < note.note.object_count && !useless; i++) {
            useless = head(remote, REMOTE_OBJECT, &note.objects[i]) == REMOTE_MISSING;
        }
    }
    us_free(request.bytes);
    return useless;
}

static bool send_record(struct remote *remote, const struct remote_job *job) {
    for (size_t i = 0; i < job->object_count; i++) {
        if (!send_object(remote, &job->objects[i])) {
            return false;
        }
    }
    pthread_mutex_lock(&remote->lock);
    bool unsure = !job->noted && remote->object_lost;
    pthread_mutex_unlock(&remote->lock);
    if (unsure) {
        return false;
    }
    unsigned flags = flags_of(remote, REMOTE_RECORD, &job->key);
    bool replace = flags & REMOTE_DAMAGED;
    if (!replace) {
        enum remote_answer answer = head(remote, REMOTE_RECORD, &job->key);
        replace = answer == REMOTE_OK && flags & REMOTE_DROPPED && is_useless(remote, &job->key);
        if (!replace && answer != REMOTE_MISSING) {
            return answer == REMOTE_OK;
        }
    }
    enum remote_answer answer =
        put(remote, REMOTE_RECORD, &job->key, job->bytes, job->size, replace);
    bool sent = answer == REMOTE_OK || answer == REMOTE_EXISTS;
    if (sent) {
        note_there(remote, REMOTE_RECORD, &job->key);
    }
    return sent;
}

static void free_job(struct remote_job *job) {
    if (job) {
        us_free(job->bytes);
        us_free(job);
    }
}

static struct remote_job *pop(struct remote *remote, enum remote_kind kind) {
    struct remote_job *job = remote->first[kind];
    remote->first[kind] = job->next;
    if (!job->next) {
        remote->last[kind] = NULL;
    }
    remote->queued--;
    remote->queued_bytes -= job->size;
    return job;
}

/* With the lock: the next job that may begin, or NULL. */
static struct remote_job *next_job(struct remote *remote) {
    struct remote_job *object = remote->first[REMOTE_OBJECT];
    struct remote_job *record = remote->first[REMOTE_RECORD];
    uint64_t unsent = object ? object->number : UINT64_MAX;
    for (int i = 0; i < REMOTE_UPLOADERS; i++) {
        if (remote->at_work[i] && remote->at_work[i] < unsent) {
            unsent = remote->at_work[i];
        }
    }
    if (record && record->number < unsent) {
        return pop(remote, REMOTE_RECORD);
    }
    return object ? pop(remote, REMOTE_OBJECT) : NULL;
}

static bool gives_up(const struct remote *remote) {
    return atomic_load(&remote->off) || !atomic_load(&remote->writes);
}

static void give_up(struct remote *remote) {
    for (int kind = REMOTE_OBJECT; kind <= REMOTE_RECORD; kind++) {
        while (remote->first[kind]) {
            struct remote_job *job = pop(remote, (enum remote_kind)kind);
            count_unsent(remote, job->kind, &job->key);
            free_job(job);
        }
    }
}

static void *upload(void *context) {
    struct remote *remote = context;
    pthread_mutex_lock(&remote->lock);
    int self = remote->numbered++;
    for (;;) {
        if (gives_up(remote)) {
            give_up(remote);
        }
        struct remote_job *job = next_job(remote);
        if (!job && remote->closing) {
            break;
        }
        if (!job) {
            pthread_cond_broadcast(&remote->done);
            pthread_cond_wait(&remote->wake, &remote->lock);
            continue;
        }
        bool object = job->kind == REMOTE_OBJECT;
        remote->at_work[self] = object ? job->number : 0;
        remote->busy++;
        pthread_mutex_unlock(&remote->lock);
        bool sent = object ? send_object(remote, &job->key) : send_record(remote, job);
        pthread_mutex_lock(&remote->lock);
        remote->busy--;
        remote->at_work[self] = 0;
        remote->object_lost |= object && !sent;
        if (!sent) {
            count_unsent(remote, job->kind, &job->key);
        }
        free_job(job);
        pthread_cond_broadcast(&remote->wake);
        pthread_cond_broadcast(&remote->done);
    }
    pthread_mutex_unlock(&remote->lock);
    return NULL;
}

/* With the lock. Threads number themselves when they begin. */
static void start_uploaders(struct remote *remote) {
    bool room = !remote->thread_count;
    for (int i = 0; i < REMOTE_UPLOADERS && room; i++) {
        room = pthread_create(&remote->uploaders[i], NULL, upload, remote) == 0;
        remote->thread_count += room;
    }
}

/* Takes the job. A full queue drops it, or waits for room. */
static void enqueue(struct remote *remote, struct remote_job *job, bool wait) {
    bool full = false;
    pthread_mutex_lock(&remote->lock);
    start_uploaders(remote);
    for (;;) {
        full = remote->queued >= QUEUED_MAX || remote->queued_bytes > QUEUED_BYTES_MAX;
        if (!full || !wait || gives_up(remote)) {
            break;
        }
        pthread_cond_wait(&remote->done, &remote->lock);
    }
    if (full || gives_up(remote) || !remote->thread_count) {
        count_unsent(remote, job->kind, &job->key);
        remote->object_lost |= job->kind == REMOTE_OBJECT;
        free_job(job);
    } else {
        if (job->kind == REMOTE_OBJECT) {
            job->number = ++remote->next_number;
        } else {
            job->number = remote->next_number;
        }
        struct remote_job *last = remote->last[job->kind];
        *(last ? &last->next : &remote->first[job->kind]) = job;
        remote->last[job->kind] = job;
        remote->queued++;
        remote->queued_bytes += job->size;
        pthread_cond_signal(&remote->wake);
    }
    pthread_mutex_unlock(&remote->lock);
}

void remote_queue_object(struct remote *remote, const struct us_digest *digest, bool wait) {
    struct remote_job *job = us_calloc(1, sizeof *job);
    job->kind = REMOTE_OBJECT;
    job->key = *digest;
    enqueue(remote, job, wait);
}

void remote_queue_record(struct remote *remote, const struct us_digest *key,
                         const struct us_record_note *note, const void *bytes, size_t size,
                         bool wait) {
    struct remote_job *job = us_calloc(1, sizeof *job);
    job->kind = REMOTE_RECORD;
    job->key = *key;
    job->noted = note != NULL;
    for (size_t i = 0; note && i < note->object_count && i < OBJECTS_MAX; i++) {
        job->objects[job->object_count++] = note->objects[i];
    }
    size_t head_size;
    uint8_t *head_bytes = remote_note_write(note, &head_size);
    job->size = head_size + size;
    job->bytes = us_realloc(head_bytes, job->size + 1);
    memcpy(job->bytes + head_size, bytes, size);
    enqueue(remote, job, wait);
}

void remote_queue_forget(struct remote *remote, const struct us_digest *key) {
    pthread_mutex_lock(&remote->lock);
    struct remote_job *before = NULL;
    for (struct remote_job *job = remote->first[REMOTE_RECORD]; job;) {
        struct remote_job *next = job->next;
        if (us_digest_equal(&job->key, key)) {
            *(before ? &before->next : &remote->first[REMOTE_RECORD]) = next;
            if (!next) {
                remote->last[REMOTE_RECORD] = before;
            }
            remote->queued--;
            remote->queued_bytes -= job->size;
            free_job(job);
        } else {
            before = job;
        }
        job = next;
    }
    pthread_mutex_unlock(&remote->lock);
}

void remote_queue_drain(struct remote *remote, double seconds) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    double whole = (double)until.tv_nsec * 1e-9 + (seconds > 0 ? seconds : 0);
    until.tv_sec += (time_t)whole;
    until.tv_nsec = (long)((whole - (double)(time_t)whole) * 1e9);
    pthread_mutex_lock(&remote->lock);
    while (remote->queued || remote->busy) {
        pthread_cond_broadcast(&remote->wake);
        int failed = 0;
        if (seconds < 0) {
            pthread_cond_wait(&remote->done, &remote->lock);
        } else {
            failed = pthread_cond_timedwait(&remote->done, &remote->lock, &until);
        }
        if (failed == ETIMEDOUT) {
            give_up(remote);
            atomic_store(&remote->off, true);
            seconds = -1;
        }
    }
    pthread_mutex_unlock(&remote->lock);
}

void remote_queue_stop(struct remote *remote) {
    pthread_mutex_lock(&remote->lock);
    remote->closing = true;
    pthread_cond_broadcast(&remote->wake);
    pthread_mutex_unlock(&remote->lock);
    for (int i = 0; i < remote->thread_count; i++) {
        pthread_join(remote->uploaders[i], NULL);
    }
}
