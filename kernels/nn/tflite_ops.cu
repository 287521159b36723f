#include <cuda_runtime.h>

extern "C" {
#include "kernels/nn/tflite_ops.h"
}
#include "kernels/cuda/grid_internal.h"
#include "kernels/nn/tflite_ops_internal.h"

enum { TILE = 4 }; /* pixels of a row that a thread convolves */

struct place {
    int32_t image, y, x, channel;
};

static size_t items(struct us_nhwc_batch batch) {
    return (size_t)batch.count * (size_t)batch.height * (size_t)batch.width *
           (size_t)batch.channels;
}

/* This thread's value of a tensor `width` wide; false beyond the last. */
static __device__ bool find(struct us_nhwc_batch b, int32_t width, struct place *p) {
    size_t at = grid_index();
    p->channel = (int32_t)(at % (size_t)b.channels);
    at /= (size_t)b.channels;
    p->x = (int32_t)(at % (size_t)width);
    at /= (size_t)width;
    p->y = (int32_t)(at % (size_t)b.height);
    at /= (size_t)b.height;
    p->image = (int32_t)at;
    return at < (size_t)b.count;
}

static __device__ float *pixel(struct us_nhwc_batch b, int32_t image, int32_t y, int32_t x) {
    return b.data + (size_t)image * b.stride +
           ((size_t)y * (size_t)b.width + (size_t)x) * (size_t)b.channels;
}

struct layer {
    const float *weights, *bias;
    struct us_sliding window;
    size_t columns; /* of packed weights */
};

/* Samples outside count as 0, and are added as such: the order of the sum is the processor's. */
static __global__ void convolve(struct us_nhwc_batch in, struct us_nhwc_batch out,
                                struct layer layer) {
    struct place p;
    if (!find(out, (out.width + TILE - 1) / TILE, &p)) {
        return;
    }
    const struct us_sliding *w = &layer.window;
    float sums[TILE];
    for (int i = 0; i < TILE; i++) {
        sums[i] = layer.bias[p.channel];
    }
    const float *weight = layer.weights + p.channel;
    for (int32_t ky = 0; ky < w->kernel_height; ky++) {
        int32_t y = p.y * w->stride_y + ky - w->pad_top;
        for (int32_t kx = 0; kx < w->kernel_width; kx++) {
            const float *from[TILE];
            for (int i = 0; i < TILE; i++) {
                int32_t x = (p.x * TILE + i) * w->stride_x + kx - w->pad_left;
                bool inside = y >= 0 && y < in.height && x >= 0 && x < in.width;
                from[i] = inside ? pixel(in, p.image, y, x) : NULL;
            }
            for (int32_t c = 0; c < in.channels; c++, weight += layer.columns) {
                for (int i = 0; i < TILE; i++) {
                    sums[i] += *weight * (from[i] ? from[i][c] : 0.0f);
                }
            }
        }
    }
    for (int i = 0; i < TILE && p.x * TILE + i < out.width; i++) {
        pixel(out, p.image, p.y, p.x * TILE + i)[p.channel] = fuse(sums[i], w->fused);
    }
}

static __global__ void convolve_depthwise(struct us_nhwc_batch in, struct us_nhwc_batch out,
                                          struct layer layer) {
    struct place p;
    if (!find(out, out.width, &p)) {
        return;
    }
    const struct us_sliding *w = &layer.window;
    int32_t top = p.y * w->stride_y - w->pad_top, left = p.x * w->stride_x - w->pad_left;
    struct span rows = inside(top, w->kernel_height, in.height);
    struct span columns = inside(left, w->kernel_width, in.width);
    float sum = layer.bias[p.channel];
    for (int32_t ky = rows.first; ky < rows.last; ky++) {
        for (int32_t kx = columns.first; kx < columns.last; kx++) {
            size_t tap = (size_t)(ky * w->kernel_width + kx) * (size_t)in.channels;
            sum += pixel(in, p.image, top + ky, left + kx)[p.channel] *
                   layer.weights[tap + (size_t)p.channel];
        }
    }
    pixel(out, p.image, p.y, p.x)[p.channel] = fuse(sum, w->fused);
}

static __global__ void pool(struct us_nhwc_batch in, struct us_nhwc_batch out,
                            struct us_sliding w) {
    struct place p;
    if (!find(out, out.width, &p)) {
        return;
    }
    int32_t top = p.y * w.stride_y - w.pad_top, left = p.x * w.stride_x - w.pad_left;
    struct span rows = inside(top, w.kernel_height, in.height);
    struct span columns = inside(left, w.kernel_width, in.width);
    float most = -INFINITY;
    for (int32_t ky = rows.first; ky < rows.last; ky++) {
        for (int32_t kx = columns.first; kx < columns.last; kx++) {
            float value = pixel(in, p.image, top + ky, left + kx)[p.channel];
            most = value > most ? value : most;
        }
    }
    pixel(out, p.image, p.y, p.x)[p.channel] = fuse(most, w.fused);
}

static __global__ void pad(struct us_nhwc_batch in, struct us_nhwc_batch out, int32_t top,
                           int32_t left, int32_t first) {
    struct place p;
    if (!find(out, out.width, &p)) {
        return;
    }
    int32_t y = p.y - top, x = p.x - left, channel = p.channel - first;
    bool inside =
        y >= 0 && y < in.height && x >= 0 && x < in.width && channel >= 0 && channel < in.channels;
    pixel(out, p.image, p.y, p.x)[p.channel] = inside ? pixel(in, p.image, y, x)[channel] : 0.0f;
}

