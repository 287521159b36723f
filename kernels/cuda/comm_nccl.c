#include <cuda_runtime_api.h>
#include <nccl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/cuda/comm_api.h"
#include "kernels/cuda/gradient_tree.h"
#include "kernels/nn/memory.h"

_Static_assert(sizeof(ncclUniqueId) == sizeof(struct us_cuda_comm_id), "an id is NCCL's");

struct comm_nccl {
    struct us_nn_comm comm;
    struct us_nn_comm *control;
    ncclComm_t nccl; /* NULL once aborted */
    int device;
    cudaStream_t stream;
    cudaEvent_t made;          /* the caller's stream has made the buffers */
    cudaEvent_t done;          /* the collectives before wait are done */
    cudaEvent_t begun_to_wait; /* when the caller's stream had nothing else to do */
    bool timed;                /* the last two were recorded outside a capture */
    char *parts;               /* other ranks' parts of this one's share, while they are summed */
    size_t parts_bytes;
    ncclComm_t dying; /* what `aborter` aborts */
    pthread_t aborter;
    bool aborting;
};

#define PIECE ((size_t)64 << 20) /* bytes that are summed in a tree at once */

static struct comm_nccl *own(struct us_nn_comm *comm) {
    return (struct comm_nccl *)comm;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void nap(void) {
    nanosleep(&(struct timespec){.tv_nsec = 20000}, NULL);
}

/* Seconds that destroy waits for an abort to end; after them it is left behind. */
#define ABORT_SECONDS 10

static void *abort_dying(void *context) {
    struct comm_nccl *c = context;
    (void)cudaSetDevice(c->device);
    (void)ncclCommAbort(c->dying);
    return NULL;
}

/* Aborting makes NCCL's kernels on the device return at once, but then waits until every captured
 * graph with its collectives is destroyed, which is for the caller to do: so it has a thread of its
 * own. */
static void begin_abort(struct comm_nccl *c) {
    c->dying = c->nccl;
    c->nccl = NULL;
    c->aborting = pthread_create(&c->aborter, NULL, abort_dying, c) == 0;
    if (!c->aborting) {
        (void)ncclCommAbort(c->dying);
    }
}

/* False: it hangs. */
static bool end_abort(struct comm_nccl *c) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += ABORT_SECONDS;
    return !c->aborting || pthread_timedjoin_np(c->aborter, NULL, &until) == 0;
}

/* Ends the communicator: its kernels on the device return. The first reason counts. */
static bool fail(struct comm_nccl *c, const char *doing, const char *why) {
    if (!c->comm.problem[0]) {
        snprintf(c->comm.problem, sizeof c->comm.problem, "%s%s%s", doing, doing[0] ? ": " : "",
                 why);
    }
    if (c->nccl) {
        begin_abort(c);
    }
    return false;
}

static bool check_cuda(struct comm_nccl *c, const char *doing, cudaError_t error) {
    return error == cudaSuccess || fail(c, doing, cudaGetErrorString(error));
}

static bool control_whole(struct comm_nccl *c) {
    return !c->control || c->control->calls->whole(c->control);
}

/* NCCL answers at once and works on: waits until it is through with what it was told. */
static bool settle(struct comm_nccl *c, const char *doing, ncclResult_t result, double seconds) {
    const double until = now() + seconds;
    while (result == ncclInProgress) {
        if (!control_whole(c)) {
            return fail(c, "", c->control->problem);
        }
        if (now() > until) {
            return fail(c, doing, "the other ranks' devices do not answer");
        }
        nap();
        if (ncclCommGetAsyncError(c->nccl, &result) != ncclSuccess) {
            result = ncclInternalError;
        }
    }
    if (result == ncclSuccess) {
        return true;
    }
    const char *more = ncclGetLastError(c->nccl);
    return fail(c, doing, more && more[0] ? more : ncclGetErrorString(result));
}

static bool ready(struct comm_nccl *c) {
    return c->nccl && check_cuda(c, "cannot use the device", cudaSetDevice(c->device));
}

/* What follows on our stream comes after what is on the caller's. */
static bool after_caller(struct comm_nccl *c, void *stream) {
    return ready(c) && check_cuda(c, "cannot order work", cudaEventRecord(c->made, stream)) &&
           check_cuda(c, "cannot order work", cudaStreamWaitEvent(c->stream, c->made, 0));
}

static bool under_way(ncclResult_t result) {
    return result == ncclSuccess || result == ncclInProgress;
}

