#include "kernels/nn/onnx_ops.h"

#include <math.h>
#include <string.h>

static bool is_run(const int64_t *map, int64_t count) {
    for (int64_t i = 0; i < count; i++) {
        if (map[i] < 0 || map[i] != map[0] + i) {
            return false;
        }
    }
    return true;
}

static void pick_row(const struct us_onnx_pick *pick, const uint8_t *in, int64_t base, bool outside,
                     bool run, uint8_t *out) {
    const int last = pick->rank - 1;
    const int64_t count = pick->counts[last], *map = pick->maps[last];
    const size_t size = pick->size;
    if (run && !outside) {
        memcpy(out, in + (size_t)(base + map[0]) * size, (size_t)count * size);
        return;
    }
    for (int64_t i = 0; i < count; i++) {
        const bool fill = outside || map[i] < 0;
        memcpy(out + (size_t)i * size,
               fill ? (const void *)&pick->fill : in + (size_t)(base + map[i]) * size, size);
    }
}

void us_onnx_pick(const struct us_onnx_pick *pick, const void *in, void *out) {
    const int last = pick->rank - 1;
    const bool run = is_run(pick->maps[last], pick->counts[last]);
    int64_t index[US_ONNX_AXES] = {0}, rows = 1;
    uint8_t *to = out;
    for (int k = 0; k < last; k++) {
        rows *= pick->counts[k];
    }
    for (int64_t r = 0; r < rows; r++) {
        int64_t base = 0;
        bool outside = false;
        for (int k = 0; k < last; k++) {
            const int64_t at = pick->maps[k][index[k]];
            outside |= at < 0;
            base += at;
        }
        pick_row(pick, in, base, outside, run, to);
        to += (size_t)pick->counts[last] * pick->size;
        for (int k = last - 1; k >= 0 && ++index[k] == pick->counts[k]; k--) {
            index[k] = 0;
        }
    }
}

void us_onnx_resize_linear(const float *in, int32_t in_height, int32_t in_width, size_t planes,
                           const struct us_onnx_blend *rows, int32_t out_height,
                           const struct us_onnx_blend *columns, int32_t out_width, float *out) {
    const size_t width = (size_t)in_width;
    for (size_t p = 0; p < planes; p++, in += (size_t)in_height * width) {
        for (int32_t y = 0; y < out_height; y++, out += out_width) {
            const float *top = in + (size_t)rows[y].low * width;
            const float *bottom = in + (size_t)rows[y].high * width;
            const float v = rows[y].weight;
            for (int32_t x = 0; x < out_width; x++) {
                const struct us_onnx_blend h = columns[x];
                const float a = top[h.low] + (top[h.high] - top[h.low]) * h.weight;
                const float b = bottom[h.low] + (bottom[h.high] - bottom[h.low]) * h.weight;
                out[x] = a + (b - a) * v;
            }
        }
    }
}

/* Taps along one axis whose sample lies within 0..size. */
struct taps {
    int32_t first, end;
    int32_t padded; /* how many lie within the padded input */
};

/* How many of the taps at 0, dilation, 2 dilation... lie before `length`. */
static int32_t taps_before(int64_t length, const struct us_onnx_window *w, int axis) {
    const int64_t taps = length > 0 ? (length - 1) / w->dilation[axis] + 1 : 0;
    return taps < w->kernel[axis] ? (int32_t)taps : w->kernel[axis];
}

static struct taps taps_at(const struct us_onnx_window *w, int axis, int32_t at, int32_t size) {
    const int64_t start = (int64_t)at * w->stride[axis] - w->before[axis];
    return (struct taps){taps_before(-start, w, axis), taps_before(size - start, w, axis),
                         taps_before(size - start + w->after[axis], w, axis)};
}

static float pool_sample(const struct us_onnx_window *w, const float *corner, ptrdiff_t width,
                         struct taps rows, struct taps columns) {
    float most = -INFINITY, sum = 0;
    int64_t count = 0;
    for (int32_t ky = rows.first; ky < rows.end; ky++) {
        const float *line = corner + (ptrdiff_t)ky * w->dilation[0] * width;
        for (int32_t kx = columns.first; kx < columns.end; kx++, count++) {
            const float value = line[(ptrdiff_t)kx * w->dilation[1]];
            most = value > most ? value : most;
            sum += value;
        }
    }
    if (!w->average) {
        return most;
    }
    count = w->count_padding ? (int64_t)rows.padded * columns.padded : count;
    return count ? sum / (float)count : 0;
}

