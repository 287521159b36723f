#include <math.h>

#include "kernels/cuda/bf16.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/reduce.h"
#include "kernels/nn/optimizer_cuda.h"
#include "kernels/nn/philox.h"

/* A thread takes four parameters: one Philox call, 16 bytes an access. A step moves 4 to 8 bytes of
 * gradient and copy and 24 of parameters and moments a parameter, 8 more with an average. */
#define THREADS 256
#define SUM_BLOCKS 1024
#define DEPTH 4 /* loads under way a thread that sums */
#define STREAM_DROPOUT 2u
#define DROPOUT_PERIOD 500.0

static __device__ void load4(const float *at, float v[4]) {
    const float4 a = *(const float4 *)at;
    v[0] = a.x, v[1] = a.y, v[2] = a.z, v[3] = a.w;
}

static __device__ void load4(const us_bf16 *at, float v[4]) {
    const uint2 a = *(const uint2 *)at;
    v[0] = us_float_of(a.x << 16), v[1] = us_float_of(a.x & 0xFFFF0000u);
    v[2] = us_float_of(a.y << 16), v[3] = us_float_of(a.y & 0xFFFF0000u);
}

static __device__ void store4(float *at, const float v[4]) {
    *(float4 *)at = make_float4(v[0], v[1], v[2], v[3]);
}

static __device__ void store4(us_bf16 *at, const float v[4]) {
    *(uint2 *)at = make_uint2(us_bf16_pair(v[0], v[1]), us_bf16_pair(v[2], v[3]));
}

/* The last group of a run may be shorter than four. */
template <class T> static __device__ void load_some(const T *at, unsigned count, float v[4]) {
    if (count == 4) {
        load4(at, v);
        return;
    }
    for (unsigned k = 0; k < 4; k++) {
        v[k] = k < count ? us_get(at[k]) : 0;
    }
}

template <class T> static __device__ void store_some(T *at, unsigned count, const float v[4]) {
    if (count == 4) {
        store4(at, v);
        return;
    }
    for (unsigned k = 0; k < count; k++) {
        us_put(at + k, v[k]);
    }
}

static __device__ unsigned in_group(size_t group, size_t count) {
    return count - 4 * group < 4 ? (unsigned)(count - 4 * group) : 4;
}

static __device__ double squares_of(const float v[4], float scale) {
    float squares = 0;
    US_UNROLL
    for (int k = 0; k < 4; k++) {
        const float scaled = v[k] * scale;
        squares += scaled * scaled;
    }
    return (double)squares;
}

/* DEPTH groups under way a thread, but for the last ones. */
template <class T>
static __global__ void __launch_bounds__(THREADS)
    sum_parts(const T *values, size_t count, float scale, double *sums) {
    const size_t groups = (count + 3) / 4, step = (size_t)gridDim.x * THREADS;
    size_t i = US_THREAD_INDEX;
    double sum = 0;
    for (; i + (DEPTH - 1) * step < count / 4; i += DEPTH * step) {
        float v[DEPTH][4];
        US_UNROLL
        for (size_t k = 0; k < DEPTH; k++) {
            load4(values + 4 * (i + k * step), v[k]);
        }
        US_UNROLL
        for (int k = 0; k < DEPTH; k++) {
            sum += squares_of(v[k], scale);
        }
    }
    for (; i < groups; i += step) {
        float v[4];
        load_some(values + 4 * i, in_group(i, count), v);
        sum += squares_of(v, scale);
    }
    sum = us_block_sum<THREADS>(sum);
    if (threadIdx.x == 0) {
        sums[blockIdx.x] = sum;
    }
}

static __global__ void begin(struct us_nn_optimizer o, struct nn_cuda_clock *clock,
                             const double *square_sum, float gradient_scale) {
    const double sum = *square_sum, norm = sqrt(sum);
    const double turn = 6.283185307179586 / DROPOUT_PERIOD;
    clock->square_sum = sum;
    clock->moves = isfinite(sum) ? 1 : 0;
    if (!clock->moves) {
        clock->refused++;
        return;
    }
    const double step = (double)++clock->step;
    clock->gradient_scale = gradient_scale;
    if (o.clip_norm > 0 && norm > (double)o.clip_norm) {
        clock->gradient_scale *= (float)((double)o.clip_norm / norm);
    }
    clock->step_rate = clock->rate;
    if (o.rate_dropout > 0) {
        clock->step_rate *= (float)((cos(turn * step) + 1) / 2);
    }
    clock->correct1 = (float)(1 / (1 - pow((double)o.beta1, step)));
    clock->correct2 = (float)(1 / (1 - pow((double)o.beta2, step)));
}