static bool in_group(struct comm_nccl *c, const char *doing, ncclResult_t result) {
    const ncclResult_t ended = ncclGroupEnd();
    return settle(c, doing, under_way(result) ? ended : result, 60);
}

/* Bytes of each of the shares but the last ones, which may be smaller or empty. */
static size_t share_of(const struct comm_nccl *c, size_t bytes) {
    const size_t each = (bytes + (size_t)c->comm.world - 1) / (size_t)c->comm.world;
    return (each + 15) / 16 * 16;
}

static size_t share_size(size_t bytes, size_t share, int rank) {
    const size_t first = share * (size_t)rank;
    return first >= bytes ? 0 : bytes - first < share ? bytes - first : share;
}

static ncclResult_t swap_with(const struct comm_nccl *c, int rank, const void *from, size_t sent,
                              void *to, size_t got) {
    ncclResult_t result = ncclSuccess;
    if (sent > 0) {
        result = ncclSend(from, sent, ncclUint8, rank, c->nccl, c->stream);
    }
    if (got > 0 && under_way(result)) {
        result = ncclRecv(to, got, ncclUint8, rank, c->nccl, c->stream);
    }
    return result;
}

/* Every rank gets all ranks' parts of its share, or (`back`) gives its share to all. */
static bool hand_round(struct comm_nccl *c, char *buffer, size_t bytes, bool back) {
    const size_t share = share_of(c, bytes), own = share_size(bytes, share, c->comm.rank);
    char *mine = buffer + share * (size_t)c->comm.rank;
    ncclResult_t result = ncclGroupStart();
    for (int r = 0; r < c->comm.world; r++) {
        const size_t theirs = share_size(bytes, share, r), at = share * (size_t)r;
        if (r != c->comm.rank && under_way(result)) {
            result = back ? swap_with(c, r, mine, own, buffer + at, theirs)
                          : swap_with(c, r, buffer + at, theirs, c->parts + at, own);
        }
    }
    return in_group(c, "cannot add up gradients", result);
}

/* Room for the parts; taken in a first step, which is not captured. */
static bool make_room(struct comm_nccl *c, size_t bytes) {
    if (bytes <= c->parts_bytes) {
        return true;
    }
    (void)cudaFree(c->parts);
    c->parts = NULL;
    c->parts_bytes = 0;
    if (!check_cuda(c, "cannot add up gradients", cudaMalloc((void **)&c->parts, bytes))) {
        return false;
    }
    c->parts_bytes = bytes;
    return true;
}

static bool sum_in_tree(struct comm_nccl *c, char *buffer, size_t bytes, bool f64) {
    const int world = c->comm.world, rank = c->comm.rank;
    const size_t share = share_of(c, bytes), own = share_size(bytes, share, rank);
    char *mine = buffer + share * (size_t)rank, *among = c->parts + share * (size_t)rank;
    return hand_round(c, buffer, bytes, false) &&
           check_cuda(c, "cannot add up gradients",
                      cudaMemcpyAsync(among, mine, own, cudaMemcpyDeviceToDevice, c->stream)) &&
           check_cuda(c, "cannot add up gradients",
                      f64 ? cu_tree_sum_f64((double *)(void *)c->parts, world, share / 8,
                                            (double *)(void *)mine, own / 8, c->stream)
                          : cu_tree_sum((float *)(void *)c->parts, world, share / 4,
                                        (float *)(void *)mine, own / 4, c->stream)) &&
           hand_round(c, buffer, bytes, true);
}

/* Each rank sums a share of the buffer over all ranks and hands it round: as many bytes as a ring
 * moves, in an order that does not depend on the share. */
static bool tree_reduce(struct comm_nccl *c, char *buffer, size_t bytes, bool f64) {
    const size_t most = bytes < PIECE ? bytes : PIECE;
    bool fine = make_room(c, share_of(c, most) * (size_t)c->comm.world);
    for (size_t at = 0; at < bytes && fine; at += PIECE) {
        fine = sum_in_tree(c, buffer + at, bytes - at < PIECE ? bytes - at : PIECE, f64);
    }
    return fine;
}

