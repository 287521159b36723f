#include "kernels/nn/tflite_ops.h"

#include <math.h>
#include <string.h>

#include "kernels/nn/tflite_ops_internal.h"

enum { LANES = US_TFLITE_BLOCK, ROWS = 4 };

typedef float lanes __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));

static int32_t rounded(int32_t channels) {
    return (channels + LANES - 1) / LANES * LANES;
}

size_t us_tflite_packed_floats(int32_t taps, int32_t in_channels, int32_t out_channels) {
    return (size_t)taps * (size_t)in_channels * (size_t)rounded(out_channels);
}

static bool is_pointwise(const struct us_sliding *w) {
    return w->kernel_height == 1 && w->kernel_width == 1 && w->stride_x == 1 && w->stride_y == 1 &&
           w->pad_top == 0 && w->pad_left == 0;
}

size_t us_tflite_conv_scratch(const struct us_sliding *window, int32_t in_channels,
                              int32_t out_width) {
    return is_pointwise(window) ? 0
                                : (size_t)window->kernel_height * (size_t)window->kernel_width *
                                      (size_t)in_channels * (size_t)out_width;
}

void us_tflite_pack_weights(const float *weights, int32_t taps, int32_t in_channels,
                            int32_t out_channels, float *packed) {
    size_t depth = (size_t)taps * (size_t)in_channels, width = (size_t)rounded(out_channels);
    memset(packed, 0, depth * width * sizeof *packed);
    for (size_t o = 0; o < (size_t)out_channels; o++) {
        for (size_t k = 0; k < depth; k++) {
            packed[k * width + o] = weights[o * depth + k];
        }
    }
}

struct product {
    const float *packed, *bias;
    size_t depth, width; /* of packed */
    int32_t channels;
    enum us_fused fused;
};

static void store_block(const lanes *sum, float *out, int32_t left, enum us_fused fused) {
    float values[LANES];
    memcpy(values, sum, sizeof values);
    for (int32_t i = 0; i < (left < LANES ? left : LANES); i++) {
        out[i] = fuse(values[i], fused);
    }
}

/* ROWS rows by two blocks of output channels: the sums stay in registers. */
static void multiply_tile(const struct product *p, const float *rows, float *out, size_t block) {
    lanes sums[ROWS][2];
    bool two = block + LANES < p->width;
    size_t second = two ? block + LANES : block;
    for (int r = 0; r < ROWS; r++) {
        memcpy(&sums[r][0], p->bias + block, sizeof(lanes));
        memcpy(&sums[r][1], p->bias + second, sizeof(lanes));
    }
    for (size_t k = 0; k < p->depth; k++) {
        const lanes *w0 = (const lanes *)(const void *)(p->packed + k * p->width + block);
        const lanes *w1 = (const lanes *)(const void *)(p->packed + k * p->width + second);
        for (int r = 0; r < ROWS; r++) {
            float value = rows[(size_t)r * p->depth + k];
            sums[r][0] += *w0 * value;
            sums[r][1] += *w1 * value;
        }
    }
    for (int r = 0; r < ROWS; r++) {
        float *row = out + (size_t)r * (size_t)p->channels;
        store_block(&sums[r][0], row + block, p->channels - (int32_t)block, p->fused);
        if (two) {
            store_block(&sums[r][1], row + second, p->channels - (int32_t)second, p->fused);
        }
    }
}

static void multiply_row(const struct product *p, const float *row, float *out, size_t block) {
    lanes sum;
    memcpy(&sum, p->bias + block, sizeof sum);
    for (size_t k = 0; k < p->depth; k++) {
        sum += *(const lanes *)(const void *)(p->packed + k * p->width + block) * row[k];
    }
    store_block(&sum, out + block, p->channels - (int32_t)block, p->fused);
}

static void multiply(const struct product *p, const float *rows, size_t count, float *out) {
    size_t r = 0;
    for (; r + ROWS <= count; r += ROWS) {
        for (size_t block = 0; block < p->width; block += 2 * LANES) {
            multiply_tile(p, rows + r * p->depth, out + r * (size_t)p->channels, block);
        }
    }
    for (; r < count; r++) {
        for (size_t block = 0; block < p->width; block += LANES) {
            multiply_row(p, rows + r * p->depth, out + r * (size_t)p->channels, block);
        }
    }
}

