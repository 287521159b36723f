#include "kernels/cuda/bf16.h"
#include "kernels/cuda/launch.h"
#include "kernels/nn/pointwise_cuda.h"

/* A thread takes eight elements: 16 bytes an access in bfloat16. All of these are bound by memory;
 * a map of 16 x 256 x 256 x 64 in bfloat16 is 134 MB and 65536 blocks. */
#define THREADS 256

template <class T>
static __global__ void bias_slope(const T *x, const float *bias, const T *residual, float slope,
                                  T *y, unsigned octets, unsigned row) {
    const unsigned i = blockIdx.x * THREADS + threadIdx.x;
    if (i >= octets) {
        return;
    }
    float v[8], more[8];
    us_load8(x + (size_t)i * 8, v);
    if (bias) {
        us_load8(bias + i % row * 8, more);
        for (int k = 0; k < 8; k++) {
            v[k] += more[k];
        }
    }
    if (residual) {
        us_load8(residual + (size_t)i * 8, more);
        for (int k = 0; k < 8; k++) {
            v[k] += more[k];
        }
    }
    for (int k = 0; k < 8; k++) {
        v[k] = v[k] > 0 ? v[k] : v[k] * slope;
    }
    us_store8(y + (size_t)i * 8, v);
}

template <class T>
static __global__ void slope_backward(const T *gradient, const T *more, const T *y, float slope,
                                      T *out, unsigned octets) {
    const unsigned i = blockIdx.x * THREADS + threadIdx.x;
    if (i >= octets) {
        return;
    }
    float g[8], v[8], second[8] = {0};
    us_load8(gradient + (size_t)i * 8, g);
    us_load8(y + (size_t)i * 8, v);
    if (more) {
        us_load8(more + (size_t)i * 8, second);
    }
    for (int k = 0; k < 8; k++) {
        const float sum = g[k] + second[k];
        g[k] = v[k] > 0 ? sum : sum * slope;
    }
    us_store8(out + (size_t)i * 8, g);
}

template <class T> static __global__ void add(const T *a, const T *b, T *out, unsigned octets) {
    const unsigned i = blockIdx.x * THREADS + threadIdx.x;
    if (i >= octets) {
        return;
    }
    float v[8], w[8];
    us_load8(a + (size_t)i * 8, v);
    us_load8(b + (size_t)i * 8, w);
    for (int k = 0; k < 8; k++) {
        v[k] += w[k];
    }
    us_store8(out + (size_t)i * 8, v);
}

template <class T> static __global__ void cosine_forward(const T *x, T *y, unsigned octets) {
    const unsigned i = blockIdx.x * THREADS + threadIdx.x;
    if (i >= octets) {
        return;
    }
    float v[8];
    us_load8(x + (size_t)i * 8, v);
    for (int k = 0; k < 8; k++) {
        v[k] *= cosf(v[k]);
    }
    us_store8(y + (size_t)i * 8, v);
}

template <class T>
static __global__ void cosine_backward(const T *gradient, const T *more, const T *x, T *out,
                                       unsigned octets) {
    const unsigned i = blockIdx.x * THREADS + threadIdx.x;
    if (i >= octets) {
        return;
    }
    float g[8], v[8], second[8] = {0};
    us_load8(gradient + (size_t)i * 8, g);
    us_load8(x + (size_t)i * 8, v);
    if (more) {
        us_load8(more + (size_t)i * 8, second);
    }
    for (int k = 0; k < 8; k++) {
        g[k] = (g[k] + second[k]) * (cosf(v[k]) - v[k] * sinf(v[k]));
    }
    us_store8(out + (size_t)i * 8, g);
}

template <class T>
static __global__ void blend_forward(const T *a, const T *b, const float *factor, T *out,
                                     unsigned octets) {
    const unsigned i = blockIdx.x * THREADS + threadIdx.x;
    if (i >= octets) {
        return;
    }
    const float f = *factor;
    float v[8], w[8];
    us_load8(a + (size_t)i * 8, v);
    us_load8(b + (size_t)i * 8, w);
    for (int k = 0; k < 8; k++) {
        v[k] += f * (w[k] - v[k]);
    }
    us_store8(out + (size_t)i * 8, v);
}

template <class T>
static __global__ void blend_backward(const T *gradient, const float *factor, T *a, T *b,
                                      unsigned octets) {
    const unsigned i = blockIdx.x * THREADS + threadIdx.x;
    if (i >= octets) {
        return;
    }
    const float f = *factor;
    float g[8], v[8];
    us_load8(gradient + (size_t)i * 8, g);
    for (int k = 0; k < 8; k++) {
        v[k] = f * g[k];
        g[k] -= v[k];
    }
    us_store8(a + (size_t)i * 8, g);
    us_store8(b + (size_t)i * 8, v);
}

template <class From, class To>
static __global__ void cast(const From *from, To *to, unsigned octets) {
    const unsigned i = blockIdx.x * THREADS + threadIdx.x;
    if (i >= octets) {
        return;
    }
    float v[8];
    us_load8(from + (size_t)i * 8, v);
    us_store8(to + (size_t)i * 8, v);
}

/* Starts `name` for float or bfloat16 with one thread for eight of `count` elements. */
#define START(name, T, count, ...)                                                      \
    US_LAUNCH((name<T>), us_blocks((count) / 8, THREADS), THREADS, stream, __VA_ARGS__, \
              (unsigned)((count) / 8))
