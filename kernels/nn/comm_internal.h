#ifndef US_KERNELS_NN_COMM_INTERNAL_H
#define US_KERNELS_NN_COMM_INTERNAL_H

#include <pthread.h>
#include <stdatomic.h>

#include "kernels/nn/comm_processes.h"

#define COMM_QUEUE 256
#define COMM_SMALL 4096 /* bytes: below, everybody gets everything and sums it all */

enum comm_kind { COMM_REDUCE, COMM_GATHER, COMM_BROADCAST };

struct comm_request {
    enum comm_kind kind;
    enum us_nn_comm_type type;
    const void *part;
    void *buffer;
    size_t count; /* values, or bytes */
    int root;
};

/* What goes to and comes from one rank in one exchange. */
struct comm_lane {
    const void *send;
    size_t send_bytes;
    void *receive;
    size_t receive_bytes;
};

/* A message on a `hear` socket. */
struct comm_note {
    uint32_t magic, kind;
    char text[248];
};
enum { COMM_ALIVE = 1, COMM_ABORT, COMM_BYE };

struct comm_peer {
    int data, hear;
    double heard; /* clock */
    bool bye;     /* it left in order */
    struct comm_note note;
    size_t note_bytes; /* of `note` that came */
};

struct comm_processes {
    struct us_nn_comm comm;
    struct comm_peer peers[US_NN_COMM_RANKS];
    double silent_seconds, beat_at;
    _Atomic double late_seconds;
    int wake[2]; /* pipe: a request is queued, or the end is wanted */
    pthread_t thread;
    bool thread_runs;
    pthread_mutex_t lock; /* of what follows */
    pthread_cond_t changed;
    struct comm_request queue[COMM_QUEUE];
    uint64_t queued, done;
    bool closing, failed;
    bool running; /* the thread may touch the buffer of a request */
    char problem[240];
    char wanted_abort[240];
    double busy_seconds;
    uint64_t bytes;
    /* the thread's own */
    uint64_t sequence, sent;
    char *scratch;
    size_t scratch_bytes;
};

double comm_clock(void);

/* Ends the group: remembers why (the first reason counts) and tells everybody. */
void comm_fail(struct comm_processes *c, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
bool comm_failed(struct comm_processes *c);

/* Exchanges one message with every rank that has a lane with bytes; false: the group has failed.
 * patient: nobody is late, however long it takes. */
bool comm_exchange(struct comm_processes *c, const struct comm_lane *lanes, bool patient);
/* Hears and says that all live, until woken. */
void comm_idle(struct comm_processes *c);
void comm_say(struct comm_processes *c, uint32_t kind, const char *text);
/* Waits a moment for the others to have read what was said last. */
void comm_linger(struct comm_processes *c);

/* The collectives, on the thread. */
bool comm_run(struct comm_processes *c, const struct comm_request *request);

size_t comm_type_size(enum us_nn_comm_type type);
/* Of what travels. */
size_t comm_wire_size(enum us_nn_comm_type type);

#endif
