#ifndef US_KERNELS_CUDA_OP_RUN_INTERNAL_H
#define US_KERNELS_CUDA_OP_RUN_INTERNAL_H

#include "kernels/cuda/conv_plan.h"
#include "kernels/cuda/op_desk.h"
#include "kernels/nn/op_call.h"

/* An engine on a device. */
struct us_op_run {
    int ordinal;
    struct us_conv_planner *planner; /* made by the first convolution */
};

/* The operations with weights: convolutions and dense layers. */
enum us_nn_status us_op_run_linear(struct us_op_run *run, const struct us_nn_op_call *call);
/* All others. */
enum us_nn_status us_op_run_shape(const struct us_nn_op_call *call);

enum us_nn_status us_op_run_loss(void *context, struct us_nn_loss_call *call);
enum us_nn_status us_op_run_optimize(void *context, const struct us_nn_optimizer_call *call);
enum us_nn_status us_op_run_augment(void *context, const struct us_nn_augment_call *call);

enum us_nn_status us_op_run_plan(struct us_op_run *run, struct us_desk *desk,
                                 const struct us_conv_desc *desc, struct us_conv_buffers *buffers);

#endif
