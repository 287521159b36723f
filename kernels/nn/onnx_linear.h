/* Convolutions and matrix products of ONNX networks, on oneDNN. One thread at a time. */
#ifndef US_KERNELS_NN_ONNX_LINEAR_H
#define US_KERNELS_NN_ONNX_LINEAR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/nn/status.h"

/* Images are [n][c][h][w]. Weights are [out][in / groups][kh][kw], of a transposed convolution
 * [in][out / groups][kh][kw]. Pairs are rows, columns. The caller checks that sizes agree:
 * (in + before + after - (kernel - 1) dilation - 1) / stride + 1 = out, and for a transposed one
 * the same with in and out exchanged. */
struct us_onnx_conv_shape {
    int64_t n, in_channels, out_channels, groups;
    int64_t in[2], out[2];
    int64_t kernel[2], stride[2], dilation[2], before[2], after[2];
    bool transposed;
};

struct us_onnx_conv;

/* Weights and bias (or NULL) are copied. */
enum us_nn_status us_onnx_conv_create(const struct us_onnx_conv_shape *shape, const float *weights,
                                      const float *bias, int threads, struct us_onnx_conv **conv);
void us_onnx_conv_destroy(struct us_onnx_conv *conv); /* takes NULL */
/* Bytes of scratch memory a run wants, 64-byte aligned; and those the convolution holds. */
size_t us_onnx_conv_scratch(const struct us_onnx_conv *conv);
size_t us_onnx_conv_bytes(const struct us_onnx_conv *conv);
enum us_nn_status us_onnx_conv_run(struct us_onnx_conv *conv, const float *in, float *out,
                                   void *scratch);

/* c = alpha a b + beta c, row-major, a is m x k (k x m when flipped), b is k x n (n x k). */
struct us_onnx_product {
    int64_t m, n, k;
    bool flip_a, flip_b;
    float alpha, beta;
};

enum us_nn_status us_onnx_multiply(const struct us_onnx_product *product, const float *a,
                                   const float *b, float *c, int threads);

#endif