static bool nccl_all_reduce(struct us_nn_comm *comm, void *buffer, size_t count,
                            enum us_nn_comm_type type, void *stream) {
    static const ncclDataType_t types[] = {[US_NN_COMM_F32] = ncclFloat32,
                                           [US_NN_COMM_BF16] = ncclBfloat16,
                                           [US_NN_COMM_F64] = ncclFloat64};
    struct comm_nccl *c = own(comm);
    if (type == US_NN_COMM_F32_AS_BF16) {
        return fail(c, "cannot add up gradients", "a device's travel as what they are");
    }
    comm->bytes += count * (type == US_NN_COMM_F64 ? 8 : type == US_NN_COMM_BF16 ? 2 : 4);
    if (count > 0 && comm->in_tree && type != US_NN_COMM_BF16) {
        const bool f64 = type == US_NN_COMM_F64;
        return after_caller(c, stream) && tree_reduce(c, buffer, count * (f64 ? 8 : 4), f64);
    }
    return count == 0 ||
           (after_caller(c, stream) &&
            settle(c, "cannot add up gradients",
                   ncclAllReduce(buffer, buffer, count, types[type], ncclSum, c->nccl, c->stream),
                   60));
}

static bool nccl_all_gather(struct us_nn_comm *comm, const void *part, void *whole, size_t bytes,
                            void *stream) {
    struct comm_nccl *c = own(comm);
    comm->bytes += bytes;
    return after_caller(c, stream) &&
           settle(c, "cannot gather",
                  ncclAllGather(part, whole, bytes, ncclUint8, c->nccl, c->stream), 60);
}

static bool nccl_broadcast(struct us_nn_comm *comm, void *buffer, size_t bytes, int root,
                           void *stream) {
    struct comm_nccl *c = own(comm);
    comm->bytes += bytes;
    return after_caller(c, stream) &&
           settle(c, "cannot hand round",
                  ncclBroadcast(buffer, buffer, bytes, ncclUint8, root, c->nccl, c->stream), 60);
}

/* Until the stream is idle; a rank that is gone ends it. */
static bool drain(struct comm_nccl *c, cudaStream_t stream) {
    ncclResult_t state = ncclSuccess;
    cudaError_t error = cudaStreamQuery(stream);
    while (error == cudaErrorNotReady) {
        if (!control_whole(c)) {
            return fail(c, "", c->control->problem);
        }
        if (c->nccl && (ncclCommGetAsyncError(c->nccl, &state) != ncclSuccess ||
                        (state != ncclSuccess && state != ncclInProgress))) {
            return fail(c, "the devices lost each other", ncclGetErrorString(state));
        }
        nap();
        error = cudaStreamQuery(stream);
    }
    return check_cuda(c, "the device failed", error);
}

static void note_exposed(struct comm_nccl *c) {
    float milliseconds = 0;
    if (c->timed && cudaEventElapsedTime(&milliseconds, c->begun_to_wait, c->done) == cudaSuccess &&
        milliseconds > 0) {
        c->comm.exposed_seconds += (double)milliseconds * 1e-3;
    }
    (void)cudaGetLastError();
    c->timed = false;
}

static bool is_capturing(cudaStream_t stream) {
    enum cudaStreamCaptureStatus status;
    return cudaStreamIsCapturing(stream, &status) == cudaSuccess &&
           status != cudaStreamCaptureStatusNone;
}

static bool nccl_wait(struct us_nn_comm *comm, void *stream) {
    struct comm_nccl *c = own(comm);
    if (!ready(c)) {
        return false;
    }
    if (!stream) {
        return drain(c, c->stream);
    }
    c->timed = !is_capturing(stream);
    return (!c->timed ||
            check_cuda(c, "cannot order work", cudaEventRecord(c->begun_to_wait, stream))) &&
           check_cuda(c, "cannot order work", cudaEventRecord(c->done, c->stream)) &&
           check_cuda(c, "cannot order work", cudaStreamWaitEvent(stream, c->done, 0));
}

static bool nccl_finish(struct us_nn_comm *comm, void *stream) {
    struct comm_nccl *c = own(comm);
    if (!ready(c) || !drain(c, stream ? (cudaStream_t)stream : c->stream)) {
        return false;
    }
    note_exposed(c);
    return true;
}

static bool nccl_whole(struct us_nn_comm *comm) {
    struct comm_nccl *c = own(comm);
    return control_whole(c) ? c->nccl != NULL : fail(c, "", c->control->problem);
}

static void nccl_allow(struct us_nn_comm *comm, double seconds) {
    struct comm_nccl *c = own(comm);
    if (c->control) {
        c->control->calls->allow(c->control, seconds);
    }
}

static void nccl_abort(struct us_nn_comm *comm, const char *why) {
    struct comm_nccl *c = own(comm);
    if (c->control) {
        c->control->calls->abort(c->control, why);
    }
    (void)fail(c, "", why);
}

