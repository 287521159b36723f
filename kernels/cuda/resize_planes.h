/* Planes at other sizes, for networks that have not grown to the whole size yet. */
#ifndef US_KERNELS_CUDA_RESIZE_PLANES_H
#define US_KERNELS_CUDA_RESIZE_PLANES_H

#include "kernels/nn/types_cuda.h"

NN_CUDA_BEGIN

/* As nn_reduce_planes and nn_enlarge_planes: means of squares, bilinear between centres. */
cudaError_t cu_reduce_planes(const float *planes, size_t count, int size, int to, float *out,
                             cudaStream_t stream);
cudaError_t cu_enlarge_planes(const float *planes, size_t count, int size, int to, float *out,
                              cudaStream_t stream);

NN_CUDA_END

#endif