/* The windows of one output row, one after the other. */
static void gather_row(struct us_nhwc in, const struct us_sliding *w, int32_t y, int32_t out_width,
                       float *patch) {
    size_t channels = (size_t)in.channels;
    for (int32_t x = 0; x < out_width; x++) {
        for (int32_t ky = 0; ky < w->kernel_height; ky++) {
            int32_t in_y = y * w->stride_y + ky - w->pad_top;
            for (int32_t kx = 0; kx < w->kernel_width; kx++, patch += channels) {
                int32_t in_x = x * w->stride_x + kx - w->pad_left;
                if (in_y < 0 || in_y >= in.height || in_x < 0 || in_x >= in.width) {
                    memset(patch, 0, channels * sizeof *patch);
                    continue;
                }
                size_t at = ((size_t)in_y * (size_t)in.width + (size_t)in_x) * channels;
                memcpy(patch, in.data + at, channels * sizeof *patch);
            }
        }
    }
}

void us_tflite_conv(struct us_nhwc in, struct us_nhwc out, const float *packed, const float *bias,
                    const struct us_sliding *window, float *scratch) {
    struct product p = {.packed = packed,
                        .bias = bias,
                        .depth = (size_t)window->kernel_height * (size_t)window->kernel_width *
                                 (size_t)in.channels,
                        .width = (size_t)rounded(out.channels),
                        .channels = out.channels,
                        .fused = window->fused};
    if (is_pointwise(window)) {
        multiply(&p, in.data, (size_t)out.height * (size_t)out.width, out.data);
        return;
    }
    size_t row = (size_t)out.width * (size_t)out.channels;
    for (int32_t y = 0; y < out.height; y++) {
        gather_row(in, window, y, out.width, scratch);
        multiply(&p, scratch, (size_t)out.width, out.data + (size_t)y * row);
    }
}

static void depthwise_pixel(struct us_nhwc in, const float *weights, const float *bias,
                            const struct us_sliding *w, int32_t y, int32_t x, float *out) {
    int32_t top = y * w->stride_y - w->pad_top, left = x * w->stride_x - w->pad_left;
    struct span rows = inside(top, w->kernel_height, in.height);
    struct span columns = inside(left, w->kernel_width, in.width);
    size_t channels = (size_t)in.channels, c = 0;
    for (; c + LANES <= channels; c += LANES) {
        lanes sum;
        memcpy(&sum, bias + c, sizeof sum);
        for (int32_t ky = rows.first; ky < rows.last; ky++) {
            for (int32_t kx = columns.first; kx < columns.last; kx++) {
                size_t at = (size_t)(top + ky) * (size_t)in.width + (size_t)(left + kx);
                size_t tap = (size_t)(ky * w->kernel_width + kx);
                sum += *(const lanes *)(const void *)(in.data + at * channels + c) *
                       *(const lanes *)(const void *)(weights + tap * channels + c);
            }
        }
        store_block(&sum, out + c, LANES, w->fused);
    }
    for (; c < channels; c++) {
        float sum = bias[c];
        for (int32_t ky = rows.first; ky < rows.last; ky++) {
            for (int32_t kx = columns.first; kx < columns.last; kx++) {
                size_t at = (size_t)(top + ky) * (size_t)in.width + (size_t)(left + kx);
                size_t tap = (size_t)(ky * w->kernel_width + kx);
                sum += in.data[at * channels + c] * weights[tap * channels + c];
            }
        }
        out[c] = fuse(sum, w->fused);
    }
}

void us_tflite_depthwise(struct us_nhwc in, struct us_nhwc out, const float *weights,
                         const float *bias, const struct us_sliding *window) {
    float *pixel = out.data;
    for (int32_t y = 0; y < out.height; y++) {
        for (int32_t x = 0; x < out.width; x++, pixel += out.channels) {
            depthwise_pixel(in, weights, bias, window, y, x, pixel);
        }
    }
}

