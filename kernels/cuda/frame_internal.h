/* Inside of the module's image work. */
#ifndef US_KERNELS_CUDA_FRAME_INTERNAL_H
#define US_KERNELS_CUDA_FRAME_INTERNAL_H

#include <cuda_runtime_api.h>

#include "kernels/cuda/frame_api.h"

/* Device memory; freed blocks are kept for the next of their size, up to a limit. Callers have set
 * the thread's device. NULL when there is none. */
void *cuda_block_take(int device, size_t bytes);
void cuda_block_give(int device, void *block, size_t bytes);

/* Keeps a clause for problem() and says US_NN_FAILED, or US_NN_OK. */
enum us_nn_status cuda_frame_check(cudaError_t error);

struct us_cuda_net *cuda_net_create(struct us_cuda_frame *frame, const struct us_net_plan *plan);
void cuda_net_destroy(struct us_cuda_net *net);
void cuda_net_run(struct us_cuda_frame *frame, const struct us_cuda_net *net, float *memory,
                  int count);

int cuda_frame_device(const struct us_cuda_frame *frame);
void *cuda_frame_stream(struct us_cuda_frame *frame);
void cuda_frame_up(struct us_cuda_frame *frame, void *to, const void *from, size_t bytes);

extern const struct us_cuda_frame_api us_cuda_frame_table;

#endif
