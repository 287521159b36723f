/* The operations a network is built of. Each takes its inputs, makes its output tensor and adds
 * itself to the net; NULL in, NULL out (net->status says why).
 *
 * `slope` is that of the leaky ReLU after the operation, 1 for none; backward derives it from the
 * sign of the output. */
#ifndef US_KERNELS_NN_OPS_INTERNAL_H
#define US_KERNELS_NN_OPS_INTERNAL_H

#include "kernels/nn/net_internal.h"

struct nn_conv_options {
    int stride;
    float slope;
    struct nn_tensor *residual; /* added before the leaky ReLU, or NULL */
    bool slope_after; /* the next operation's backward includes the leaky ReLU's derivative */
    bool wide;        /* the output is float also in a bfloat16 net */
    bool first;       /* the input needs no gradient */
};

/* Convolution with bias, padded "same". */
struct nn_tensor *nn_conv(struct nn_net *net, struct nn_tensor *input, struct nn_weight *weight,
                          const struct nn_conv_options *options);

/* Matrix product with bias; the output is a vector, or with size > 0 blocks of channels of
 * size x size (the layer's rows are NN_ROWS_VECTOR). */
struct nn_tensor *nn_dense(struct nn_net *net, struct nn_tensor *input, struct nn_weight *weight,
                           int channels, int size, float slope);

/* Depth-to-space x2: `channels` = a quarter of the input's. slope: of the convolution before,
 * which has slope_after. */
struct nn_tensor *nn_shuffle(struct nn_net *net, struct nn_tensor *input, int channels,
                             float slope);

/* x cos x. */
struct nn_tensor *nn_cosine(struct nn_net *net, struct nn_tensor *input);

/* x / sqrt(mean(x^2) + 1e-6) over all of a sample. */
struct nn_tensor *nn_pixel_norm(struct nn_net *net, struct nn_tensor *input);

/* Channels of a, then of b; both of one kind and size. a may be b. */
struct nn_tensor *nn_concat(struct nn_net *net, struct nn_tensor *a, struct nn_tensor *b);
/* Images of a, then of b. */
struct nn_tensor *nn_stack(struct nn_net *net, struct nn_tensor *a, struct nn_tensor *b);
/* A copy of n images, unlike nn_net_view free of what others take of the input. */
struct nn_tensor *nn_part(struct nn_net *net, struct nn_tensor *input, int first, int n);
/* The largest of each 2 x 2; among equals the first row's first gets the gradient. */
struct nn_tensor *nn_pool(struct nn_net *net, struct nn_tensor *input);
/* Each value 2 x 2 times. */
struct nn_tensor *nn_upsample(struct nn_net *net, struct nn_tensor *input);
/* a + fade (b - a) with net->fade. */
struct nn_tensor *nn_blend(struct nn_net *net, struct nn_tensor *a, struct nn_tensor *b);

/* Into planes, through a sigmoid or as it is, with factor 2 after depth-to-space. The output has
 * the gradient slot the loss writes. */
struct nn_tensor *nn_head(struct nn_net *net, struct nn_tensor *input, int channels, int factor,
                          bool sigmoid);

/* Planes as the first layer wants them: colours cast, more channels blocked. differentiable: its
 * gradient comes back as floats too. */
struct nn_tensor *nn_input(struct nn_net *net, struct nn_tensor *image, bool differentiable);

#endif
