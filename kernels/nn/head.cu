#include "kernels/cuda/bf16.h"
#include "kernels/cuda/divide.h"
#include "kernels/cuda/launch.h"
#include "kernels/nn/head_cuda.h"

/* A thread takes whole pixels of the input, neighbouring threads neighbouring pixels, so that each
 * plane is written in runs: the channels of a pixel in 16 bytes an access, two pixels side by side
 * of a plane in 8. Where a decoder ends in 1 or 3 channels, places follow from two divisions a
 * pixel, and all reads of a thread are under way at once. Bound by memory: the input is read once
 * and the planes are written once, or the other way round. */
#define THREADS 256
#define PIXELS(factor) ((factor) == 2 ? 1u : 4u) /* a thread */
#define OCTETS(channels, factor) (((channels) * (factor) * (factor) + 7) / 8)

namespace {
struct head {
    unsigned channels, octets, h, w, factor, pixels;
    struct us_divisor by_h, by_w;
};
} // namespace

/* Where the first channel of a pixel goes in the planes. */
static __device__ size_t place_of(const struct head &s, unsigned channels, unsigned factor,
                                  unsigned pixel) {
    const unsigned row = us_divide(pixel, s.by_w), n = us_divide(row, s.by_h);
    const unsigned i = row - n * s.h, j = pixel - row * s.w;
    return ((size_t)(n * channels * s.h + i) * factor * s.w + j) * factor;
}

/* The pixel that this thread takes k-th; the last one again behind the end. */
static __device__ unsigned pixel_of(const struct head &s, unsigned pixels, unsigned k) {
    return min((blockIdx.x * pixels + k) * THREADS + threadIdx.x, s.pixels - 1);
}

static __device__ bool owns(const struct head &s, unsigned pixels, unsigned k) {
    return (blockIdx.x * pixels + k) * THREADS + threadIdx.x < s.pixels;
}

/* FACTOR pixels side by side of a plane. */
template <int FACTOR> static __device__ void load_run(const float *at, float v[FACTOR]) {
    if (FACTOR == 2) {
        const float2 both = *(const float2 *)at;
        v[0] = both.x, v[FACTOR - 1] = both.y;
    } else {
        v[0] = *at;
    }
}

template <int FACTOR> static __device__ void store_run(float *at, const float v[FACTOR]) {
    if (FACTOR == 2) {
        *(float2 *)at = make_float2(v[0], v[FACTOR - 1]);
    } else {
        *at = v[0];
    }
}

static __device__ float sigmoid(float v) {
    return 1 / (1 + expf(-v));
}

template <class T, int CHANNELS, int FACTOR>
static __global__ void __launch_bounds__(THREADS)
    head_forward(const T *x, const float *bias, float *image, struct head s) {
    const unsigned pixels = PIXELS(FACTOR), octets = OCTETS(CHANNELS, FACTOR);
    const size_t width = s.w * FACTOR, area = width * s.h * FACTOR;
    float v[pixels][octets * 8], b[octets * 8] = {0};
    US_UNROLL
    for (unsigned k = 0; k < pixels; k++) {
        US_UNROLL
        for (unsigned o = 0; o < octets; o++) {
            us_load8(x + ((size_t)pixel_of(s, pixels, k) * s.octets + o) * 8, v[k] + 8 * o);
        }
    }
    US_UNROLL
    for (unsigned o = 0; o < octets && bias; o++) {
        us_load8(bias + 8 * o, b + 8 * o);
    }
    US_UNROLL
    for (unsigned k = 0; k < pixels; k++) {
        if (!owns(s, pixels, k)) {
            return;
        }
        US_UNROLL
        for (int i = 0; i < CHANNELS * FACTOR * FACTOR; i++) {
            v[k][i] = sigmoid(v[k][i] + b[i]);
        }
        float *to = image + place_of(s, CHANNELS, FACTOR, pixel_of(s, pixels, k));
        US_UNROLL
        for (int i = 0; i < CHANNELS * FACTOR; i++) {
            const int c = i / FACTOR, dy = i % FACTOR;
            float run[FACTOR];
            US_UNROLL
            for (int dx = 0; dx < FACTOR; dx++) {
                run[dx] = v[k][(FACTOR * dy + dx) * CHANNELS + c];
            }
            store_run<FACTOR>(to + c * area + dy * width, run);
        }
    }
}

template <class T, int CHANNELS, int FACTOR>
static __global__ void __launch_bounds__(THREADS)
    head_backward(const float *gradient, const float *image, T *x_gradient, struct head s) {
    const unsigned pixels = PIXELS(FACTOR), octets = OCTETS(CHANNELS, FACTOR);
    const size_t width = s.w * FACTOR, area = width * s.h * FACTOR;
    float g[pixels][CHANNELS * FACTOR][FACTOR], v[pixels][CHANNELS * FACTOR][FACTOR];
    US_UNROLL
    for (unsigned k = 0; k < pixels; k++) {
        const size_t from = place_of(s, CHANNELS, FACTOR, pixel_of(s, pixels, k));
        US_UNROLL
        for (int i = 0; i < CHANNELS * FACTOR; i++) {
            const size_t at = from + (size_t)(i / FACTOR) * area + (size_t)(i % FACTOR) * width;
            load_run<FACTOR>(gradient + at, g[k][i]);
            load_run<FACTOR>(image + at, v[k][i]);
        }
    }
    US_UNROLL
    for (unsigned k = 0; k < pixels; k++) {
        if (!owns(s, pixels, k)) {
            return;
        }
        float out[octets * 8] = {0};
        const float zeros[8] = {0};
        US_UNROLL
        for (int i = 0; i < CHANNELS * FACTOR * FACTOR; i++) {
            const int c = i % CHANNELS, dx = i / CHANNELS % FACTOR, dy = i / CHANNELS / FACTOR;
            const float value = v[k][c * FACTOR + dy][dx];
            out[i] = g[k][c * FACTOR + dy][dx] * value * (1 - value);
        }
        T *to = x_gradient + (size_t)pixel_of(s, pixels, k) * s.octets * 8;
        US_UNROLL
        for (unsigned o = 0; o < octets; o++) {
            us_store8(to + 8 * o, out + 8 * o);
        }
        for (unsigned o = octets; o < s.octets; o++) {
            us_store8(to + 8 * o, zeros);
        }
    }
}

