#include <math.h>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/reduce.h"
#include "kernels/nn/adversarial_loss_cuda.h"

/* All of these read and write each value once: they are bound by memory. */
#define THREADS 256
#define CHUNK 1024 /* values of a block */
#define MOST_PLANES 65535

static __global__ void cross_entropy(struct nn_cuda_entropy e, const float *logits, float *gradient,
                                     double *sums) {
    double sum = 0;
    for (unsigned k = 0; k < CHUNK; k += THREADS) {
        const size_t i = (size_t)blockIdx.x * CHUNK + k + threadIdx.x;
        if (i >= 2 * e.half) {
            break;
        }
        const int made = i >= e.half;
        float slope = 0;
        if (e.weight[made] != 0) {
            const float x = logits[i], t = e.target[made], power = expf(-fabsf(x));
            const float p = (x > 0 ? 1 : power) / (1 + power);
            sum += e.weight[made] * (double)(log1pf(power) + (x > 0 ? x : 0) - x * t);
            slope = e.scale[made] * (p - t);
        }
        gradient[i] = slope;
    }
    sum = us_block_sum<THREADS>(sum);
    if (threadIdx.x == 0) {
        sums[blockIdx.x] = sum;
    }
}

static __global__ void paint(struct nn_cuda_painting p, size_t area, size_t total, float *truth,
                             float *made) {
    const size_t i = US_THREAD_INDEX;
    if (i >= total) {
        return;
    }
    const float soft = p.soft ? p.soft[i / (3 * area) * area + i % area] : 1;
    truth[i] = p.target[i] * soft;
    made[i] = p.image[i] * soft;
}

/* What a pixel differs from its neighbours: the gradient of total variation is left and above less
 * right and below, and each pair counts once, where it is right or below. */
static __device__ float differ(const float *plane, int i, int size, double *squares) {
    const int x = i % size, y = i / size;
    const float v = plane[i];
    const float left = x > 0 ? v - plane[i - 1] : 0, right = x + 1 < size ? plane[i + 1] - v : 0;
    const float above = y > 0 ? v - plane[i - size] : 0;
    const float below = y + 1 < size ? plane[i + size] - v : 0;
    *squares += (double)(right * right) + (double)(below * below);
    return (left - right) + (above - below);
}

static __global__ void pull(struct nn_cuda_painting p, struct nn_cuda_calm calm,
                            const float *judged, float *gradient, double *sums) {
    const unsigned area = (unsigned)p.size * (unsigned)p.size;
    const size_t base = (size_t)blockIdx.y * area;
    const float *soft = p.soft ? p.soft + (size_t)(blockIdx.y / 3) * area : NULL;
    double variation = 0, errors = 0;
    for (unsigned k = 0; k < CHUNK; k += THREADS) {
        const unsigned i = blockIdx.x * CHUNK + k + threadIdx.x;
        if (i >= area) {
            break;
        }
        const float inside = soft ? soft[i] : 1, outside = 1 - inside;
        const float edge = differ(p.image + base, (int)i, p.size, &variation);
        const float d = outside * (p.image[base + i] - p.target[base + i]);
        errors += (double)(d * d);
        gradient[base + i] += judged[base + i] * inside + 2 * calm.variation_scale * edge +
                              2 * calm.outside_scale * outside * d;
    }
    const double sum =
        us_block_sum<THREADS>(calm.variation_weight * variation + calm.outside_weight * errors);
    if (threadIdx.x == 0) {
        sums[(size_t)blockIdx.y * gridDim.x + blockIdx.x] = sum;
    }
}

static __global__ void set_terms(const struct nn_cuda_judgement *j,
                                 struct us_nn_loss_terms *terms) {
    terms->adversarial = j->made_as_true + j->calm;
    terms->judge = j->own;
    terms->total += terms->adversarial;
}

size_t nn_cuda_cross_entropy_scratch(size_t half) {
    return us_blocks(2 * half, CHUNK) * sizeof(double);
}

cudaError_t nn_cuda_cross_entropy(const struct nn_cuda_entropy *entropy, const float *logits,
                                  float *gradient, bool add, double *sum, void *scratch,
                                  cudaStream_t stream) {
    const unsigned blocks = us_blocks(2 * entropy->half, CHUNK);
    double *sums = (double *)scratch;
    US_CUDA_TRY(
        US_LAUNCH(cross_entropy, blocks, THREADS, stream, *entropy, logits, gradient, sums));
    return US_LAUNCH(us_add_parts<THREADS>, 1, THREADS, stream, (const double *)sums, blocks, add,
                     sum);
}

static size_t area_of(int size) {
    return (size_t)size * (size_t)size;
}

cudaError_t nn_cuda_paint(const struct nn_cuda_painting *painting, float *truth, float *made,
                          cudaStream_t stream) {
    const size_t area = area_of(painting->size), total = 3 * area * (size_t)painting->count;
    return US_LAUNCH(paint, us_blocks(total, THREADS), THREADS, stream, *painting, area, total,
                     truth, made);
}

static unsigned pull_blocks(int size) {
    return us_blocks(area_of(size), CHUNK);
}

size_t nn_cuda_pull_scratch(int size, int count) {
    return (size_t)pull_blocks(size) * 3 * (size_t)count * sizeof(double);
}

cudaError_t nn_cuda_pull(const struct nn_cuda_painting *painting, const struct nn_cuda_calm *calm,
                         const float *judged, float *gradient, double *sum, void *scratch,
                         cudaStream_t stream) {
    const unsigned planes = 3 * (unsigned)painting->count;
    if (planes > MOST_PLANES) {
        return cudaErrorInvalidValue;
    }
    const dim3 blocks(pull_blocks(painting->size), planes);
    double *sums = (double *)scratch;
    US_CUDA_TRY(US_LAUNCH(pull, blocks, THREADS, stream, *painting, *calm, judged, gradient, sums));
    return US_LAUNCH(us_add_parts<THREADS>, 1, THREADS, stream, (const double *)sums,
                     blocks.x * planes, false, sum);
}

cudaError_t nn_cuda_adversarial_terms(const struct nn_cuda_judgement *judgement,
                                      struct us_nn_loss_terms *terms, cudaStream_t stream) {
    return US_LAUNCH(set_terms, 1, 1, stream, judgement, terms);
}
