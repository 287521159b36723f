/* Collectives between devices through NCCL, as the CUDA module offers them: kernels/nn/comm.h over
 * buffers in device memory.
 *
 * Rank 0 makes an id, every rank gets it by other means (bytes of a broadcast among processes) and
 * all create at the same time. Work goes on a stream of its own, ordered by events after what the
 * caller's stream has made and before what follows there on wait; it may be captured into a CUDA
 * graph. NCCL itself never notices a rank that is gone: while the host waits, `control` is asked,
 * and when it has failed the communicator is aborted, so that nothing hangs. */
#ifndef US_KERNELS_CUDA_COMM_API_H
#define US_KERNELS_CUDA_COMM_API_H

#include "kernels/nn/comm.h"
#include "kernels/nn/status.h"

struct us_cuda_comm_id {
    char bytes[128];
};

struct us_cuda_comm_config {
    int rank, world;
    int device; /* ordinal */
    struct us_cuda_comm_id id;
    bool shared;                /* some ranks share a device: over sockets, for tests */
    double join_seconds;        /* to create */
    struct us_nn_comm *control; /* the same ranks as processes; borrowed, outlives this one */
};

struct us_cuda_comm_api {
    /* US_NN_FAILED: `why` is a clause. Needs no device. */
    enum us_nn_status (*make_id)(struct us_cuda_comm_id *id, char why[240]);
    enum us_nn_status (*create)(const struct us_cuda_comm_config *config, struct us_nn_comm **comm,
                                char why[240]);
};

extern const struct us_cuda_comm_api us_cuda_comm_table;

#endif
