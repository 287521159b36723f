#include "kernels/nn/comm_processes.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "kernels/nn/comm_internal.h"
#include "kernels/nn/memory.h"

static struct comm_processes *own(struct us_nn_comm *comm) {
    return (struct comm_processes *)comm;
}

static void wake(const struct comm_processes *c) {
    const ssize_t written = write(c->wake[1], "", 1);
    (void)written; /* a full pipe wakes as well */
}

/* Copies the state for the caller; locked. */
static bool tell(struct comm_processes *c) {
    c->comm.busy_seconds = c->busy_seconds;
    if (c->failed) {
        memcpy(c->comm.problem, c->problem, sizeof c->problem);
    }
    return !c->failed;
}

static bool submit(struct comm_processes *c, const struct comm_request *request) {
    pthread_mutex_lock(&c->lock);
    while (!c->failed && c->queued - c->done == COMM_QUEUE) {
        pthread_cond_wait(&c->changed, &c->lock);
    }
    c->queue[c->queued % COMM_QUEUE] = *request;
    c->queued += !c->failed;
    const bool fine = tell(c);
    pthread_mutex_unlock(&c->lock);
    wake(c);
    return fine;
}

static bool all_reduce(struct us_nn_comm *comm, void *buffer, size_t count,
                       enum us_nn_comm_type type, void *stream) {
    (void)stream;
    return count == 0 ||
           submit(own(comm),
                  &(struct comm_request){
                      .kind = COMM_REDUCE, .type = type, .buffer = buffer, .count = count});
}

static bool all_gather(struct us_nn_comm *comm, const void *part, void *whole, size_t bytes,
                       void *stream) {
    (void)stream;
    return submit(
        own(comm),
        &(struct comm_request){.kind = COMM_GATHER, .part = part, .buffer = whole, .count = bytes});
}

static bool broadcast(struct us_nn_comm *comm, void *buffer, size_t bytes, int root, void *stream) {
    (void)stream;
    return submit(own(comm),
                  &(struct comm_request){
                      .kind = COMM_BROADCAST, .buffer = buffer, .count = bytes, .root = root});
}

static bool wait_all(struct us_nn_comm *comm, void *stream) {
    (void)stream;
    struct comm_processes *c = own(comm);
    const double start = comm_clock();
    pthread_mutex_lock(&c->lock);
    while (c->running || (!c->failed && c->done < c->queued)) {
        pthread_cond_wait(&c->changed, &c->lock);
    }
    const bool fine = tell(c);
    comm->bytes = c->bytes;
    pthread_mutex_unlock(&c->lock);
    comm->exposed_seconds += comm_clock() - start;
    return fine;
}

static bool whole(struct us_nn_comm *comm) {
    struct comm_processes *c = own(comm);
    pthread_mutex_lock(&c->lock);
    const bool fine = tell(c);
    pthread_mutex_unlock(&c->lock);
    return fine;
}

static void allow(struct us_nn_comm *comm, double seconds) {
    atomic_store(&own(comm)->late_seconds, seconds);
}

static void abort_group(struct us_nn_comm *comm, const char *why) {
    struct comm_processes *c = own(comm);
    pthread_mutex_lock(&c->lock);
    snprintf(c->wanted_abort, sizeof c->wanted_abort, "rank %d ends the training: %s", comm->rank,
             why);
    pthread_mutex_unlock(&c->lock);
    wake(c);
}

/* The next request, or what else is wanted; locked. */
enum wish { WISH_NOTHING, WISH_RUN, WISH_CLOSE };

static enum wish next_wish(struct comm_processes *c, struct comm_request *request) {
    if (c->done < c->queued && !c->failed) {
        *request = c->queue[c->done % COMM_QUEUE];
        c->running = true;
        return WISH_RUN;
    }
    return c->closing || c->failed ? WISH_CLOSE : WISH_NOTHING;
}

