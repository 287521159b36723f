/* The forward operators of ONNX networks that need no matrix product, on float tensors in the
 * order of the format (row-major; images are [n][c][h][w]).
 *
 * Every sum runs in one fixed order on the calling thread. Memory is the caller's; outputs overlap
 * no input unless said. Semantics: the ONNX operator reference. */
#ifndef US_KERNELS_NN_ONNX_OPS_H
#define US_KERNELS_NN_ONNX_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum us_unary {
    US_UNARY_ABS,
    US_UNARY_CEIL,
    US_UNARY_CLIP, /* to a..b */
    US_UNARY_COS,
    US_UNARY_ELU, /* a (e^x - 1) below 0 */
    US_UNARY_ERF,
    US_UNARY_EXP,
    US_UNARY_FLOOR,
    US_UNARY_HARD_SIGMOID, /* a x + b within 0..1 */
    US_UNARY_HARD_SWISH,
    US_UNARY_LEAKY_RELU, /* slope a */
    US_UNARY_LOG,
    US_UNARY_NEG,
    US_UNARY_RECIPROCAL,
    US_UNARY_RELU,
    US_UNARY_SIGMOID,
    US_UNARY_SIN,
    US_UNARY_SOFTPLUS,
    US_UNARY_SQRT,
    US_UNARY_TANH,
};

/* `out` may be `in`. */
void us_onnx_unary(enum us_unary kind, float a, float b, const float *in, float *out, size_t count);

enum us_binary {
    US_BINARY_ADD,
    US_BINARY_SUB,
    US_BINARY_MUL,
    US_BINARY_DIV,
    US_BINARY_POW,
    US_BINARY_MIN,
    US_BINARY_MAX,
    US_BINARY_PRELU, /* x below 0 times y */
};

enum { US_ONNX_AXES = 8 };

/* A walk over an output of `rank` (up to US_ONNX_AXES) axes: steps of an operand are in elements,
 * 0 along an axis it is repeated over. */
struct us_onnx_walk {
    int rank;
    int64_t counts[US_ONNX_AXES];
    int64_t steps[2][US_ONNX_AXES];
};

/* `out` is contiguous; it may be `x` when x is not repeated. */
void us_onnx_binary(enum us_binary kind, const struct us_onnx_walk *walk, const float *x,
                    const float *y, float *out);

/* Rearranges: output [i0][i1].. takes the input's element maps[0][i0] + maps[1][i1] + ..; a map of
 * -1 somewhere gives `fill` instead. Elements are of `size` 4 or 8 bytes. */
struct us_onnx_pick {
    int rank;
    int64_t counts[US_ONNX_AXES];
    const int64_t *maps[US_ONNX_AXES];
    size_t size;
    uint64_t fill; /* its low `size` bytes */
};

void us_onnx_pick(const struct us_onnx_pick *pick, const void *in, void *out);

/* Where an output sample of a linear resize lies between two of the input. */
struct us_onnx_blend {
    int32_t low, high;
    float weight; /* of high */
};

/* `planes` images; one blend for each row and column of the output. */
void us_onnx_resize_linear(const float *in, int32_t in_height, int32_t in_width, size_t planes,
                           const struct us_onnx_blend *rows, int32_t out_height,
                           const struct us_onnx_blend *columns, int32_t out_width, float *out);

/* A sliding window over images; taps outside the input do not count, but for an average's divisor
 * when `count_padding`. */
struct us_onnx_window {
    int32_t kernel[2], stride[2], dilation[2], before[2], after[2]; /* rows, columns */
    bool average, count_padding;
};

void us_onnx_pool(const struct us_onnx_window *window, const float *in, int32_t in_height,
                  int32_t in_width, size_t planes, int32_t out_height, int32_t out_width,
                  float *out);

enum us_reduce { US_REDUCE_MEAN, US_REDUCE_SUM, US_REDUCE_MAX, US_REDUCE_MIN, US_REDUCE_L2 };

/* Output [i] from the input's elements kept[i] + gone[k], for all k. */
void us_onnx_reduce(enum us_reduce kind, const float *in, const int64_t *kept, size_t kept_count,
                    const int64_t *gone, size_t gone_count, float *out);

/* [outer][length][inner], along length. `out` may be `in`. */
void us_onnx_softmax(const float *in, size_t outer, size_t length, size_t inner, float *out);

/* x a[c] + b[c] on [n][c][area]. `out` may be `in`. */
void us_onnx_affine(const float *in, size_t n, size_t channels, size_t area, const float *a,
                    const float *b, float *out);

/* a[c] (x - mean) / sqrt(variance + epsilon) + b[c], each plane of [n][c][area] by itself. */
void us_onnx_instance_norm(const float *in, size_t n, size_t channels, size_t area, float epsilon,
                           const float *a, const float *b, float *out);
/* The same over each of `groups` runs of `length` values, with a and b (or NULL) of that many. */
void us_onnx_layer_norm(const float *in, size_t groups, size_t length, float epsilon,
                        const float *a, const float *b, float *out);

#endif