/* One parameter; the order of operations is the CPU's. */
static __device__ void move(const struct us_nn_optimizer &o, const struct nn_cuda_clock &c,
                            float rate, float g, float *w, float *m, float *v) {
    const float gradient = g * c.gradient_scale;
    *m = o.beta1 * *m + (1 - o.beta1) * gradient;
    if (o.kind == US_NN_ADAM) {
        *v = o.beta2 * *v + (1 - o.beta2) * gradient * gradient;
        *w -= rate * (*m * c.correct1) / (sqrtf(*v * c.correct2) + o.epsilon);
        return;
    }
    const float surprise = gradient - *m;
    *v = o.beta2 * *v + (1 - o.beta2) * surprise * surprise;
    *w -= rate * *m / (sqrtf(*v) + o.epsilon);
}

template <class G>
static __global__ void update(struct us_nn_optimizer o, struct nn_cuda_parameters p,
                              const struct nn_cuda_clock *clock, uint64_t seed) {
    const size_t i = US_THREAD_INDEX;
    const struct nn_cuda_clock c = *clock;
    if (4 * i >= p.count || !c.moves) {
        return;
    }
    const unsigned count = in_group(i, p.count);
    float g[4], w[4], m[4], v[4], rates[4];
    load_some((const G *)p.gradients + 4 * i, count, g);
    load_some(p.parameters + 4 * i, count, w);
    load_some(p.moment1 + 4 * i, count, m);
    load_some(p.moment2 + 4 * i, count, v);
    uint32_t words[4] = {0};
    if (o.rate_dropout > 0) {
        us_philox(seed, STREAM_DROPOUT, c.step, p.first / 4 + i, words);
    }
    for (int k = 0; k < 4; k++) {
        const bool still = o.rate_dropout > 0 && !(us_philox_unit(words[k]) < o.rate_dropout);
        rates[k] = still ? 0 : c.step_rate;
        move(o, c, rates[k], g[k], &w[k], &m[k], &v[k]);
    }
    store_some(p.parameters + 4 * i, count, w);
    store_some(p.moment1 + 4 * i, count, m);
    store_some(p.moment2 + 4 * i, count, v);
    if (p.copy) {
        store_some((us_bf16 *)p.copy + 4 * i, count, w);
    }
    if (p.average) {
        load_some(p.average + 4 * i, count, v);
        for (int k = 0; k < 4; k++) {
            v[k] = o.average_decay * v[k] + (1 - o.average_decay) * w[k];
        }
        store_some(p.average + 4 * i, count, v);
    }
}

/* Depends on the count alone. */
static unsigned sum_blocks(size_t count) {
    const size_t blocks = us_blocks((count + 3) / 4, 4 * THREADS);
    return blocks < 1 ? 1 : blocks > SUM_BLOCKS ? SUM_BLOCKS : (unsigned)blocks;
}

size_t nn_cuda_sum_scratch(size_t count) {
    return sum_blocks(count) * sizeof(double);
}

cudaError_t nn_cuda_sum_of_squares(enum nn_cuda_type type, const void *values, size_t count,
                                   float scale, bool add, double *sum, void *scratch,
                                   cudaStream_t stream) {
    const unsigned blocks = sum_blocks(count);
    double *sums = (double *)scratch;
    US_CUDA_TRY(type == NN_CUDA_BF16 ? US_LAUNCH((sum_parts<us_bf16>), blocks, THREADS, stream,
                                                 (const us_bf16 *)values, count, scale, sums)
                                     : US_LAUNCH((sum_parts<float>), blocks, THREADS, stream,
                                                 (const float *)values, count, scale, sums));
    return US_LAUNCH(us_add_parts<THREADS>, 1, THREADS, stream, (const double *)sums, blocks, add,
                     sum);
}

cudaError_t nn_cuda_optimizer_begin(const struct us_nn_optimizer *optimizer,
                                    struct nn_cuda_clock *clock, const double *square_sum,
                                    float gradient_scale, cudaStream_t stream) {
    return US_LAUNCH(begin, 1, 1, stream, *optimizer, clock, square_sum, gradient_scale);
}

cudaError_t nn_cuda_optimizer_step(const struct us_nn_optimizer *optimizer,
                                   const struct nn_cuda_parameters *parameters,
                                   const struct nn_cuda_clock *clock, uint64_t seed,
                                   cudaStream_t stream) {
    if (parameters->first % 4 != 0) {
        return cudaErrorInvalidValue;
    }
    if (parameters->count == 0) {
        return cudaSuccess;
    }
    const unsigned blocks = us_blocks((parameters->count + 3) / 4, THREADS);
    return parameters->gradient_type == NN_CUDA_BF16
               ? US_LAUNCH((update<us_bf16>), blocks, THREADS, stream, *optimizer, *parameters,
                           clock, seed)
               : US_LAUNCH((update<float>), blocks, THREADS, stream, *optimizer, *parameters, clock,
                           seed);
}
