/* Running and timing plans on a device. */
#ifndef US_KERNELS_CUDA_CONV_RUN_INTERNAL_H
#define US_KERNELS_CUDA_CONV_RUN_INTERNAL_H

#include <cuda_runtime_api.h>

#include "kernels/cuda/conv_candidates_internal.h"

/* Enqueues a plan and, when it is bare, what conv_plan.h wants behind it. */
enum us_nn_status conv_run(cudnnHandle_t handle, cudaStream_t stream, cudnnBackendDescriptor_t plan,
                           bool fused, const struct us_conv_desc *desc,
                           const struct us_conv_buffers *buffers);

/* Measures every candidate on the current device with buffers of its own, filled with noise (zeros
 * take less power and run faster than data does), inside a captured graph as training runs them.
 * A candidate that cannot be captured, fails, gives wrong numbers (conv_check.h) or is much slower
 * than another keeps 0 microseconds.
 * US_NN_NO_MEMORY: the device has no room for the buffers. */
enum us_nn_status conv_time(cudnnHandle_t handle, const struct us_conv_desc *desc,
                            struct conv_candidates *found);

#endif