static void pool_pixel(struct us_nhwc in, const struct us_sliding *w, int32_t y, int32_t x,
                       float *out) {
    int32_t top = y * w->stride_y - w->pad_top, left = x * w->stride_x - w->pad_left;
    struct span rows = inside(top, w->kernel_height, in.height);
    struct span columns = inside(left, w->kernel_width, in.width);
    for (int32_t c = 0; c < in.channels; c++) {
        out[c] = -INFINITY;
    }
    for (int32_t ky = rows.first; ky < rows.last; ky++) {
        for (int32_t kx = columns.first; kx < columns.last; kx++) {
            size_t at = (size_t)(top + ky) * (size_t)in.width + (size_t)(left + kx);
            const float *from = in.data + at * (size_t)in.channels;
            for (int32_t c = 0; c < in.channels; c++) {
                out[c] = from[c] > out[c] ? from[c] : out[c];
            }
        }
    }
    for (int32_t c = 0; c < in.channels; c++) {
        out[c] = fuse(out[c], w->fused);
    }
}

void us_tflite_max_pool(struct us_nhwc in, struct us_nhwc out, const struct us_sliding *window) {
    float *pixel = out.data;
    for (int32_t y = 0; y < out.height; y++) {
        for (int32_t x = 0; x < out.width; x++, pixel += out.channels) {
            pool_pixel(in, window, y, x, pixel);
        }
    }
}

void us_tflite_pad(struct us_nhwc in, struct us_nhwc out, const int32_t before[3]) {
    size_t count = (size_t)out.height * (size_t)out.width * (size_t)out.channels;
    memset(out.data, 0, count * sizeof *out.data);
    for (int32_t y = 0; y < in.height; y++) {
        for (int32_t x = 0; x < in.width; x++) {
            size_t from = ((size_t)y * (size_t)in.width + (size_t)x) * (size_t)in.channels;
            size_t to = ((size_t)(y + before[0]) * (size_t)out.width + (size_t)(x + before[1])) *
                        (size_t)out.channels;
            memcpy(out.data + to + before[2], in.data + from,
                   (size_t)in.channels * sizeof *out.data);
        }
    }
}

void us_tflite_resize_bilinear(struct us_nhwc in, struct us_nhwc out, bool align_corners,
                               bool half_pixel_centers) {
    size_t channels = (size_t)in.channels, row = (size_t)in.width * channels;
    float *to = out.data;
    for (int32_t y = 0; y < out.height; y++) {
        struct blend v = blend_at(y, in.height, out.height, align_corners, half_pixel_centers);
        const float *top = in.data + (size_t)v.low * row;
        const float *bottom = in.data + (size_t)v.high * row;
        for (int32_t x = 0; x < out.width; x++, to += channels) {
            struct blend h = blend_at(x, in.width, out.width, align_corners, half_pixel_centers);
            size_t left = (size_t)h.low * channels, right = (size_t)h.high * channels;
            for (size_t c = 0; c < channels; c++) {
                float a = top[left + c] + (top[right + c] - top[left + c]) * h.weight;
                float b = bottom[left + c] + (bottom[right + c] - bottom[left + c]) * h.weight;
                to[c] = a + (b - a) * v.weight;
            }
        }
    }
}

void us_tflite_add(const float *a, const float *b, float *out, size_t count, enum us_fused fused) {
    for (size_t i = 0; i < count; i++) {
        out[i] = fuse(a[i] + b[i], fused);
    }
}

void us_tflite_relu(const float *in, float *out, size_t count, enum us_fused fused) {
    for (size_t i = 0; i < count; i++) {
        out[i] = fuse(in[i], fused);
    }
}

void us_tflite_prelu(struct us_nhwc in, const float *slopes, float *out) {
    size_t pixels = (size_t)in.height * (size_t)in.width, channels = (size_t)in.channels;
    for (size_t p = 0; p < pixels; p++) {
        for (size_t c = 0; c < channels; c++) {
            float value = in.data[p * channels + c];
            out[p * channels + c] = value >= 0.0f ? value : value * slopes[c];
        }
    }
}
