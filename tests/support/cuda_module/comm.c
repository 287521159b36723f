/* Collectives between emulated devices, whose memory is the host's and whose streams are through
 * with everything when a call returns: those of the ranks as processes. */
#include <stdio.h>
#include <string.h>

#include "kernels/cuda/comm_api.h"
#include "kernels/nn/memory.h"
#include "tests/support/cuda_module/comm.h"

struct comm_emulated {
    struct us_nn_comm comm; /* first */
    struct us_nn_comm *control;
};

static struct us_nn_comm *control_of(struct us_nn_comm *comm) {
    return ((struct comm_emulated *)comm)->control;
}

/* What the control says of itself, this one says. */
static bool tell(struct us_nn_comm *comm, bool fine) {
    const struct us_nn_comm *control = control_of(comm);
    comm->exposed_seconds = control->exposed_seconds;
    comm->bytes = control->bytes;
    if (!fine) {
        memcpy(comm->problem, control->problem, sizeof comm->problem);
    }
    return fine;
}

static bool all_reduce(struct us_nn_comm *comm, void *buffer, size_t count,
                       enum us_nn_comm_type type, void *stream) {
    (void)stream;
    struct us_nn_comm *control = control_of(comm);
    return tell(comm, control->calls->all_reduce(control, buffer, count, type, NULL));
}

static bool all_gather(struct us_nn_comm *comm, const void *part, void *whole, size_t bytes,
                       void *stream) {
    (void)stream;
    struct us_nn_comm *control = control_of(comm);
    return tell(comm, control->calls->all_gather(control, part, whole, bytes, NULL));
}

static bool broadcast(struct us_nn_comm *comm, void *buffer, size_t bytes, int root, void *stream) {
    (void)stream;
    struct us_nn_comm *control = control_of(comm);
    return tell(comm, control->calls->broadcast(control, buffer, bytes, root, NULL));
}

static bool wait_all(struct us_nn_comm *comm, void *stream) {
    (void)stream;
    struct us_nn_comm *control = control_of(comm);
    return tell(comm, control->calls->wait(control, NULL));
}

static bool whole(struct us_nn_comm *comm) {
    struct us_nn_comm *control = control_of(comm);
    return tell(comm, control->calls->whole(control));
}

static void allow(struct us_nn_comm *comm, double seconds) {
    struct us_nn_comm *control = control_of(comm);
    control->calls->allow(control, seconds);
}

static void abort_all(struct us_nn_comm *comm, const char *why) {
    struct us_nn_comm *control = control_of(comm);
    control->calls->abort(control, why);
}

static void destroy(struct us_nn_comm *comm) {
    us_nn_free(comm);
}

static const struct us_nn_comm_calls calls = {.all_reduce = all_reduce,
                                              .all_gather = all_gather,
                                              .broadcast = broadcast,
                                              .wait = wait_all,
                                              .finish = wait_all,
                                              .whole = whole,
                                              .allow = allow,
                                              .abort = abort_all,
                                              .destroy = destroy};

static enum us_nn_status make_id(struct us_cuda_comm_id *id, char why[240]) {
    why[0] = '\0';
    snprintf(id->bytes, sizeof id->bytes, "emulated");
    return US_NN_OK;
}

static enum us_nn_status create(const struct us_cuda_comm_config *config, struct us_nn_comm **comm,
                                char why[240]) {
    struct comm_emulated *c = us_nn_alloc(sizeof *c);
    if (!c || strcmp(config->id.bytes, "emulated") != 0) {
        snprintf(why, 240, "%s", c ? "the id is another one" : "no memory");
        us_nn_free(c);
        return US_NN_FAILED;
    }
    c->comm = (struct us_nn_comm){.calls = &calls, .rank = config->rank, .world = config->world};
    c->control = config->control;
    *comm = &c->comm;
    return US_NN_OK;
}

const struct us_cuda_comm_api emulated_comm_table = {make_id, create};
