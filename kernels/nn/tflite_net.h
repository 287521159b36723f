/* A small network as steps over one block of floats an image; what nodes tell a device to run. */
#ifndef US_KERNELS_NN_TFLITE_NET_H
#define US_KERNELS_NN_TFLITE_NET_H

#include "kernels/nn/tflite_ops.h"

enum us_net_kind {
    US_NET_CONV,
    US_NET_DEPTHWISE,
    US_NET_MAX_POOL,
    US_NET_PAD,
    US_NET_RESIZE,
    US_NET_ADD,
    US_NET_RELU,
    US_NET_PRELU,
    US_NET_PLACE, /* `in` into `out` in runs: a copy, or one input of a concatenation */
};

struct us_net_tensor {
    size_t offset; /* in an image's block */
    int32_t height, width, channels;
};

struct us_net_step {
    enum us_net_kind kind;
    struct us_net_tensor in, other, out; /* `other`: the second of an addition */
    struct us_sliding window;
    const float *weights, *bias; /* as the operator wants them; slopes are weights */
    size_t weight_count, bias_count;
    int32_t before[3];
    bool align_corners, half_pixel_centers;
    size_t outer, inner, step; /* of placing */
};

struct us_net_plan {
    const struct us_net_step *steps;
    size_t count;
    size_t floats; /* of an image's block */
};

#endif
