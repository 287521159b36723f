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

static bool add_up(struct cu_trainer *t, size_t from, size_t until) {
    struct us_nn_comm *comm = t->base.config.comm;
    const bool narrow = t->net.gradient_type == NN_CUDA_BF16;
    return from == until ||
           comm->calls->all_reduce(comm, t->gradients + from * (narrow ? 2 : 4), until - from,
                                   narrow ? US_NN_COMM_BF16 : US_NN_COMM_F32, t->side);
}

/* The first layer at or behind `from` whose gradient does not travel; NULL: none. */
static const struct cu_layer *next_factor(const struct cu_net *net, size_t from) {
    const struct cu_layer *next = NULL;
    for (int i = 0; i < net->factor_count; i++) {
        const struct cu_layer *layer = net->factors[i].layer;
        if (layer->offset + layer->count > from && (!next || layer->offset < next->offset)) {
            next = layer;
        }
    }
    return next;
}

static enum us_nn_status send(struct cu_trainer *t, size_t until,
                              const struct cu_streams *streams) {
    const enum us_nn_status status = gather_streams(t, streams);
    bool fine = !status;
    while (fine && t->sent < until) {
        const struct cu_layer *skip = next_factor(&t->net, t->sent);
        const size_t end = skip && skip->offset < until ? skip->offset : until;
        fine = add_up(t, t->sent, end > t->sent ? end : t->sent);
        t->sent = end < until ? skip->offset + skip->count : until;
    }
    return status ? status : fine ? US_NN_OK : US_NN_LOST;
}

enum us_nn_status cu_comm_gather(void *context, const struct cu_factor *factor,
                                 const struct cu_streams *streams) {
    struct cu_trainer *t = context;
    struct us_nn_comm *comm = t->base.config.comm;
    const enum us_nn_status status = gather_streams(t, streams);
    char *x = cu_net_at(&t->net, factor->x), *g = cu_net_at(&t->net, factor->g);
    const size_t rank = (size_t)comm->rank;
    if (status) {
        return status;
    }
    return comm->calls->all_gather(comm, x + rank * factor->x_bytes, x, factor->x_bytes, t->side) &&
                   comm->calls->all_gather(comm, g + rank * factor->g_bytes, g, factor->g_bytes,
                                           t->side)
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
    if (!comm->calls->all_reduce(comm, t->state->terms, TERMS, US_NN_COMM_F64, t->side) ||
        !comm->calls->wait(comm, t->streams.at[0])) {
        return US_NN_LOST;
    }
    const struct cu_selection late = {.from = CU_LATE, .to = CU_LATE, .decoders = ~0u};
    return t->net.factor_count > 0 ? cu_net_run(&t->net, &late, &t->streams) : US_NN_OK;
}

enum us_nn_status cu_comm_finish(const struct cu_trainer *t) {
    struct us_nn_comm *comm = t->base.config.comm;
    if (!comm) {
        return cu_status(cudaStreamSynchronize((cudaStream_t)t->streams.at[0]));
    }
    return comm->calls->finish(comm, t->streams.at[0]) ? US_NN_OK : US_NN_LOST;
}
