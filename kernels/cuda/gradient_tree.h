/* Sums of gradients in the fixed tree of kernels/nn/comm.h, so that passes and ranks add up to the
 * same bits however many of each there are. */
#ifndef US_KERNELS_CUDA_GRADIENT_TREE_H
#define US_KERNELS_CUDA_GRADIENT_TREE_H

#include "kernels/nn/types_cuda.h"

NN_CUDA_BEGIN

#define CU_TREE_LEVELS 8 /* 256 passes */

/* Sums of earlier passes, by level: that of 2^level passes waits where the bit of that level is set
 * in the number of passes before. */
struct cu_tree_waiting {
    float *at[CU_TREE_LEVELS];
};

/* The gradients of pass number `pass` lie in `sum`: what waits at the levels below `levels` that
 * are set in `pass` is added, lowest first; `into` gets a copy, unless it is NULL. Buffers start at
 * multiples of 16 bytes; count is a multiple of 4. */
cudaError_t cu_tree_fold(float *sum, const struct cu_tree_waiting *waiting, unsigned pass,
                         int levels, float *into, size_t count, cudaStream_t stream);

/* out[i] = the tree's sum of parts[k * stride + i] over k < parts_count (1 to 64). `out` may be one
 * of the parts. */
cudaError_t cu_tree_sum(const float *parts, int parts_count, size_t stride, float *out,
                        size_t count, cudaStream_t stream);
cudaError_t cu_tree_sum_f64(const double *parts, int parts_count, size_t stride, double *out,
                            size_t count, cudaStream_t stream);

NN_CUDA_END

#endif