#define FIT(count)                                       \
    if ((count) % 8 != 0 || (count) / 8 > 0xFFFFFFFFu) { \
        return cudaErrorInvalidValue;                    \
    }

template <class T>
static cudaError_t start_bias_slope(const void *x, const float *bias, const void *residual,
                                    float slope, void *y, size_t rows, int channels,
                                    cudaStream_t stream) {
    const unsigned octets = (unsigned)(rows * (size_t)channels / 8);
    return US_LAUNCH((bias_slope<T>), us_blocks(octets, THREADS), THREADS, stream, (const T *)x,
                     bias, (const T *)residual, slope, (T *)y, octets, (unsigned)channels / 8);
}

cudaError_t nn_cuda_bias_slope(enum nn_cuda_type type, const void *x, const float *bias,
                               const void *residual, float slope, void *y, size_t rows,
                               int channels, cudaStream_t stream) {
    FIT(rows * (size_t)channels)
    if (channels % 8 != 0) {
        return cudaErrorInvalidValue;
    }
    return type == NN_CUDA_BF16
               ? start_bias_slope<us_bf16>(x, bias, residual, slope, y, rows, channels, stream)
               : start_bias_slope<float>(x, bias, residual, slope, y, rows, channels, stream);
}

cudaError_t nn_cuda_slope_backward(enum nn_cuda_type type, const void *gradient, const void *more,
                                   const void *y, float slope, void *out, size_t count,
                                   cudaStream_t stream) {
    FIT(count)
    return type == NN_CUDA_BF16
               ? START(slope_backward, us_bf16, count, (const us_bf16 *)gradient,
                       (const us_bf16 *)more, (const us_bf16 *)y, slope, (us_bf16 *)out)
               : START(slope_backward, float, count, (const float *)gradient, (const float *)more,
                       (const float *)y, slope, (float *)out);
}

cudaError_t nn_cuda_add(enum nn_cuda_type type, const void *a, const void *b, void *out,
                        size_t count, cudaStream_t stream) {
    FIT(count)
    return type == NN_CUDA_BF16
               ? START(add, us_bf16, count, (const us_bf16 *)a, (const us_bf16 *)b, (us_bf16 *)out)
               : START(add, float, count, (const float *)a, (const float *)b, (float *)out);
}

cudaError_t nn_cuda_cosine_forward(enum nn_cuda_type type, const void *x, void *y, size_t count,
                                   cudaStream_t stream) {
    FIT(count)
    return type == NN_CUDA_BF16
               ? START(cosine_forward, us_bf16, count, (const us_bf16 *)x, (us_bf16 *)y)
               : START(cosine_forward, float, count, (const float *)x, (float *)y);
}

cudaError_t nn_cuda_cosine_backward(enum nn_cuda_type type, const void *gradient, const void *more,
                                    const void *x, void *out, size_t count, cudaStream_t stream) {
    FIT(count)
    return type == NN_CUDA_BF16 ? START(cosine_backward, us_bf16, count, (const us_bf16 *)gradient,
                                        (const us_bf16 *)more, (const us_bf16 *)x, (us_bf16 *)out)
                                : START(cosine_backward, float, count, (const float *)gradient,
                                        (const float *)more, (const float *)x, (float *)out);
}

cudaError_t nn_cuda_blend_forward(enum nn_cuda_type type, const void *a, const void *b,
                                  const float *factor, void *out, size_t count,
                                  cudaStream_t stream) {
    FIT(count)
    return type == NN_CUDA_BF16 ? START(blend_forward, us_bf16, count, (const us_bf16 *)a,
                                        (const us_bf16 *)b, factor, (us_bf16 *)out)
                                : START(blend_forward, float, count, (const float *)a,
                                        (const float *)b, factor, (float *)out);
}

cudaError_t nn_cuda_blend_backward(enum nn_cuda_type type, const void *gradient,
                                   const float *factor, void *a_gradient, void *b_gradient,
                                   size_t count, cudaStream_t stream) {
    FIT(count)
    return type == NN_CUDA_BF16 ? START(blend_backward, us_bf16, count, (const us_bf16 *)gradient,
                                        factor, (us_bf16 *)a_gradient, (us_bf16 *)b_gradient)
                                : START(blend_backward, float, count, (const float *)gradient,
                                        factor, (float *)a_gradient, (float *)b_gradient);
}

template <class From, class To>
static cudaError_t start_cast(const void *from, void *to, size_t count, cudaStream_t stream) {
    return US_LAUNCH((cast<From, To>), us_blocks(count / 8, THREADS), THREADS, stream,
                     (const From *)from, (To *)to, (unsigned)(count / 8));
}

cudaError_t nn_cuda_cast(enum nn_cuda_type from_type, const void *from, enum nn_cuda_type to_type,
                         void *to, size_t count, cudaStream_t stream) {
    FIT(count)
    if (from_type == NN_CUDA_BF16) {
        return to_type == NN_CUDA_BF16 ? start_cast<us_bf16, us_bf16>(from, to, count, stream)
                                       : start_cast<us_bf16, float>(from, to, count, stream);
    }
    return to_type == NN_CUDA_BF16 ? start_cast<float, us_bf16>(from, to, count, stream)
                                   : start_cast<float, float>(from, to, count, stream);
}