static void run_one(struct comm_processes *c, const struct comm_request *request) {
    const double start = comm_clock();
    const bool fine = comm_run(c, request);
    pthread_mutex_lock(&c->lock);
    c->busy_seconds += comm_clock() - start;
    c->bytes = c->sent;
    c->done += fine;
    c->running = false;
    pthread_cond_broadcast(&c->changed);
    pthread_mutex_unlock(&c->lock);
}

static void *talk(void *context) {
    struct comm_processes *c = context;
    struct comm_request request = {0};
    for (enum wish wish = WISH_NOTHING; wish != WISH_CLOSE;) {
        char drained[64];
        while (read(c->wake[0], drained, sizeof drained) == (ssize_t)sizeof drained) {
        }
        pthread_mutex_lock(&c->lock);
        wish = next_wish(c, &request);
        pthread_mutex_unlock(&c->lock);
        if (wish == WISH_RUN) {
            run_one(c, &request);
        } else if (wish == WISH_NOTHING) {
            comm_idle(c);
        }
    }
    if (!comm_failed(c)) {
        comm_say(c, COMM_BYE, "");
    }
    comm_linger(c);
    return NULL;
}

static void destroy(struct us_nn_comm *comm) {
    struct comm_processes *c = own(comm);
    pthread_mutex_lock(&c->lock);
    c->closing = true;
    pthread_mutex_unlock(&c->lock);
    if (c->thread_runs) {
        wake(c);
        pthread_join(c->thread, NULL);
    }
    for (int r = 0; r < comm->world; r++) {
        if (r != comm->rank) {
            close(c->peers[r].data);
            close(c->peers[r].hear);
        }
    }
    close(c->wake[0]);
    close(c->wake[1]);
    pthread_mutex_destroy(&c->lock);
    pthread_cond_destroy(&c->changed);
    us_nn_free(c->scratch);
    us_nn_free(c);
}

static const struct us_nn_comm_calls calls = {.all_reduce = all_reduce,
                                              .all_gather = all_gather,
                                              .broadcast = broadcast,
                                              .wait = wait_all,
                                              .finish = wait_all,
                                              .whole = whole,
                                              .allow = allow,
                                              .abort = abort_group,
                                              .destroy = destroy};

static void close_sockets(const struct us_nn_comm_processes_config *config) {
    for (int r = 0; r < config->world; r++) {
        if (r != config->rank) {
            close(config->data[r]);
            close(config->hear[r]);
        }
    }
}

/* Signals are for the caller's threads. */
static bool start_thread(struct comm_processes *c) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    c->thread_runs = pthread_create(&c->thread, NULL, talk, c) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return c->thread_runs;
}

enum us_nn_status us_nn_comm_processes_create(const struct us_nn_comm_processes_config *config,
                                              struct us_nn_comm **comm) {
    *comm = NULL;
    if (config->world < 1 || config->world > US_NN_COMM_RANKS || config->rank < 0 ||
        config->rank >= config->world) {
        return US_NN_BAD_CONFIG;
    }
    struct comm_processes *c = us_nn_alloc(sizeof *c);
    if (!c || pipe2(c->wake, O_CLOEXEC | O_NONBLOCK) != 0) {
        us_nn_free(c);
        close_sockets(config);
        return US_NN_NO_MEMORY;
    }
    c->comm = (struct us_nn_comm){.calls = &calls, .rank = config->rank, .world = config->world};
    c->silent_seconds = config->silent_seconds;
    atomic_store(&c->late_seconds, config->late_seconds);
    for (int r = 0; r < config->world; r++) {
        c->peers[r] = (struct comm_peer){
            .data = config->data[r], .hear = config->hear[r], .heard = comm_clock()};
    }
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->changed, NULL);
    if (!start_thread(c)) {
        destroy(&c->comm);
        return US_NN_NO_MEMORY;
    }
    *comm = &c->comm;
    return US_NN_OK;
}
