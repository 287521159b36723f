/* The end of a decoder on the device. */
#ifndef US_KERNELS_NN_HEAD_CUDA_H
#define US_KERNELS_NN_HEAD_CUDA_H

#include "kernels/nn/types_cuda.h"

NN_CUDA_BEGIN

/* Planes of h factor x w factor; the input has h x w and `padded` channels (a multiple of 8), of
 * which channels factor^2 are used. factor is 1 or 2. */
struct nn_cuda_head {
    int n, channels, padded, h, w, factor;
};

/* image[n][c][i factor + dy][j factor + dx] = sigmoid of (x + bias)[n][i][j][(factor dy + dx)
 * channels + c], planar floats; bias ([padded] floats) may be NULL. */
cudaError_t nn_cuda_head_forward(enum nn_cuda_type type, const void *x, const float *bias,
                                 float *image, const struct nn_cuda_head *head,
                                 cudaStream_t stream);
/* The gradient of x + bias; that of padding is 0. */
cudaError_t nn_cuda_head_backward(enum nn_cuda_type type, const float *gradient, const float *image,
                                  void *x_gradient, const struct nn_cuda_head *head,
                                  cudaStream_t stream);

NN_CUDA_END

#endif