/* Where channel c of a pixel goes in the planes, for any number of channels. */
static __device__ size_t channel_place(const struct head &s, unsigned pixel, unsigned c) {
    const unsigned group = c / s.channels, channel = c % s.channels;
    const size_t width = s.w * s.factor, area = width * s.h * s.factor;
    return place_of(s, s.channels, s.factor, pixel) + channel * area + group / s.factor * width +
           group % s.factor;
}

template <class T>
static __global__ void any_forward(const T *x, const float *bias, float *image, struct head s) {
    if (!owns(s, 1, 0)) {
        return;
    }
    const unsigned pixel = pixel_of(s, 1, 0), used = s.channels * s.factor * s.factor;
    for (unsigned c = 0; c < used; c++) {
        const float v = us_get(x[(size_t)pixel * s.octets * 8 + c]);
        image[channel_place(s, pixel, c)] = sigmoid(v + (bias ? bias[c] : 0));
    }
}

template <class T>
static __global__ void any_backward(const float *gradient, const float *image, T *x_gradient,
                                    struct head s) {
    if (!owns(s, 1, 0)) {
        return;
    }
    const unsigned pixel = pixel_of(s, 1, 0), used = s.channels * s.factor * s.factor;
    for (unsigned c = 0; c < s.octets * 8; c++) {
        float slope = 0;
        if (c < used) {
            const size_t at = channel_place(s, pixel, c);
            slope = gradient[at] * image[at] * (1 - image[at]);
        }
        us_put(x_gradient + (size_t)pixel * s.octets * 8 + c, slope);
    }
}

/* No pixels: out of range. */
static struct head shape_of(const struct nn_cuda_head *h) {
    const bool fits = (h->factor == 1 || h->factor == 2) && h->channels > 0 && h->padded % 8 == 0 &&
                      h->channels * h->factor * h->factor <= h->padded && h->n > 0 && h->h > 0 &&
                      h->w > 0;
    const size_t pixels = fits ? (size_t)h->n * (size_t)h->h * (size_t)h->w : 0;
    if (pixels == 0 || pixels * (size_t)h->channels >= (size_t)1 << 31) {
        return {};
    }
    return {(unsigned)h->channels,
            (unsigned)h->padded / 8,
            (unsigned)h->h,
            (unsigned)h->w,
            (unsigned)h->factor,
            (unsigned)pixels,
            us_divisor_of((unsigned)h->h),
            us_divisor_of((unsigned)h->w)};
}

#define START(kernel, pixels_a_thread, ...)                                            \
    US_LAUNCH(kernel, us_blocks(s.pixels, (pixels_a_thread)*THREADS), THREADS, stream, \
              __VA_ARGS__, s)

template <class T>
static cudaError_t forward(const void *in, const float *bias, float *image, const struct head &s,
                           cudaStream_t stream) {
    const T *x = (const T *)in;
    const unsigned twice = s.factor == 2;
    if (s.channels == 1) {
        return twice ? START((head_forward<T, 1, 2>), PIXELS(2), x, bias, image)
                     : START((head_forward<T, 1, 1>), PIXELS(1), x, bias, image);
    }
    if (s.channels == 3) {
        return twice ? START((head_forward<T, 3, 2>), PIXELS(2), x, bias, image)
                     : START((head_forward<T, 3, 1>), PIXELS(1), x, bias, image);
    }
    return START(any_forward<T>, 1, x, bias, image);
}

template <class T>
static cudaError_t backward(const float *gradient, const float *image, void *out,
                            const struct head &s, cudaStream_t stream) {
    T *x_gradient = (T *)out;
    const unsigned twice = s.factor == 2;
    if (s.channels == 1) {
        return twice ? START((head_backward<T, 1, 2>), PIXELS(2), gradient, image, x_gradient)
                     : START((head_backward<T, 1, 1>), PIXELS(1), gradient, image, x_gradient);
    }
    if (s.channels == 3) {
        return twice ? START((head_backward<T, 3, 2>), PIXELS(2), gradient, image, x_gradient)
                     : START((head_backward<T, 3, 1>), PIXELS(1), gradient, image, x_gradient);
    }
    return START(any_backward<T>, 1, gradient, image, x_gradient);
}

cudaError_t nn_cuda_head_forward(enum nn_cuda_type type, const void *x, const float *bias,
                                 float *image, const struct nn_cuda_head *head,
                                 cudaStream_t stream) {
    const struct head s = shape_of(head);
    if (s.pixels == 0) {
        return cudaErrorInvalidValue;
    }
    return type == NN_CUDA_BF16 ? forward<us_bf16>(x, bias, image, s, stream)
                                : forward<float>(x, bias, image, s, stream);
}

cudaError_t nn_cuda_head_backward(enum nn_cuda_type type, const float *gradient, const float *image,
                                  void *x_gradient, const struct nn_cuda_head *head,
                                  cudaStream_t stream) {
    const struct head s = shape_of(head);
    if (s.pixels == 0) {
        return cudaErrorInvalidValue;
    }
    return type == NN_CUDA_BF16 ? backward<us_bf16>(gradient, image, x_gradient, s, stream)
                                : backward<float>(gradient, image, x_gradient, s, stream);
}
