/* Passes over whole tensors on the device; `count` is a multiple of 8. Any output may be the same
 * memory as an input of the same type. Each reads its inputs once and writes its outputs once. */
#ifndef US_KERNELS_NN_POINTWISE_CUDA_H
#define US_KERNELS_NN_POINTWISE_CUDA_H

#include "kernels/nn/types_cuda.h"

NN_CUDA_BEGIN

/* y = leaky ReLU of x + bias + residual, slope 1 for none; bias ([channels] floats) and residual
 * may be NULL. */
cudaError_t nn_cuda_bias_slope(enum nn_cuda_type type, const void *x, const float *bias,
                               const void *residual, float slope, void *y, size_t rows,
                               int channels, cudaStream_t stream);

/* out = (gradient + more) * (y > 0 ? 1 : slope); more may be NULL. */
cudaError_t nn_cuda_slope_backward(enum nn_cuda_type type, const void *gradient, const void *more,
                                   const void *y, float slope, void *out, size_t count,
                                   cudaStream_t stream);

cudaError_t nn_cuda_add(enum nn_cuda_type type, const void *a, const void *b, void *out,
                        size_t count, cudaStream_t stream);

/* y = x cos x, and out = (gradient + more) * (cos x - x sin x); more may be NULL. */
cudaError_t nn_cuda_cosine_forward(enum nn_cuda_type type, const void *x, void *y, size_t count,
                                   cudaStream_t stream);
cudaError_t nn_cuda_cosine_backward(enum nn_cuda_type type, const void *gradient, const void *more,
                                    const void *x, void *out, size_t count, cudaStream_t stream);

/* out = a + factor (b - a), and the gradients of both; *factor lies on the device. */
cudaError_t nn_cuda_blend_forward(enum nn_cuda_type type, const void *a, const void *b,
                                  const float *factor, void *out, size_t count,
                                  cudaStream_t stream);
cudaError_t nn_cuda_blend_backward(enum nn_cuda_type type, const void *gradient,
                                   const float *factor, void *a_gradient, void *b_gradient,
                                   size_t count, cudaStream_t stream);

cudaError_t nn_cuda_cast(enum nn_cuda_type from_type, const void *from, enum nn_cuda_type to_type,
                         void *to, size_t count, cudaStream_t stream);

NN_CUDA_END

#endif
