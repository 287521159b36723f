/* Gradients of several devices: buckets of the arena are added up while backward still runs. */
#include <cuda_runtime_api.h>

#include "kernels/cuda/trainer_internal.h"

#define BUCKET ((size_t)25 << 18)       /* floats in one all-reduce: 25 MB */
#define SMALL_BUCKET ((size_t)16 << 10) /* the last ones are small: backward is over soon */

enum { TERMS = US_NN_IDENTITIES * (int)(sizeof(struct us_nn_loss_terms) / sizeof(double)) };

/* The side stream goes on when all others are where they are now. */
static enum us_nn_status gather_streams(struct cu_trainer *t, const struct cu_streams *streams) {
    cudaError_t error = cudaSuccess;
    for (int i = 0; i < CU_STREAMS && error == cudaSuccess; i++) {
        error = cudaEventRecord(t->side_events[i], (cudaStream_t)streams->at[i]);
        if (error == cudaSuccess) {
            error = cudaStreamWaitEvent(t->side, t->side_events[i], 0);
        }
    }
    return cu_status(error);
}

static enum us_nn_status send(struct cu_trainer *t, size_t until,
                              const struct cu_streams *streams) {
    struct us_nn_comm *comm = t->base.config.comm;
    const size_t from = t->sent;
    const enum us_nn_status status = gather_streams(t, streams);
    t->sent = until;
    if (status) {
        return status;
    }
    return comm->calls->all_reduce(comm, t->gradients + from, until - from, US_NN_COMM_F32, t->side)
               ? US_NN_OK
               : US_NN_LOST;
}

enum us_nn_status cu_comm_complete(void *context, size_t elements,
                                   const struct cu_streams *streams) {
    struct cu_trainer *t = context;
    const size_t left = t->params.arena_count - t->sent;
    size_t bucket = left / 4;
    bucket = bucket > BUCKET ? BUCKET : bucket < SMALL_BUCKET ? SMALL_BUCKET : bucket;
    return elements < t->sent + bucket ? US_NN_OK : send(t, elements, streams);
}

enum us_nn_status cu_comm_rest(struct cu_trainer *t) {
    struct us_nn_comm *comm = t->base.config.comm;
    enum us_nn_status status = US_NN_OK;
    if (t->sent < t->params.arena_count) {
        status = send(t, t->params.arena_count, &t->streams);
    }
    if (!status) {
        status = gather_streams(t, &t->streams);
    }
    status = status ? status : cu_adversaries_share(t);
    if (status) {
        return status;
    }
    return comm->calls->all_reduce(comm, t->state->terms, TERMS, US_NN_COMM_F64, t->side) &&
                   comm->calls->wait(comm, t->streams.at[0])
               ? US_NN_OK
               : US_NN_LOST;
}

enum us_nn_status cu_comm_finish(const struct cu_trainer *t) {
    struct us_nn_comm *comm = t->base.config.comm;
    if (!comm) {
        return cu_status(cudaStreamSynchronize((cudaStream_t)t->streams.at[0]));
    }
    return comm->calls->finish(comm, t->streams.at[0]) ? US_NN_OK : US_NN_LOST;
}