static __global__ void resize(struct us_nhwc_batch in, struct us_nhwc_batch out, bool align_corners,
                              bool half_pixel_centers) {
    struct place p;
    if (!find(out, out.width, &p)) {
        return;
    }
    struct blend v = blend_at(p.y, in.height, out.height, align_corners, half_pixel_centers);
    struct blend h = blend_at(p.x, in.width, out.width, align_corners, half_pixel_centers);
    float a0 = pixel(in, p.image, v.low, h.low)[p.channel];
    float a1 = pixel(in, p.image, v.low, h.high)[p.channel];
    float b0 = pixel(in, p.image, v.high, h.low)[p.channel];
    float b1 = pixel(in, p.image, v.high, h.high)[p.channel];
    float a = a0 + (a1 - a0) * h.weight, b = b0 + (b1 - b0) * h.weight;
    pixel(out, p.image, p.y, p.x)[p.channel] = a + (b - a) * v.weight;
}

static __global__ void add(struct us_nhwc_batch a, struct us_nhwc_batch b, struct us_nhwc_batch out,
                           enum us_fused fused) {
    struct place p;
    if (find(out, out.width, &p)) {
        pixel(out, p.image, p.y, p.x)[p.channel] = fuse(
            pixel(a, p.image, p.y, p.x)[p.channel] + pixel(b, p.image, p.y, p.x)[p.channel], fused);
    }
}

static __global__ void rectify(struct us_nhwc_batch in, struct us_nhwc_batch out,
                               enum us_fused fused) {
    struct place p;
    if (find(out, out.width, &p)) {
        pixel(out, p.image, p.y, p.x)[p.channel] =
            fuse(pixel(in, p.image, p.y, p.x)[p.channel], fused);
    }
}

static __global__ void rectify_by(struct us_nhwc_batch in, struct us_nhwc_batch out,
                                  const float *slopes) {
    struct place p;
    if (find(out, out.width, &p)) {
        float value = pixel(in, p.image, p.y, p.x)[p.channel];
        pixel(out, p.image, p.y, p.x)[p.channel] =
            value >= 0.0f ? value : value * slopes[p.channel];
    }
}

static __global__ void place_runs(struct us_nhwc_batch in, struct us_nhwc_batch out, size_t outer,
                                  size_t inner, size_t step) {
    size_t at = grid_index(), image = at / (outer * inner), rest = at % (outer * inner);
    if (image < (size_t)in.count) {
        out.data[image * out.stride + rest / inner * step + rest % inner] =
            in.data[image * in.stride + rest];
    }
}

void us_tflite_conv_cuda(struct us_nhwc_batch in, struct us_nhwc_batch out, const float *packed,
                         const float *bias, const struct us_sliding *window, void *stream) {
    struct layer layer = {packed, bias, *window,
                          ((size_t)out.channels + US_TFLITE_BLOCK - 1) / US_TFLITE_BLOCK *
                              US_TFLITE_BLOCK};
    size_t tiles = ((size_t)out.width + TILE - 1) / TILE;
    GRID_LAUNCH(convolve, items(out) / (size_t)out.width * tiles, stream, in, out, layer);
}

void us_tflite_depthwise_cuda(struct us_nhwc_batch in, struct us_nhwc_batch out,
                              const float *weights, const float *bias,
                              const struct us_sliding *window, void *stream) {
    struct layer layer = {weights, bias, *window, 0};
    GRID_LAUNCH(convolve_depthwise, items(out), stream, in, out, layer);
}

void us_tflite_max_pool_cuda(struct us_nhwc_batch in, struct us_nhwc_batch out,
                             const struct us_sliding *window, void *stream) {
    GRID_LAUNCH(pool, items(out), stream, in, out, *window);
}

void us_tflite_pad_cuda(struct us_nhwc_batch in, struct us_nhwc_batch out, const int32_t before[3],
                        void *stream) {
    GRID_LAUNCH(pad, items(out), stream, in, out, before[0], before[1], before[2]);
}

void us_tflite_resize_bilinear_cuda(struct us_nhwc_batch in, struct us_nhwc_batch out,
                                    bool align_corners, bool half_pixel_centers, void *stream) {
    GRID_LAUNCH(resize, items(out), stream, in, out, align_corners, half_pixel_centers);
}

void us_tflite_add_cuda(struct us_nhwc_batch a, struct us_nhwc_batch b, struct us_nhwc_batch out,
                        enum us_fused fused, void *stream) {
    GRID_LAUNCH(add, items(out), stream, a, b, out, fused);
}

void us_tflite_relu_cuda(struct us_nhwc_batch in, struct us_nhwc_batch out, enum us_fused fused,
                         void *stream) {
    GRID_LAUNCH(rectify, items(out), stream, in, out, fused);
}

void us_tflite_prelu_cuda(struct us_nhwc_batch in, struct us_nhwc_batch out, const float *slopes,
                          void *stream) {
    GRID_LAUNCH(rectify_by, items(out), stream, in, out, slopes);
}

void us_tflite_place_cuda(struct us_nhwc_batch in, struct us_nhwc_batch out, size_t outer,
                          size_t inner, size_t step, void *stream) {
    GRID_LAUNCH(place_runs, (size_t)in.count * outer * inner, stream, in, out, outer, inner, step);
}
