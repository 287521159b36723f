#include "kernels/cuda/ops_api.h"

#include "kernels/cuda/op_run_internal.h"
#include "kernels/nn/memory.h"

static enum us_nn_status run_op(void *context, const struct us_nn_op_call *call) {
    struct us_op_run *run = context;
    if (cudaSetDevice(run->ordinal) != cudaSuccess) {
        return US_NN_FAILED;
    }
    const bool linear = call->op == US_NN_OP_CONV || call->op == US_NN_OP_DENSE;
    return linear ? us_op_run_linear(run, call) : us_op_run_shape(call);
}

static enum us_nn_status open_ops(int ordinal, struct us_nn_op_engine *engine) {
    struct us_op_run *run = us_nn_alloc(sizeof *run);
    if (!run) {
        return US_NN_NO_MEMORY;
    }
    run->ordinal = ordinal;
    *engine = (struct us_nn_op_engine){.context = run,
                                       .op = run_op,
                                       .loss = us_op_run_loss,
                                       .optimize = us_op_run_optimize,
                                       .augment = us_op_run_augment};
    return US_NN_OK;
}

static void close_ops(struct us_nn_op_engine *engine) {
    struct us_op_run *run = engine->context;
    if (run) {
        us_conv_planner_destroy(run->planner);
    }
    us_nn_free(run);
    engine->context = NULL;
}

const struct us_cuda_ops_api us_cuda_ops_table = {open_ops, close_ops};
