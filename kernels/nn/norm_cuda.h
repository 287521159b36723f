/* Operations with sums over a map, on the device. Sums are taken in a fixed order. */
#ifndef US_KERNELS_NN_NORM_CUDA_H
#define US_KERNELS_NN_NORM_CUDA_H

#include "kernels/nn/types_cuda.h"

NN_CUDA_BEGIN

/* Bytes of scratch for the functions below that take some. */
size_t nn_cuda_norm_scratch(int n);
size_t nn_cuda_bias_scratch(size_t rows, int channels);

/* Each of n samples of `count` elements (a multiple of 8, `real` of them not padding) over its root
 * mean square (with 1e-6); scales[n] are kept for backward. */
cudaError_t nn_cuda_norm_forward(enum nn_cuda_type type, const void *x, void *y, float *scales,
                                 int n, size_t count, size_t real, void *scratch,
                                 cudaStream_t stream);
/* x_gradient = scale (g - y mean(g y)), g = gradient + more; more may be NULL. */
cudaError_t nn_cuda_norm_backward(enum nn_cuda_type type, const void *gradient, const void *more,
                                  const void *y, const float *scales, void *x_gradient, int n,
                                  size_t count, size_t real, void *scratch, cudaStream_t stream);

/* bias_gradient[channels] = the sum of (gradient + more) over rows; more may be NULL. With y, the
 * slope at y's sign is multiplied in first and the product is also written to `out` (which may be
 * the gradient's memory); y and out are NULL together. */
cudaError_t nn_cuda_bias_gradient(enum nn_cuda_type type, const void *gradient, const void *more,
                                  const void *y, float slope, void *out, float *bias_gradient,
                                  size_t rows, int channels, void *scratch, cudaStream_t stream);

NN_CUDA_END

#endif
