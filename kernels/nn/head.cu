#include "kernels/cuda/bf16.h"
#include "kernels/cuda/launch.h"
#include "kernels/nn/head_cuda.h"

/* A thread takes eight channels of a pixel; neighbouring threads are neighbouring pixels, so that
 * each plane is written in runs. Reads the input once, writes the planes once. */
#define THREADS 256

namespace {
struct head {
    unsigned channels, octets, h, w, factor;
    size_t pixels;
};
} // namespace

/* Where channel `c` of a pixel goes in the planes. */
static __device__ size_t plane_place(const struct head &s, size_t pixel, unsigned c) {
    const unsigned group = c / s.channels, channel = c % s.channels;
    const size_t j = pixel % s.w, i = pixel / s.w % s.h, n = pixel / ((size_t)s.w * s.h);
    const size_t row = (n * s.channels + channel) * s.h * s.factor + i * s.factor;
    return (row + group / s.factor) * s.w * s.factor + j * s.factor + group % s.factor;
}

template <class T>
static __global__ void head_forward(const T *x, const float *bias, float *image, struct head s) {
    const size_t pixel = US_THREAD_INDEX;
    if (pixel >= s.pixels) {
        return;
    }
    const unsigned used = s.channels * s.factor * s.factor, first = blockIdx.y * 8;
    float v[8], b[8] = {0};
    us_load8(x + (pixel * s.octets + blockIdx.y) * 8, v);
    if (bias) {
        us_load8(bias + first, b);
    }
    for (unsigned k = 0; k < 8; k++) {
        if (first + k < used) {
            image[plane_place(s, pixel, first + k)] = 1 / (1 + expf(-(v[k] + b[k])));
        }
    }
}

template <class T>
static __global__ void head_backward(const float *gradient, const float *image, T *x_gradient,
                                     struct head s) {
    const size_t pixel = US_THREAD_INDEX;
    if (pixel >= s.pixels) {
        return;
    }
    const unsigned used = s.channels * s.factor * s.factor, first = blockIdx.y * 8;
    float out[8] = {0};
    for (unsigned k = 0; k < 8; k++) {
        if (first + k < used) {
            const size_t at = plane_place(s, pixel, first + k);
            out[k] = gradient[at] * image[at] * (1 - image[at]);
        }
    }
    us_store8(x_gradient + (pixel * s.octets + blockIdx.y) * 8, out);
}

static bool fits(const struct nn_cuda_head *h) {
    return (h->factor == 1 || h->factor == 2) && h->channels > 0 && h->padded % 8 == 0 &&
           h->channels * h->factor * h->factor <= h->padded && h->n > 0 && h->h > 0 && h->w > 0;
}

static struct head shape_of(const struct nn_cuda_head *h) {
    return {(unsigned)h->channels, (unsigned)h->padded / 8,
            (unsigned)h->h,        (unsigned)h->w,
            (unsigned)h->factor,   (size_t)h->n * (size_t)h->h * (size_t)h->w};
}

cudaError_t nn_cuda_head_forward(enum nn_cuda_type type, const void *x, const float *bias,
                                 float *image, const struct nn_cuda_head *head,
                                 cudaStream_t stream) {
    if (!fits(head)) {
        return cudaErrorInvalidValue;
    }
    const struct head s = shape_of(head);
    const dim3 blocks(us_blocks(s.pixels, THREADS), s.octets);
    return type == NN_CUDA_BF16 ? US_LAUNCH((head_forward<us_bf16>), blocks, THREADS, stream,
                                            (const us_bf16 *)x, bias, image, s)
                                : US_LAUNCH((head_forward<float>), blocks, THREADS, stream,
                                            (const float *)x, bias, image, s);
}

cudaError_t nn_cuda_head_backward(enum nn_cuda_type type, const float *gradient, const float *image,
                                  void *x_gradient, const struct nn_cuda_head *head,
                                  cudaStream_t stream) {
    if (!fits(head)) {
        return cudaErrorInvalidValue;
    }
    const struct head s = shape_of(head);
    const dim3 blocks(us_blocks(s.pixels, THREADS), s.octets);
    return type == NN_CUDA_BF16 ? US_LAUNCH((head_backward<us_bf16>), blocks, THREADS, stream,
                                            gradient, image, (us_bf16 *)x_gradient, s)
                                : US_LAUNCH((head_backward<float>), blocks, THREADS, stream,
                                            gradient, image, (float *)x_gradient, s);
}
