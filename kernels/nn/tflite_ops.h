/* The forward operators that small TensorFlow Lite face networks use, on float tensors of one
 * image in height, width, channel order.
 *
 * Every sum runs in one fixed order, so results do not depend on threads. Memory is the caller's;
 * inputs and outputs never overlap. Semantics: TensorFlow Lite's reference kernels. */
#ifndef US_KERNELS_NN_TFLITE_OPS_H
#define US_KERNELS_NN_TFLITE_OPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct us_nhwc {
    float *data;
    int32_t height, width, channels;
};

enum us_fused { US_FUSED_NONE, US_FUSED_RELU, US_FUSED_RELU6 };

/* A sliding window; samples outside the input count as 0 (convolutions) or not at all (pooling). */
struct us_sliding {
    int32_t kernel_height, kernel_width, stride_y, stride_x, pad_top, pad_left;
    enum us_fused fused;
};

/* Output channels are handled in blocks of this many. */
enum { US_TFLITE_BLOCK = 8 };

/* Floats us_tflite_pack_weights writes, and us_tflite_conv wants as scratch. */
size_t us_tflite_packed_floats(int32_t taps, int32_t in_channels, int32_t out_channels);
size_t us_tflite_conv_scratch(const struct us_sliding *window, int32_t in_channels,
                              int32_t out_width);

/* From TFLite's [out][kernel][in] to [kernel][in][out rounded up to a block], zero filled. */
void us_tflite_pack_weights(const float *weights, int32_t taps, int32_t in_channels,
                            int32_t out_channels, float *packed);

/* `bias` holds out.channels rounded up to a block. */
void us_tflite_conv(struct us_nhwc in, struct us_nhwc out, const float *packed, const float *bias,
                    const struct us_sliding *window, float *scratch);
/* weights [kernel][channel]; depth multiplier 1; bias holds out.channels. */
void us_tflite_depthwise(struct us_nhwc in, struct us_nhwc out, const float *weights,
                         const float *bias, const struct us_sliding *window);
void us_tflite_max_pool(struct us_nhwc in, struct us_nhwc out, const struct us_sliding *window);
/* Zeros around: `before` is top, left and first channel. */
void us_tflite_pad(struct us_nhwc in, struct us_nhwc out, const int32_t before[3]);
void us_tflite_resize_bilinear(struct us_nhwc in, struct us_nhwc out, bool align_corners,
                               bool half_pixel_centers);
void us_tflite_add(const float *a, const float *b, float *out, size_t count, enum us_fused fused);
void us_tflite_relu(const float *in, float *out, size_t count, enum us_fused fused);
/* One slope a channel. */
void us_tflite_prelu(struct us_nhwc in, const float *slopes, float *out);

/* The same on a device, for `count` images whose data lie `stride` floats apart; enqueued on
 * `stream` (a cudaStream_t). Sums run in the same order, image by image, so the batch changes
 * nothing. */
struct us_nhwc_batch {
    float *data; /* of the first image, in device memory */
    size_t stride;
    int32_t count, height, width, channels;
};

/* A direct convolution; weights as us_tflite_pack_weights makes them, without scratch. */
void us_tflite_conv_cuda(struct us_nhwc_batch in, struct us_nhwc_batch out, const float *packed,
                         const float *bias, const struct us_sliding *window, void *stream);
void us_tflite_depthwise_cuda(struct us_nhwc_batch in, struct us_nhwc_batch out,
                              const float *weights, const float *bias,
                              const struct us_sliding *window, void *stream);
void us_tflite_max_pool_cuda(struct us_nhwc_batch in, struct us_nhwc_batch out,
                             const struct us_sliding *window, void *stream);
void us_tflite_pad_cuda(struct us_nhwc_batch in, struct us_nhwc_batch out, const int32_t before[3],
                        void *stream);
void us_tflite_resize_bilinear_cuda(struct us_nhwc_batch in, struct us_nhwc_batch out,
                                    bool align_corners, bool half_pixel_centers, void *stream);
/* height x width x channels values of each image. */
void us_tflite_add_cuda(struct us_nhwc_batch a, struct us_nhwc_batch b, struct us_nhwc_batch out,
                        enum us_fused fused, void *stream);
void us_tflite_relu_cuda(struct us_nhwc_batch in, struct us_nhwc_batch out, enum us_fused fused,
                         void *stream);
void us_tflite_prelu_cuda(struct us_nhwc_batch in, struct us_nhwc_batch out, const float *slopes,
                          void *stream);
/* Copies `outer` runs of `inner` values, from one after another to one every `step` of `out`; both
 * are counted in floats and out.data is where the first goes. */
void us_tflite_place_cuda(struct us_nhwc_batch in, struct us_nhwc_batch out, size_t outer,
                          size_t inner, size_t step, void *stream);

#endif
