/* Collectives between processes over sockets that are connected already, two to each other rank:
 * one for data and one on which they hear of each other (heartbeats, the reason for an end). A
 * thread of its own talks, so that a reduction goes on while the caller computes.
 *
 * An all-reduce splits the buffer among the ranks; each gets everybody's part of its share, sums it
 * in the fixed tree and hands it round. */
#ifndef US_KERNELS_NN_COMM_PROCESSES_H
#define US_KERNELS_NN_COMM_PROCESSES_H

#include "kernels/nn/comm.h"
#include "kernels/nn/status.h"

struct us_nn_comm_processes_config {
    int rank, world; /* world 1 to US_NN_COMM_RANKS */
    int data[US_NN_COMM_RANKS],
        hear[US_NN_COMM_RANKS]; /* stream sockets by rank, own -1; taken over */
    double silent_seconds;      /* a rank that is not heard of for so long is gone */
    double late_seconds;        /* a rank that lives but takes no part for so long is late */
};

/* On failure the sockets are closed too. */
enum us_nn_status us_nn_comm_processes_create(const struct us_nn_comm_processes_config *config,
                                              struct us_nn_comm **comm);

#endif