void us_onnx_pool(const struct us_onnx_window *w, const float *in, int32_t in_height,
                  int32_t in_width, size_t planes, int32_t out_height, int32_t out_width,
                  float *out) {
    for (size_t p = 0; p < planes; p++, in += (ptrdiff_t)in_height * in_width) {
        for (int32_t y = 0; y < out_height; y++) {
            const struct taps rows = taps_at(w, 0, y, in_height);
            const ptrdiff_t top = (ptrdiff_t)y * w->stride[0] - w->before[0];
            for (int32_t x = 0; x < out_width; x++) {
                const struct taps columns = taps_at(w, 1, x, in_width);
                const ptrdiff_t left = (ptrdiff_t)x * w->stride[1] - w->before[1];
                *out++ = pool_sample(w, in + top * in_width + left, in_width, rows, columns);
            }
        }
    }
}

void us_onnx_reduce(enum us_reduce kind, const float *in, const int64_t *kept, size_t kept_count,
                    const int64_t *gone, size_t gone_count, float *out) {
    for (size_t i = 0; i < kept_count; i++) {
        const float *from = in + kept[i];
        double sum = 0;
        float least = INFINITY, most = -INFINITY;
        for (size_t k = 0; k < gone_count; k++) {
            const float value = from[gone[k]];
            least = value < least ? value : least;
            most = value > most ? value : most;
            sum += kind == US_REDUCE_L2 ? (double)value * (double)value : (double)value;
        }
        out[i] = kind == US_REDUCE_MAX    ? most
                 : kind == US_REDUCE_MIN  ? least
                 : kind == US_REDUCE_L2   ? (float)sqrt(sum)
                 : kind == US_REDUCE_MEAN ? (float)(sum / (double)gone_count)
                                          : (float)sum;
    }
}

void us_onnx_softmax(const float *in, size_t outer, size_t length, size_t inner, float *out) {
    for (size_t o = 0; o < outer; o++) {
        for (size_t i = 0; i < inner; i++) {
            const float *from = in + o * length * inner + i;
            float *to = out + o * length * inner + i;
            float most = -INFINITY, sum = 0;
            for (size_t k = 0; k < length; k++) {
                most = from[k * inner] > most ? from[k * inner] : most;
            }
            for (size_t k = 0; k < length; k++) {
                to[k * inner] = expf(from[k * inner] - most);
                sum += to[k * inner];
            }
            for (size_t k = 0; k < length; k++) {
                to[k * inner] /= sum;
            }
        }
    }
}

void us_onnx_affine(const float *in, size_t n, size_t channels, size_t area, const float *a,
                    const float *b, float *out) {
    for (size_t i = 0; i < n * channels; i++) {
        const float scale = a[i % channels], offset = b[i % channels];
        for (size_t k = 0; k < area; k++) {
            out[i * area + k] = in[i * area + k] * scale + offset;
        }
    }
}

struct moments {
    float mean, scale; /* 1 / sqrt(variance + epsilon) */
};

static struct moments moments_of(const float *in, size_t count, float epsilon) {
    double sum = 0, squares = 0;
    for (size_t i = 0; i < count; i++) {
        sum += (double)in[i];
    }
    const double mean = sum / (double)count;
    for (size_t i = 0; i < count; i++) {
        squares += ((double)in[i] - mean) * ((double)in[i] - mean);
    }
    const double variance = squares / (double)count + (double)epsilon;
    return (struct moments){(float)mean, (float)(1 / sqrt(variance))};
}

void us_onnx_instance_norm(const float *in, size_t n, size_t channels, size_t area, float epsilon,
                           const float *a, const float *b, float *out) {
    for (size_t i = 0; i < n * channels; i++, in += area, out += area) {
        const struct moments m = moments_of(in, area, epsilon);
        const float scale = m.scale * a[i % channels], offset = b[i % channels];
        for (size_t k = 0; k < area; k++) {
            out[k] = (in[k] - m.mean) * scale + offset;
        }
    }
}

void us_onnx_layer_norm(const float *in, size_t groups, size_t length, float epsilon,
                        const float *a, const float *b, float *out) {
    for (size_t i = 0; i < groups; i++, in += length, out += length) {
        const struct moments m = moments_of(in, length, epsilon);
        for (size_t k = 0; k < length; k++) {
            out[k] = (in[k] - m.mean) * m.scale * a[k] + (b ? b[k] : 0);
        }
    }
}
