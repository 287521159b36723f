#include "kernels/cuda/bf16.h"
#include "kernels/cuda/divide.h"
#include "kernels/cuda/launch.h"
#include "kernels/nn/shape_ops_cuda.h"

/* Depth-to-space. Two pixels side by side of the larger map are one run of memory there, and half a
 * pixel of the smaller one. Bound by memory: each input is read and the output written once, in 16
 * bytes an access, DEPTH of them under way a thread; without bias and slope nothing is computed but
 * where a run lies. */
#define THREADS 256
#define BLOCKS(T) (8 / (int)sizeof(T)) /* a multiprocessor: room for the registers of DEPTH loads \
                                        */
#define DEPTH 4
#define PART (THREADS * DEPTH)

namespace {
struct runs {
    unsigned total, length, w; /* units in all and of a run; runs of a row of the larger map */
    struct us_divisor by_length, by_w;
};
} // namespace

/* Where unit i of the larger map lies in the smaller one. */
static __device__ unsigned place_of(const struct runs &r, unsigned i) {
    const unsigned run = us_divide(i, r.by_length), row = us_divide(run, r.by_w);
    const unsigned pixel = run - (row + 1) / 2 * r.w; /* rows 2i and 2i + 1 begin at row i */
    return (2 * pixel + row % 2) * r.length + (i - run * r.length);
}

/* The unit that this thread takes k-th; the last one again behind the end. */
static __device__ unsigned unit(const struct runs &r, unsigned k) {
    return min(blockIdx.x * PART + k * THREADS + threadIdx.x, r.total - 1);
}

static __device__ bool owns(const struct runs &r, unsigned k) {
    return blockIdx.x * PART + k * THREADS + threadIdx.x < r.total;
}

/* Units of 16 bytes, whatever they hold. */
template <bool FORWARD>
static __global__ void __launch_bounds__(THREADS, BLOCKS(us_bf16))
    copy_runs(const uint4 *from, uint4 *to, struct runs r) {
    uint4 v[DEPTH];
    unsigned place[DEPTH];
    US_UNROLL
    for (unsigned k = 0; k < DEPTH; k++) {
        const unsigned i = unit(r, k), other = place_of(r, i);
        v[k] = from[FORWARD ? other : i];
        place[k] = FORWARD ? i : other;
    }
    US_UNROLL
    for (unsigned k = 0; k < DEPTH; k++) {
        if (owns(r, k)) {
            to[place[k]] = v[k];
        }
    }
}

/* Units of eight channels. */
template <class T>
static __global__ void __launch_bounds__(THREADS, BLOCKS(T))
    forward(const T *x, const float *bias, float slope, T *y, struct runs r) {
    float v[DEPTH][8];
    unsigned place[DEPTH];
    US_UNROLL
    for (unsigned k = 0; k < DEPTH; k++) {
        place[k] = place_of(r, unit(r, k));
        us_load8(x + (size_t)place[k] * 8, v[k]);
    }
    US_UNROLL
    for (unsigned k = 0; k < DEPTH; k++) {
        float b[8] = {0};
        if (bias) {
            us_load8(bias + (size_t)(place[k] % (2 * r.length)) * 8, b);
        }
        for (int c = 0; c < 8; c++) {
            const float sum = v[k][c] + b[c];
            v[k][c] = sum > 0 ? sum : sum * slope;
        }
        if (owns(r, k)) {
            us_store8(y + (size_t)unit(r, k) * 8, v[k]);
        }
    }
}

template <class T, bool MORE>
static __global__ void __launch_bounds__(THREADS, BLOCKS(T))
    backward(const T *gradient, const T *more, const T *y, float slope, T *x_gradient,
             struct runs r) {
    float g[DEPTH][8], v[DEPTH][8], second[DEPTH][8];
    US_UNROLL
    for (unsigned k = 0; k < DEPTH; k++) {
        const size_t at = (size_t)unit(r, k) * 8;
        us_load8(gradient + at, g[k]);
        us_load8(y + at, v[k]);
        if (MORE) {
            us_load8(more + at, second[k]);
        }
    }
    US_UNROLL
    for (unsigned k = 0; k < DEPTH; k++) {
        US_UNROLL
        for (int c = 0; c < 8; c++) {
            const float sum = MORE ? g[k][c] + second[k][c] : g[k][c];
            g[k][c] = v[k][c] > 0 ? sum : sum * slope;
        }
        if (owns(r, k)) {
            us_store8(x_gradient + (size_t)place_of(r, unit(r, k)) * 8, g[k]);
        }
    }
}

/* Of units that `each` channels fill; none where they are too many to count. */
static struct runs runs_of(const struct nn_cuda_map *m, int each) {
    const bool fits = m->n > 0 && m->h > 0 && m->w > 0 && m->channels > 0 && m->channels % 8 == 0;
    const size_t total =
        fits ? (size_t)m->n * (size_t)m->h * (size_t)m->w * 4 * (size_t)(m->channels / each) : 0;
    if (total == 0 || total >= (size_t)1 << 31) {
        return {};
    }
    const unsigned length = 2 * (unsigned)(m->channels / each), w = (unsigned)m->w;
    return {(unsigned)total, length, w, us_divisor_of(length), us_divisor_of(w)};
}

static int channels_of_16_bytes(enum nn_cuda_type type) {
    return type == NN_CUDA_BF16 ? 8 : 4;
}

#define START(kernel, ...) \
    US_LAUNCH(kernel, us_blocks(r.total, PART), THREADS, stream, __VA_ARGS__, r)

cudaError_t nn_cuda_shuffle_forward(enum nn_cuda_type type, const void *x, const float *bias,
                                    float slope, void *y, const struct nn_cuda_map *map,
                                    cudaStream_t stream) {
    const bool plain = !bias && slope == 1;
    const struct runs r = runs_of(map, plain ? channels_of_16_bytes(type) : 8);
    if (r.total == 0) {
        return cudaErrorInvalidValue;
    }
    if (plain) {
        return START(copy_runs<true>, (const uint4 *)x, (uint4 *)y);
    }
    return type == NN_CUDA_BF16
               ? START(forward<us_bf16>, (const us_bf16 *)x, bias, slope, (us_bf16 *)y)
               : START(forward<float>, (const float *)x, bias, slope, (float *)y);
}

template <class T>
static cudaError_t start_backward(const void *gradient, const void *more, const void *y,
                                  float slope, void *x_gradient, const struct runs &r,
                                  cudaStream_t stream) {
    return more ? START((backward<T, true>), (const T *)gradient, (const T *)more, (const T *)y,
                        slope, (T *)x_gradient)
                : START((backward<T, false>), (const T *)gradient, (const T *)NULL, (const T *)y,
                        slope, (T *)x_gradient);
}

cudaError_t nn_cuda_shuffle_backward(enum nn_cuda_type type, const void *gradient, const void *more,
                                     const void *y, float slope, void *x_gradient,
                                     const struct nn_cuda_map *map, cudaStream_t stream) {
    const bool plain = !more && slope == 1;
    const struct runs r = runs_of(map, plain ? channels_of_16_bytes(type) : 8);
    if (r.total == 0) {
        return cudaErrorInvalidValue;
    }
    if (plain) {
        return START(copy_runs<false>, (const uint4 *)gradient, (uint4 *)x_gradient);
    }
    return type == NN_CUDA_BF16
               ? start_backward<us_bf16>(gradient, more, y, slope, x_gradient, r, stream)
               : start_backward<float>(gradient, more, y, slope, x_gradient, r, stream);
}
