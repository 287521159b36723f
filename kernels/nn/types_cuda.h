/* What the device functions of this folder (x_cuda.h beside x.cu) share.
 *
 * Pointers are device memory unless said otherwise and start at a multiple of 16 bytes. Activations
 * are NHWC, `channels` of them a multiple of 8 (padding holds zeros); images are planar floats.
 * Work is put on the stream and nothing waits; the answer is the error of the launch. Nothing is
 * allocated, so everything can be captured in a graph; what changes from step to step is read from
 * device memory. Results are the same bits every time. */
#ifndef US_KERNELS_NN_TYPES_CUDA_H
#define US_KERNELS_NN_TYPES_CUDA_H

#include <cuda_runtime_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define NN_CUDA_BEGIN extern "C" {
#define NN_CUDA_END }
#else
#define NN_CUDA_BEGIN
#define NN_CUDA_END
#endif

enum nn_cuda_type { NN_CUDA_F32, NN_CUDA_BF16 };

static inline size_t nn_cuda_size(enum nn_cuda_type type) {
    return type == NN_CUDA_BF16 ? 2 : 4;
}

#endif
