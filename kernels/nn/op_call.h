/* One operation on plain buffers, whatever the engine: what the self-test asks of each device.
 *
 * All buffers are the caller's and in host memory, of floats in canonical order: maps [n][c][h][w],
 * weights [out][in][kernel][kernel] and then biases [out]. */
#ifndef US_KERNELS_NN_OP_CALL_H
#define US_KERNELS_NN_OP_CALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/augment.h"
#include "kernels/nn/loss.h"
#include "kernels/nn/optimizer.h"
#include "kernels/nn/status.h"

enum us_nn_op {
    US_NN_OP_CONV,           /* with bias, x2 added when given, leaky ReLU */
    US_NN_OP_DENSE,          /* with bias, leaky ReLU; `channels` values a sample */
    US_NN_OP_DEPTH_TO_SPACE, /* of a leaky ReLU of x; its backward has that of the slope in it */
    US_NN_OP_NORM,           /* pixel norm */
    US_NN_OP_HEAD,           /* sigmoid into planes of `channels`, factor^2 of x's are one */
    US_NN_OP_COSINE,         /* x cos x */
    US_NN_OP_POOL,
    US_NN_OP_UPSAMPLE,
    US_NN_OP_CONCAT, /* x, then x2 of the same shape */
    US_NN_OP_BLEND,  /* x + fade (x2 - x) */
};

/* Forward, then backward from `pull`, the gradient of y. What the operation has not is NULL. */
struct us_nn_op_call {
    enum us_nn_op op;
    bool bf16;      /* activations and weights in bfloat16 */
    int n, c, h, w; /* of x */
    int channels;   /* of y: conv, dense, head */
    int kernel, stride, factor;
    float slope, fade;
    const float *x, *x2, *weights, *pull;
    float *y, *x_gradient, *x2_gradient, *weight_gradient;
};

/* Sizes that follow from a call. */
struct us_nn_op_sizes {
    int y_c, y_h, y_w;
    size_t x, x2, weights, y; /* elements */
};
struct us_nn_op_sizes us_nn_op_sizes(const struct us_nn_op_call *call, bool has_x2);

/* The losses of one identity; planes as in struct us_nn_faces. */
struct us_nn_loss_call {
    struct us_nn_loss_weights weights;
    int size, count;
    const float *image, *mask, *target, *target_mask, *priority;
    float *image_gradient, *mask_gradient;
    struct us_nn_loss_terms terms;
};

/* A step of an optimizer over `count` parameters, in place. */
struct us_nn_optimizer_call {
    struct us_nn_optimizer optimizer;
    uint64_t step, seed;
    size_t count;
    const float *gradients;
    float *parameters, *moment1, *moment2, *average;
};

/* A batch made of `count` faces [size][size][4] of binary16. */
struct us_nn_augment_call {
    struct us_augment_ranges ranges;
    uint64_t seed, step;
    uint32_t stream;
    int batch, size;
    size_t count;
    const uint16_t *faces;
    float *inputs, *targets, *masks; /* [batch][3] [3] [1] [size][size] */
};

/* An engine; `context` is its own. US_NN_UNSUPPORTED: it has no such operation or type. */
struct us_nn_op_engine {
    void *context;
    enum us_nn_status (*op)(void *context, const struct us_nn_op_call *call);
    enum us_nn_status (*loss)(void *context, struct us_nn_loss_call *call);
    enum us_nn_status (*optimize)(void *context, const struct us_nn_optimizer_call *call);
    enum us_nn_status (*augment)(void *context, const struct us_nn_augment_call *call);
};

extern const struct us_nn_op_engine us_nn_cpu_ops;

#endif
