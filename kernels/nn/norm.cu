#include "kernels/cuda/bf16.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/reduce.h"
#include "kernels/nn/norm_cuda.h"

/* Two kernels each way: PARTS blocks a sample leave sums, then every block adds those of its
 * sample in order and scales its part. Two reads and a write; the second read mostly hits the
 * cache, as a sample is a few hundred kilobytes. */
#define THREADS 256
#define PARTS 32

namespace {
struct part {
    size_t from, to; /* octets of the sample */
};
} // namespace

static __device__ struct part part_of(size_t octets) {
    const size_t each = (octets + PARTS - 1) / PARTS, from = blockIdx.x * each;
    return {from, from + each < octets ? from + each : octets};
}

static __device__ double total_of(const double *sums) {
    double total = 0;
    for (int i = 0; i < PARTS; i++) {
        total += sums[(size_t)blockIdx.y * PARTS + (unsigned)i];
    }
    return total;
}

template <class T> static __global__ void sum_squares(const T *x, double *sums, size_t octets) {
    const struct part p = part_of(octets);
    const T *in = x + (size_t)blockIdx.y * octets * 8;
    double sum = 0;
    for (size_t i = p.from + threadIdx.x; i < p.to; i += THREADS) {
        float v[8], squares = 0;
        us_load8(in + i * 8, v);
        for (int k = 0; k < 8; k++) {
            squares += v[k] * v[k];
        }
        sum += (double)squares;
    }
    sum = us_block_sum<THREADS>(sum);
    if (threadIdx.x == 0) {
        sums[blockIdx.y * PARTS + blockIdx.x] = sum;
    }
}

template <class T>
static __global__ void scale_down(const T *x, T *y, const double *sums, float *scales,
                                  size_t octets, size_t real) {
    const struct part p = part_of(octets);
    const size_t base = (size_t)blockIdx.y * octets;
    const float scale = (float)(1 / sqrt(total_of(sums) / (double)real + 1e-6));
    if (blockIdx.x == 0 && threadIdx.x == 0) {
        scales[blockIdx.y] = scale;
    }
    for (size_t i = base + p.from + threadIdx.x; i < base + p.to; i += THREADS) {
        float v[8];
        us_load8(x + i * 8, v);
        for (int k = 0; k < 8; k++) {
            v[k] *= scale;
        }
        us_store8(y + i * 8, v);
    }
}

template <class T>
static __device__ void load_gradient(const T *gradient, const T *more, size_t octet, float g[8]) {
    float second[8] = {0};
    us_load8(gradient + octet * 8, g);
    if (more) {
        us_load8(more + octet * 8, second);
    }
    for (int k = 0; k < 8; k++) {
        g[k] += second[k];
    }
}

template <class T>
static __global__ void sum_products(const T *gradient, const T *more, const T *y, double *sums,
                                    size_t octets) {
    const struct part p = part_of(octets);
    const size_t base = (size_t)blockIdx.y * octets;
    double sum = 0;
    for (size_t i = base + p.from + threadIdx.x; i < base + p.to; i += THREADS) {
        float g[8], v[8], products = 0;
        load_gradient(gradient, more, i, g);
        us_load8(y + i * 8, v);
        for (int k = 0; k < 8; k++) {
            products += g[k] * v[k];
        }
        sum += (double)products;
    }
    sum = us_block_sum<THREADS>(sum);
    if (threadIdx.x == 0) {
        sums[blockIdx.y * PARTS + blockIdx.x] = sum;
    }
}

template <class T>
static __global__ void project(const T *gradient, const T *more, const T *y, const float *scales,
                               const double *sums, T *x_gradient, size_t octets, size_t real) {
    const struct part p = part_of(octets);
    const size_t base = (size_t)blockIdx.y * octets;
    const float mean = (float)(total_of(sums) / (double)real), scale = scales[blockIdx.y];
    for (size_t i = base + p.from + threadIdx.x; i < base + p.to; i += THREADS) {
        float g[8], v[8];
        load_gradient(gradient, more, i, g);
        us_load8(y + i * 8, v);
        for (int k = 0; k < 8; k++) {
            g[k] = scale * (g[k] - v[k] * mean);
        }
        us_store8(x_gradient + i * 8, g);
    }
}

size_t nn_cuda_norm_scratch(int n) {
    return (size_t)n * PARTS * sizeof(double);
}

template <class T>
static cudaError_t forward(const void *x, void *y, float *scales, int n, size_t count, size_t real,
                           double *sums, cudaStream_t stream) {
    const dim3 blocks(PARTS, (unsigned)n);
    US_CUDA_TRY(
        US_LAUNCH((sum_squares<T>), blocks, THREADS, stream, (const T *)x, sums, count / 8));
    return US_LAUNCH((scale_down<T>), blocks, THREADS, stream, (const T *)x, (T *)y,
                     (const double *)sums, scales, count / 8, real);
}

cudaError_t nn_cuda_norm_forward(enum nn_cuda_type type, const void *x, void *y, float *scales,
                                 int n, size_t count, size_t real, void *scratch,
                                 cudaStream_t stream) {
    if (count % 8 != 0 || real == 0) {
        return cudaErrorInvalidValue;
    }
    double *sums = (double *)scratch;
    return type == NN_CUDA_BF16 ? forward<us_bf16>(x, y, scales, n, count, real, sums, stream)
                                : forward<float>(x, y, scales, n, count, real, sums, stream);
}

template <class T>
static cudaError_t backward(const void *gradient, const void *more, const void *y,
                            const float *scales, void *x_gradient, int n, size_t count, size_t real,
                            double *sums, cudaStream_t stream) {
    const dim3 blocks(PARTS, (unsigned)n);
    US_CUDA_TRY(US_LAUNCH((sum_products<T>), blocks, THREADS, stream, (const T *)gradient,
                          (const T *)more, (const T *)y, sums, count / 8));
    return US_LAUNCH((project<T>), blocks, THREADS, stream, (const T *)gradient, (const T *)more,
                     (const T *)y, scales, (const double *)sums, (T *)x_gradient, count / 8, real);
}

cudaError_t nn_cuda_norm_backward(enum nn_cuda_type type, const void *gradient, const void *more,
                                  const void *y, const float *scales, void *x_gradient, int n,
                                  size_t count, size_t real, void *scratch, cudaStream_t stream) {
    if (count % 8 != 0 || real == 0) {
        return cudaErrorInvalidValue;
    }
    double *sums = (double *)scratch;
    return type == NN_CUDA_BF16 ? backward<us_bf16>(gradient, more, y, scales, x_gradient, n, count,
                                                    real, sums, stream)
                                : backward<float>(gradient, more, y, scales, x_gradient, n, count,
                                                  real, sums, stream);
}
