/* What the files of the remote tier share. */
#ifndef US_CACHE_REMOTE_INTERNAL_H
#define US_CACHE_REMOTE_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "cache/curl_library.h"
#include "cache/remote.h"
#include "runtime/base/str.h"

enum remote_kind { REMOTE_OBJECT = 1, REMOTE_RECORD = 2 };

/* Where it is and how to be let in (remote_target.c). */
struct remote_target {
    char *base;  /* URL without a slash at its end */
    char *shown; /* as the user named it, for messages */
    bool s3;
    char *signing;       /* libcurl's "aws:amz:REGION:s3" */
    char *keys;          /* "ACCESS:SECRET" */
    char *session_token; /* or NULL */
    char *netrc;         /* file, or NULL: the user's own if there is one */
    char *proxy;         /* "": none */
    char *certificates;  /* file, or NULL: libcurl's own */
};
struct us_error *remote_target_read(const char *url, struct remote_target *target) US_NODISCARD;
void remote_target_finish(struct remote_target *target);

/* The header in front of what is stored there (remote_frame.c). */
enum { REMOTE_HEADER = 56 };
struct remote_part {
    const void *bytes;
    size_t size;
};
void remote_frame_write(enum remote_kind kind, const struct us_digest *key,
                        const struct remote_part *parts, size_t count,
                        uint8_t header[REMOTE_HEADER]);
/* NULL and the length of what follows, or what is wrong. */
const char *remote_frame_read(const uint8_t header[REMOTE_HEADER], enum remote_kind kind,
                              const struct us_digest *key, uint64_t *length);
/* NULL, or what is wrong with the bytes behind the header. */
const char *remote_frame_check(const uint8_t header[REMOTE_HEADER], enum remote_kind kind,
                               const struct us_digest *key, const void *bytes, size_t size);

/* A record's note goes with it: what stands before the record's own bytes. */
struct remote_note {
    struct us_record_note note; /* points into this struct */
    bool given;
    struct us_digest objects[16];
    uint64_t sizes[16];
    char type[128], show[128];
};
/* us_malloc'ed. */
uint8_t *remote_note_write(const struct us_record_note *note, size_t *size);
/* Bytes that the note takes at the front, or 0: it is none. */
size_t remote_note_read(const uint8_t *bytes, size_t size, struct remote_note *note);

/* What the process has learnt of keys and digests there (remote_facts.c). */
enum remote_flag {
    REMOTE_THERE = 1 << 0,   /* the server has it */
    REMOTE_DAMAGED = 1 << 1, /* what it has is damaged, and that was said */
    REMOTE_DROPPED = 1 << 2, /* dropped here: not to be fetched */
    REMOTE_UNSENT = 1 << 3,  /* made here and not sent: it is counted */
};
struct remote_fact {
    struct us_digest key;
    double missing_until; /* the server said so not long ago; monotonic seconds */
    uint8_t kind;         /* 0: a free place */
    uint8_t flags;
};
struct remote_facts {
    struct remote_fact *items;
    size_t used, capacity;
};
struct remote_fact remote_fact_of(const struct remote_facts *facts, enum remote_kind kind,
                                  const struct us_digest *key);
/* The fact itself, made when it is new; valid until the next call. */
struct remote_fact *remote_fact_at(struct remote_facts *facts, enum remote_kind kind,
                                   const struct us_digest *key);

/* How long it is borne with (remote_breaker.c). Everything under `remote->lock`. */
struct remote_breaker {
    double opened;     /* monotonic seconds */
    double lost, seen; /* seconds lost; all before `seen` are counted */
    int in_a_row, damaged;
    char why[256]; /* the last failure */
};

struct remote_job;
struct remote_line; /* one connection at a time */

enum { REMOTE_UPLOADERS = 4 };

struct remote {
    struct us_store store;
    struct us_store *local;
    const struct us_curl *curl;
    struct remote_target target;
    bool reads, ask_only;
    bool may_write;          /* else nobody misses what is not sent */
    atomic_bool off, writes; /* off: nothing is asked any more */
    atomic_int active;       /* requests under way */
    pthread_mutex_t lock;    /* for all that follows */
    pthread_cond_t wake, done;
    struct remote_breaker breaker;
    struct remote_facts facts;
    struct remote_line *lines; /* idle */
    char **warnings;           /* to be handed on by a caller's thread */
    size_t warning_count, warning_capacity;
    struct remote_job *first[3], *last[3]; /* by kind, waiting */
    uint64_t at_work[REMOTE_UPLOADERS];    /* numbers of objects being sent; 0: none */
    uint64_t next_number;
    size_t queued, queued_bytes, busy;
    pthread_t uploaders[REMOTE_UPLOADERS];
    int thread_count, numbered;
    bool closing, object_lost;
    atomic_bool no_conditions; /* the server knows no If-None-Match */
    struct us_remote_counts counts;
};

double remote_now(void);
/* Remembers a line to be told; remote_tell hands all on through store.warn. Not with the lock. */
void remote_warn(struct remote *remote, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void remote_tell(struct remote *remote);

/* One request. */
enum remote_verb { REMOTE_GET, REMOTE_HEAD, REMOTE_PUT };
enum remote_answer {
    REMOTE_OK,      /* found, or stored */
    REMOTE_MISSING, /* the server says that it has none */
    REMOTE_EXISTS,  /* PUT: not stored, there is one */
    REMOTE_BAD,     /* GET: what came is damaged */
    REMOTE_REFUSED, /* the server works, but not for us */
    REMOTE_FAILED,
};
struct remote_request {
    enum remote_verb verb;
    enum remote_kind kind;
    struct us_digest key;
    bool if_absent;                  /* PUT */
    const struct remote_part *parts; /* PUT: header and what follows */
    size_t part_count;
    uint8_t *bytes; /* GET: without the header, us_malloc'ed, NUL-terminated */
    size_t size;
    long status; /* HTTP; 0: none came */
    char trouble[200];
    double seconds;
};
/* Does it within its time and tells the breaker. Nothing is asked once it is off. */
enum remote_answer remote_ask(struct remote *remote, struct remote_request *request);
void remote_url(const struct remote *remote, enum remote_kind kind, const struct us_digest *key,
                struct us_str *url);
void remote_lines_finish(struct remote *remote);

/* remote_breaker.c */
/* Seconds that a request of so many bytes may take without being called slow. */
double remote_fair_seconds(const struct remote *remote, uint64_t bytes);
/* True when a request that has taken `seconds` for `bytes`, and got nothing done in the last `idle`
 * of them, must be given up. */
bool remote_overdue(const struct remote *remote, double seconds, double idle, uint64_t bytes);
void remote_account(struct remote *remote, const struct remote_request *request,
                    enum remote_answer answer);

/* remote_upload.c */
void remote_queue_object(struct remote *remote, const struct us_digest *digest, bool wait);
void remote_queue_record(struct remote *remote, const struct us_digest *key,
                         const struct us_record_note *note, const void *bytes, size_t size,
                         bool wait);
/* Something that the server should have will not be sent: counts it once. */
void remote_count_unsent(struct remote *remote, enum remote_kind kind, const struct us_digest *key);
/* Forgets a record that waits. */
void remote_queue_forget(struct remote *remote, const struct us_digest *key);
void remote_queue_drain(struct remote *remote, double seconds);
void remote_queue_stop(struct remote *remote);

#endif
