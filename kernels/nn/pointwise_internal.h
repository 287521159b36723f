/* The passes between convolutions, over whole tensors, threaded, in float or bfloat16.
 * Activations are [n][channels / block][h][w][block]. */
#ifndef US_KERNELS_NN_POINTWISE_INTERNAL_H
#define US_KERNELS_NN_POINTWISE_INTERNAL_H

#include <stddef.h>

#include "kernels/nn/dnnl_library.h"

/* Sizes of a depth-to-space: `channels` (padded) and h x w are those of one quarter. */
struct nn_shuffle_shape {
    int n, channels, h, w, block;
};

/* y = leaky ReLU of (y + more), in place; more may be NULL. */
void nn_slope_forward(float *y, const float *more, float slope, size_t count);
/* gradient = (gradient + more) * (y > 0 ? 1 : slope), in place; more may be NULL. */
void nn_slope_backward(dnnl_data_type_t type, void *gradient, const void *more, const void *y,
                       float slope, size_t count);

/* y[n][c][2 i + dy][2 j + dx] = x[n][(2 dy + dx) channels + c][i][j]. */
void nn_shuffle_forward(dnnl_data_type_t type, const void *x, void *y,
                        const struct nn_shuffle_shape *shape);
/* The gradient of x before its leaky ReLU: (gradient + more) of y times the slope at y's sign. */
void nn_shuffle_backward(dnnl_data_type_t type, const void *gradient, const void *more,
                         const void *y, float slope, void *x_gradient,
                         const struct nn_shuffle_shape *shape);

/* Each of n samples of `count` elements (`real` of them not padding) over its root mean square;
 * scales[n] are kept for backward. */
void nn_norm_forward(dnnl_data_type_t type, const void *x, void *y, float *scales, int n,
                     size_t count, size_t real);
/* x_gradient = scale (g - y mean(g y)). */
void nn_norm_backward(dnnl_data_type_t type, const void *gradient, const void *y,
                      const float *scales, void *x_gradient, int n, size_t count, size_t real);

/* Sizes of a head: planes of h*factor x w*factor; the input has h x w and `padded` channels. */
struct nn_head_shape {
    int n, channels, padded, h, w, factor, block;
    int sigmoid; /* 0: the values as they are */
};

/* image[n][c][y][x] = the input, or sigmoid of it; x is float always. */
void nn_head_forward(const float *x, float *image, const struct nn_head_shape *shape);
void nn_head_backward(dnnl_data_type_t type, const float *gradient, const float *image,
                      void *x_gradient, const struct nn_head_shape *shape);

/* gradient += more. */
void nn_add(dnnl_data_type_t type, void *gradient, const void *more, size_t count);

/* y = x cos x, and its gradient at x. */
void nn_cosine_forward(dnnl_data_type_t type, const void *x, void *y, size_t count);
void nn_cosine_backward(dnnl_data_type_t type, const void *gradient, const void *x,
                        void *x_gradient, size_t count);

/* out = factor g. */
void nn_scale(dnnl_data_type_t type, const void *g, float factor, void *out, size_t count);
/* y = a + fade (b - a). */
void nn_blend_forward(dnnl_data_type_t type, const void *a, const void *b, float fade, void *y,
                      size_t count);

/* `maps` maps of h x w pixels of `block` values: the smaller side's sizes. */
struct nn_map_shape {
    int maps, h, w, block;
};

void nn_pool_forward(dnnl_data_type_t type, const void *x, void *y,
                     const struct nn_map_shape *shape);
void nn_pool_backward(dnnl_data_type_t type, const void *gradient, const void *x, const void *y,
                      void *x_gradient, const struct nn_map_shape *shape);
void nn_upsample_forward(dnnl_data_type_t type, const void *x, void *y,
                         const struct nn_map_shape *shape);
void nn_upsample_backward(dnnl_data_type_t type, const void *gradient, void *x_gradient,
                          const struct nn_map_shape *shape);

/* Of n images of `area` pixels, channels from..from + count of one tensor to to.. of another. */
struct nn_channel_run {
    int n, area, block, from_channels, to_channels, from, to, count;
};

void nn_copy_channels(dnnl_data_type_t type, const void *x, void *y,
                      const struct nn_channel_run *run);

void nn_cast(dnnl_data_type_t type, const float *from, void *to, size_t count);
void nn_widen(dnnl_data_type_t type, const void *from, float *to, size_t count);

/* Planes of floats [n][channels][area] to and from blocks [n][padded / block][area][block]. */
struct nn_pack_shape {
    int n, channels, padded, area, block;
};
void nn_pack(dnnl_data_type_t type, const float *from, void *to, const struct nn_pack_shape *shape);
void nn_unpack(dnnl_data_type_t type, const void *from, float *to,
               const struct nn_pack_shape *shape);

#endif