static void nccl_destroy(struct us_nn_comm *comm) {
    struct comm_nccl *c = own(comm);
    (void)cudaSetDevice(c->device);
    if (c->nccl && settle(c, "cannot end", ncclCommFinalize(c->nccl), 10) && c->nccl) {
        (void)ncclCommDestroy(c->nccl);
        c->nccl = NULL;
    }
    if (!end_abort(c)) {
        return; /* its thread still looks at this */
    }
    cudaEvent_t events[] = {c->made, c->done, c->begun_to_wait};
    for (size_t i = 0; i < sizeof events / sizeof *events; i++) {
        if (events[i]) {
            (void)cudaEventDestroy(events[i]);
        }
    }
    if (c->stream) {
        (void)cudaStreamDestroy(c->stream);
    }
    (void)cudaFree(c->parts);
    us_nn_free(c);
}

static const struct us_nn_comm_calls calls = {.all_reduce = nccl_all_reduce,
                                              .all_gather = nccl_all_gather,
                                              .broadcast = nccl_broadcast,
                                              .wait = nccl_wait,
                                              .finish = nccl_finish,
                                              .whole = nccl_whole,
                                              .allow = nccl_allow,
                                              .abort = nccl_abort,
                                              .destroy = nccl_destroy};

static enum us_nn_status make_id(struct us_cuda_comm_id *id, char why[240]) {
    ncclUniqueId made;
    const ncclResult_t result = ncclGetUniqueId(&made);
    if (result != ncclSuccess) {
        snprintf(why, 240, "NCCL makes no id: %s", ncclGetErrorString(result));
        return US_NN_FAILED;
    }
    memcpy(id->bytes, &made, sizeof id->bytes);
    return US_NN_OK;
}

/* NCCL refuses two ranks on one device of one host: each says it is a host of its own, and they
 * talk over the loopback. Read by NCCL when its first communicator is made. */
static void pretend_hosts(const struct us_cuda_comm_config *config) {
    char host[32];
    snprintf(host, sizeof host, "understudy-%d", config->rank);
    setenv("NCCL_HOSTID", host, 0);
    setenv("NCCL_NET", "Socket", 0);
    setenv("NCCL_IB_DISABLE", "1", 0);
    setenv("NCCL_SOCKET_IFNAME", "lo", 0);
    setenv("NCCL_MNNVL_ENABLE", "0", 0);
}

static bool open_device(struct comm_nccl *c) {
    return check_cuda(c, "cannot use the device", cudaSetDevice(c->device)) &&
           check_cuda(c, "cannot make a stream",
                      cudaStreamCreateWithFlags(&c->stream, cudaStreamNonBlocking)) &&
           check_cuda(c, "cannot make an event",
                      cudaEventCreateWithFlags(&c->made, cudaEventDisableTiming)) &&
           check_cuda(c, "cannot make an event", cudaEventCreate(&c->done)) &&
           check_cuda(c, "cannot make an event", cudaEventCreate(&c->begun_to_wait));
}

static bool join(struct comm_nccl *c, const struct us_cuda_comm_config *config) {
    ncclConfig_t nccl = NCCL_CONFIG_INITIALIZER;
    ncclUniqueId id;
    memcpy(&id, config->id.bytes, sizeof id);
    nccl.blocking = 0;
    const ncclResult_t result =
        ncclCommInitRankConfig(&c->nccl, config->world, id, config->rank, &nccl);
    return settle(c, "the devices do not find each other", result, config->join_seconds);
}

static enum us_nn_status create(const struct us_cuda_comm_config *config, struct us_nn_comm **comm,
                                char why[240]) {
    struct comm_nccl *c = us_nn_alloc(sizeof *c);
    *comm = NULL;
    if (!c) {
        snprintf(why, 240, "no memory");
        return US_NN_NO_MEMORY;
    }
    c->comm = (struct us_nn_comm){
        .calls = &calls, .rank = config->rank, .world = config->world, .on_stream = true};
    c->control = config->control;
    c->device = config->device;
    if (config->shared) {
        pretend_hosts(config);
    }
    if (!open_device(c) || !join(c, config)) {
        snprintf(why, 240, "%s", c->comm.problem);
        nccl_destroy(&c->comm);
        return US_NN_FAILED;
    }
    *comm = &c->comm;
    return US_NN_OK;
}

const struct us_cuda_comm_api us_cuda_comm_table = {make_id, create};
