#include "kernels/nn/pointwise_internal.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

static inline float bf16_get(uint16_t v) {
    const uint32_t bits = (uint32_t)v << 16;
    float out;
    memcpy(&out, &bits, sizeof out);
    return out;
}

/* Round to nearest even; a NaN keeps its top bits and stays quiet. */
static inline uint16_t bf16_put(float v) {
    uint32_t bits;
    memcpy(&bits, &v, sizeof bits);
    const uint32_t rounded = bits + 0x7FFFu + ((bits >> 16) & 1u);
    const uint32_t nan = bits | 0x400000u;
    return (uint16_t)(((bits & 0x7FFFFFFFu) > 0x7F800000u ? nan : rounded) >> 16);
}

/* Of the first element of a row of one channel in a blocked tensor. */
static size_t head_offset(const struct nn_head_shape *s, int n, int channel, int row) {
    const int blocks = s->padded / s->block;
    const size_t line = (size_t)((n * blocks + channel / s->block) * s->h + row);
    return line * (size_t)(s->w * s->block) + (size_t)(channel % s->block);
}

/* Index of a row among all rows of all planes. */
static size_t plane_row(const struct nn_head_shape *s, int n, int channel, int row) {
    return ((size_t)n * (size_t)s->channels + (size_t)channel) * (size_t)(s->h * s->factor) +
           (size_t)row;
}

#define REAL float
#define NAME(x) x##_f32
#define GET(v) (v)
#define PUT(v) (v)
#include "kernels/nn/pointwise_template.h"
#undef REAL
#undef NAME
#undef GET
#undef PUT

#define REAL uint16_t
#define NAME(x) x##_bf16
#define GET(v) bf16_get(v)
#define PUT(v) bf16_put(v)
#include "kernels/nn/pointwise_template.h"

#define TYPED(name, ...) (type == dnnl_bf16 ? name##_bf16(__VA_ARGS__) : name##_f32(__VA_ARGS__))

void nn_slope_backward(dnnl_data_type_t type, void *gradient, const void *more, const void *y,
                       float slope, size_t count) {
    TYPED(slope_backward, gradient, more, y, slope, count);
}

void nn_shuffle_forward(dnnl_data_type_t type, const void *x, void *y,
                        const struct nn_shuffle_shape *shape) {
    TYPED(shuffle_forward, x, y, shape);
}

void nn_shuffle_backward(dnnl_data_type_t type, const void *gradient, const void *more,
                         const void *y, float slope, void *x_gradient,
                         const struct nn_shuffle_shape *shape) {
    TYPED(shuffle_backward, gradient, more, y, slope, x_gradient, shape);
}

void nn_slope_forward(float *y, const float *more, float slope, size_t count) {
#pragma omp parallel for simd schedule(static)
    for (size_t i = 0; i < count; i++) {
        const float sum = more ? y[i] + more[i] : y[i];
        y[i] = sum > 0 ? sum : sum * slope;
    }
}

void nn_norm_forward(dnnl_data_type_t type, const void *x, void *y, float *scales, int n,
                     size_t count, size_t real) {
    TYPED(norm_forward, x, y, scales, n, count, real);
}

void nn_norm_backward(dnnl_data_type_t type, const void *gradient, const void *y,
                      const float *scales, void *x_gradient, int n, size_t count, size_t real) {
    TYPED(norm_backward, gradient, y, scales, x_gradient, n, count, real);
}

void nn_head_backward(dnnl_data_type_t type, const float *gradient, const float *image,
                      void *x_gradient, const struct nn_head_shape *shape) {
    TYPED(head_backward, gradient, image, x_gradient, shape);
}

void nn_add(dnnl_data_type_t type, void *gradient, const void *more, size_t count) {
    TYPED(add, gradient, more, count);
}

void nn_cosine_forward(dnnl_data_type_t type, const void *x, void *y, size_t count) {
    TYPED(cosine_forward, x, y, count);
}

void nn_cosine_backward(dnnl_data_type_t type, const void *gradient, const void *x,
                        void *x_gradient, size_t count) {
    TYPED(cosine_backward, gradient, x, x_gradient, count);
}

void nn_scale(dnnl_data_type_t type, const void *g, float factor, void *out, size_t count) {
    TYPED(scale, g, factor, out, count);
}

void nn_blend_forward(dnnl_data_type_t type, const void *a, const void *b, float fade, void *y,
                      size_t count) {
    TYPED(blend_forward, a, b, fade, y, count);
}

void nn_pool_forward(dnnl_data_type_t type, const void *x, void *y,
                     const struct nn_map_shape *shape) {
    TYPED(pool_forward, x, y, shape);
}

void nn_pool_backward(dnnl_data_type_t type, const void *gradient, const void *x, const void *y,
                      void *x_gradient, const struct nn_map_shape *shape) {
    TYPED(pool_backward, gradient, x, y, x_gradient, shape);
}

void nn_upsample_forward(dnnl_data_type_t type, const void *x, void *y,
                         const struct nn_map_shape *shape) {
    TYPED(upsample_forward, x, y, shape);
}

void nn_upsample_backward(dnnl_data_type_t type, const void *gradient, void *x_gradient,
                          const struct nn_map_shape *shape) {
    TYPED(upsample_backward, gradient, x_gradient, shape);
}

void nn_copy_channels(dnnl_data_type_t type, const void *x, void *y,
                      const struct nn_channel_run *run) {
    TYPED(copy_channels, x, y, run);
}

void nn_cast(dnnl_data_type_t type, const float *from, void *to, size_t count) {
    TYPED(cast, from, to, count);
}

void nn_widen(dnnl_data_type_t type, const void *from, float *to, size_t count) {
    TYPED(widen, from, to, count);
}

void nn_pack(dnnl_data_type_t type, const float *from, void *to,
             const struct nn_pack_shape *shape) {
    TYPED(pack, from, to, shape);
}

void nn_unpack(dnnl_data_type_t type, const void *from, float *to,
               const struct nn_pack_shape *shape) {
    TYPED(unpack, from, to, shape);
}

void nn_head_forward(const float *x, float *image, const struct nn_head_shape *s) {
    const int f = s->factor, used = s->channels * f * f;
    const size_t width = (size_t)(s->w * f), block = (size_t)s->block;
#pragma omp parallel for schedule(static)
    for (int row = 0; row < s->n * s->h; row++) {
        const int n = row / s->h, i = row % s->h;
        for (int c = 0; c < used; c++) {
            const size_t from = head_offset(s, n, c, i);
            const int group = c / s->channels;
            const size_t to =
                plane_row(s, n, c % s->channels, i * f + group / f) * width + (size_t)(group % f);
            for (size_t j = 0; j < (size_t)s->w; j++) {
                const float v = x[from + j * block];
                image[to + j * (size_t)f] = s->sigmoid ? 1 / (1 + expf(-v)) : v;
            }
        }
    }
}
