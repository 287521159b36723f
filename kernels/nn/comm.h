/* Collectives among the ranks of one training.
 *
 *     comm->calls->all_reduce(comm, gradients, count, US_NN_COMM_F32, stream);     any number of
 * them if (!comm->calls->wait(comm, stream)) ...                                 comm->problem says
 * why
 *
 * Every rank makes the same calls in the same order. all_reduce, all_gather and broadcast only
 * queue the work: buffers are the collective's until wait returns. The sum is taken in a fixed tree
 * over the ranks (us_nn_comm_tree), so that every rank has the same bits, whatever the timing; NCCL
 * does so with `in_tree`, else it gives the same bits for one world size.
 *
 * A rank that dies, falls silent or is late ends the group on every rank: calls return false from
 * then on, `problem` names the rank, and only destroy is of use. One thread calls. */
#ifndef US_KERNELS_NN_COMM_H
#define US_KERNELS_NN_COMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define US_NN_COMM_RANKS 64 /* most */

enum us_nn_comm_type {
    US_NN_COMM_F32,
    US_NN_COMM_BF16,        /* a buffer of bfloat16, summed in f32 and rounded once */
    US_NN_COMM_F32_AS_BF16, /* a buffer of f32 that travels as bfloat16: half the bytes */
    US_NN_COMM_F64,
};

struct us_nn_comm;

/* `stream` is the device's stream that makes and reads the buffers; NULL: they are in host memory
 * and made already. */
struct us_nn_comm_calls {
    /* The sum over the ranks, in place, on every rank. */
    bool (*all_reduce)(struct us_nn_comm *comm, void *buffer, size_t count,
                       enum us_nn_comm_type type, void *stream);
    /* `whole` gets the parts of all ranks, `bytes` each, in rank order; `part` may lie in it. */
    bool (*all_gather)(struct us_nn_comm *comm, const void *part, void *whole, size_t bytes,
                       void *stream);
    /* What `root` has, for everybody. Waits for the root as long as it lives. */
    bool (*broadcast)(struct us_nn_comm *comm, void *buffer, size_t bytes, int root, void *stream);
    /* Everything queued is done: for the host, or (with a stream) before what follows on it. */
    bool (*wait)(struct us_nn_comm *comm, void *stream);
    /* The host waits until the stream has done what was put on it so far. When the group fails it
     * waits no longer. */
    bool (*finish)(struct us_nn_comm *comm, void *stream);
    /* Is the group whole, as far as is known? Does not wait. */
    bool (*whole)(struct us_nn_comm *comm);
    /* A rank that does not take part in an all_reduce or all_gather for so long is late. */
    void (*allow)(struct us_nn_comm *comm, double seconds);
    /* Ends the group on every rank for a reason of this rank's own. */
    void (*abort)(struct us_nn_comm *comm, const char *why);
    void (*destroy)(struct us_nn_comm *comm);
};

struct us_nn_comm {
    const struct us_nn_comm_calls *calls;
    int rank, world;
    bool on_stream;         /* works on a device's streams, and may be captured there */
    bool in_tree;           /* set by who uses it: f32 and f64 are summed in the fixed tree also
                               where collectives have an order of their own (NCCL) */
    char problem[240];      /* once a call returned false: one clause */
    double exposed_seconds; /* spent in wait so far */
    double busy_seconds;    /* spent communicating so far, hidden or not; up to date after wait */
    uint64_t bytes;         /* sent so far */
};

/* NULL is fine. */
void us_nn_comm_destroy(struct us_nn_comm *comm);

/* Every rank has come here. */
bool us_nn_comm_barrier(struct us_nn_comm *comm);

/* out = the sum of parts[0] ... parts[count - 1] in the fixed tree: the left branch takes the
 * largest power of two below the count. A tree over 2^k n leaves is thus one over n whose leaves
 * are trees over 2^k. `out` may be one of the parts. */
void us_nn_comm_tree(const float *const *parts, int count, float *out, size_t values);
void us_nn_comm_tree_f64(const double *const *parts, int count, double *out, size_t values);

#endif
