/* Operations that move activations, on the device: NHWC, channels a multiple of 8 throughout. */
#ifndef US_KERNELS_NN_SHAPE_OPS_CUDA_H
#define US_KERNELS_NN_SHAPE_OPS_CUDA_H

#include "kernels/nn/types_cuda.h"

NN_CUDA_BEGIN

/* Sizes of the smaller map of a doubling: depth-to-space and upsampling make n x 2h x 2w. */
struct nn_cuda_map {
    int n, h, w, channels; /* channels of the larger map for depth-to-space: a quarter */
};

/* Depth-to-space with what a convolution leaves undone before it:
 * y[n][2i + dy][2j + dx][c] = leaky ReLU of (x + bias)[n][i][j][(2 dy + dx) channels + c].
 * bias ([4 channels] floats) may be NULL, slope 1 for none. */
cudaError_t nn_cuda_shuffle_forward(enum nn_cuda_type type, const void *x, const float *bias,
                                    float slope, void *y, const struct nn_cuda_map *map,
                                    cudaStream_t stream);
/* The gradient of x + bias: (gradient + more) of y times the slope at y's sign; more may be NULL.
 */
cudaError_t nn_cuda_shuffle_backward(enum nn_cuda_type type, const void *gradient, const void *more,
                                     const void *y, float slope, void *x_gradient,
                                     const struct nn_cuda_map *map, cudaStream_t stream);
/* The same with y there, and its sums over all pixels: bias_gradient[4 channels] as
 * nn_cuda_bias_gradient of it would give, without reading it again. scratch has
 * nn_cuda_bias_scratch(n h w, 4 channels) bytes. */
cudaError_t nn_cuda_shuffle_bias_gradient(enum nn_cuda_type type, const void *gradient,
                                          const void *more, const void *y, float slope,
                                          void *x_gradient, float *bias_gradient,
                                          const struct nn_cuda_map *map, void *scratch,
                                          cudaStream_t stream);

/* y[n][2i + dy][2j + dx] = x[n][i][j], and the sum of the four gradients (+ more, or NULL). */
cudaError_t nn_cuda_upsample_forward(enum nn_cuda_type type, const void *x, void *y,
                                     const struct nn_cuda_map *map, cudaStream_t stream);
cudaError_t nn_cuda_upsample_backward(enum nn_cuda_type type, const void *gradient,
                                      const void *more, void *x_gradient,
                                      const struct nn_cuda_map *map, cudaStream_t stream);

/* The largest of 2 x 2; `map` is that of x, y has h / 2 x w / 2 and an odd last row or column is
 * left out. The gradient goes to the first largest in row order, 0 elsewhere. */
cudaError_t nn_cuda_pool_forward(enum nn_cuda_type type, const void *x, void *y,
                                 const struct nn_cuda_map *map, cudaStream_t stream);
cudaError_t nn_cuda_pool_backward(enum nn_cuda_type type, const void *gradient, const void *more,
                                  const void *x, void *x_gradient, const struct nn_cuda_map *map,
                                  cudaStream_t stream);

/* Copies `count` channels of each of `rows` pixels from channel `from_first` of maps with
 * `from_channels` to channel `to_first` of maps with `to_channels`: concatenation and its gradient,
 * a part at a time. All are multiples of 8. */
cudaError_t nn_cuda_copy_channels(enum nn_cuda_type type, const void *from, int from_channels,
                                  int from_first, void *to, int to_channels, int to_first,
                                  int count, size_t rows, cudaStream_t stream);

/* Planar floats [n][c][h][w] to NHWC with padding of 0, and back without it. */
cudaError_t nn_cuda_pack(enum nn_cuda_type type, const float *planes, int c, void *y,
                         const struct nn_cuda_map *map, cudaStream_t stream);
cudaError_t nn_cuda_unpack(enum nn_cuda_type type, const void *x, float *planes, int c,
                           const struct nn_cuda_map *map, cudaStream_t stream);

NN_CUDA_END

#endif
