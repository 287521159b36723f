#include <cuda_runtime_api.h>

#include "kernels/cuda/net_internal.h"

enum us_nn_status cu_status(cudaError_t error) {
    return error == cudaSuccess                 ? US_NN_OK
           : error == cudaErrorMemoryAllocation ? US_NN_NO_MEMORY
                                                : US_NN_FAILED;
}

enum us_nn_status cu_net_make_plans(struct cu_net *net, struct us_conv_planner *planner) {
    const enum us_nn_status status = us_conv_plans_create(planner, net->plans, net->plan_count);
    if (status) {
        return status;
    }
    net->scratch = 0;
    for (int i = 0; i < net->op_count; i++) {
        struct cu_op *op = &net->ops[i];
        if (op->plan >= 0) {
            op->scratch = us_conv_plan_workspace(net->plans[op->plan].plan);
        }
        net->scratch = op->scratch > net->scratch ? op->scratch : net->scratch;
    }
    net->scratch = (net->scratch + 255) / 256 * 256;
    return US_NN_OK;
}

size_t cu_net_memory(const struct cu_net *net) {
    return net->plan.size + CU_STREAMS * net->scratch;
}

static enum us_nn_status new_event(void **event) {
    return cu_status(cudaEventCreateWithFlags((cudaEvent_t *)event, cudaEventDisableTiming));
}

enum us_nn_status cu_net_make_events(struct cu_net *net) {
    enum us_nn_status status = new_event(&net->fork);
    status = status ? status : new_event(&net->join);
    for (int i = 0; i < net->op_count && !status; i++) {
        if (net->ops[i].signal) {
            status = new_event(&net->events[i]);
        }
    }
    return status;
}

static void free_event(void **event) {
    if (*event) {
        (void)cudaEventDestroy((cudaEvent_t)*event);
        *event = NULL;
    }
}

void cu_net_finish(struct cu_net *net) {
    for (int i = 0; i < net->plan_count; i++) {
        us_conv_plan_destroy(net->plans[i].plan);
    }
    net->plan_count = 0;
    for (int i = 0; i < net->op_count; i++) {
        free_event(&net->events[i]);
    }
    free_event(&net->fork);
    free_event(&net->join);
}

static enum us_nn_status wait_for(void *stream, void *event) {
    return cu_status(cudaStreamWaitEvent((cudaStream_t)stream, (cudaEvent_t)event, 0));
}

static enum us_nn_status record(void *event, void *stream) {
    return cu_status(cudaEventRecord((cudaEvent_t)event, (cudaStream_t)stream));
}

static enum us_nn_status run_op(const struct cu_net *net, const struct cu_op *op, void *stream) {
    void *at[CU_ACCESSES] = {NULL};
    for (int i = 0; i < op->access_count; i++) {
        at[i] = cu_net_at(net, op->accesses[i].ref);
    }
    return op->run(net, op, at, stream);
}

static bool chosen(const struct cu_op *op, const struct cu_selection *what) {
    if (what->packed && op->run == cu_run_pack) {
        return false;
    }
    return op->phase >= what->from && op->phase <= what->to && (op->decoders & what->decoders);
}

static enum us_nn_status run_one(const struct cu_net *net, int i, const struct cu_selection *what,
                                 const struct cu_streams *streams) {
    const struct cu_op *op = &net->ops[i];
    void *stream = streams->at[op->stream];
    enum us_nn_status status = US_NN_OK;
    if (op->wait >= 0 && chosen(&net->ops[op->wait], what)) {
        status = wait_for(stream, net->events[op->wait]);
    }
    status = status ? status : run_op(net, op, stream);
    if (!status && op->signal) {
        status = record(net->events[i], stream);
    }
    if (!status && op->gathers > 0) {
        status = what->gather(what->context, &net->factors[op->gathers - 1], streams);
    }
    if (!status && op->final > 0 && what->complete) {
        status = what->complete(what->context, op->final, streams);
    }
    return status;
}

enum us_nn_status cu_net_run(const struct cu_net *net, const struct cu_selection *what,
                             const struct cu_streams *streams) {
    enum us_nn_status status = record(net->fork, streams->at[0]);
    status = status ? status : wait_for(streams->at[1], net->fork);
    for (int i = 0; i < net->op_count && !status; i++) {
        if (chosen(&net->ops[i], what)) {
            status = run_one(net, i, what, streams);
        }
    }
    /* also after a failure: an ended capture must have all its streams joined */
    enum us_nn_status joined = record(net->join, streams->at[1]);
    joined = joined ? joined : wait_for(streams->at[0], net->join);
    return status ? status : joined;
}
