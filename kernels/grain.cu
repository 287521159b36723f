#include <cuda_runtime.h>

extern "C" {
#include "kernels/grain.h"
}
#include "kernels/cuda/grid_internal.h"
#include "kernels/grain_internal.h"

/* Scratch: how many differences each pair of rows has (then how many come before it), the total,
 * the differences that are kept. */
struct sift {
    uint32_t *rows;
    float *kept;
    int32_t pairs;
    size_t stride;
};

size_t us_grain_scratch_cuda(int32_t width, int32_t height) {
    size_t blocks = (size_t)(width / 2) * (size_t)(height / 2);
    return (size_t)(height / 2) + 1 + blocks / grain_stride(width, height) + 1;
}

static __global__ void count_row(struct us_view plane, struct us_view weight, struct sift sift) {
    size_t pair = grid_index();
    if (pair >= (size_t)sift.pairs) {
        return;
    }
    uint32_t count = 0;
    float difference;
    for (int32_t x = 0; x + 1 < plane.width; x += 2) {
        count += grain_difference(plane, weight, x, 2 * (int32_t)pair, &difference);
    }
    sift.rows[pair] = count;
}

static __global__ void sum_rows(struct sift sift) {
    uint32_t total = 0;
    for (int32_t i = 0; i < sift.pairs; i++) {
        uint32_t count = sift.rows[i];
        sift.rows[i] = total;
        total += count;
    }
    sift.rows[sift.pairs] = total;
}

static __global__ void keep_row(struct us_view plane, struct us_view weight, struct sift sift) {
    size_t pair = grid_index();
    if (pair >= (size_t)sift.pairs) {
        return;
    }
    size_t seen = sift.rows[pair];
    float difference;
    for (int32_t x = 0; x + 1 < plane.width; x += 2) {
        if (grain_difference(plane, weight, x, 2 * (int32_t)pair, &difference)) {
            if (seen % sift.stride == 0) {
                sift.kept[seen / sift.stride] = difference;
            }
            seen++;
        }
    }
}

/* The median by bisection of its bits, which order as the values do. One block. */
static __global__ void find_median(struct sift sift, double *deviation) {
    __shared__ uint32_t counts[GRID_THREADS];
    __shared__ uint32_t below;
    const uint32_t me = threadIdx.x;
    uint32_t total = sift.rows[sift.pairs];
    uint32_t kept = (uint32_t)((total + sift.stride - 1) / sift.stride), found = 0;
    for (int bit = 30; bit >= 0; bit--) {
        uint32_t candidate = found | 1u << bit, mine = 0;
        for (uint32_t i = me; i < kept; i += GRID_THREADS) {
            uint32_t bits;
            memcpy(&bits, &sift.kept[i], sizeof bits);
            mine += bits < candidate;
        }
        counts[me] = mine;
        __syncthreads();
        if (me == 0) {
            below = 0;
            for (int i = 0; i < GRID_THREADS; i++) {
                below += counts[i];
            }
        }
        __syncthreads();
        found = below <= kept / 2 ? candidate : found;
        __syncthreads();
    }
    if (me == 0) {
        float median;
        memcpy(&median, &found, sizeof median);
        *deviation = kept < FEWEST_SAMPLES ? 0.0 : (double)median / 0.6745;
    }
}

static __global__ void add_noise(struct us_view plane, struct us_view weight, const double *like,
                                 const double *own, double share, uint64_t seed, int32_t x_min,
                                 int32_t y_min) {
    size_t at = grid_index();
    if (at >= (size_t)plane.width * (size_t)plane.height) {
        return;
    }
    int32_t x = (int32_t)(at % (size_t)plane.width), y = (int32_t)(at / (size_t)plane.width);
    if (weight.data[y * weight.stride + x] > 0.0f) {
        double deviation = grain_lack(*like, *own, share);
        plane.data[y * plane.stride + x] +=
            grain_at(grain_line(seed, y + y_min), x + x_min, deviation);
    }
}

void us_grain_measure_cuda(struct us_view plane, struct us_view weight, float *scratch,
                           double *deviation, void *stream) {
    struct sift sift;
    sift.pairs = plane.height / 2;
    sift.rows = (uint32_t *)scratch;
    sift.kept = scratch + sift.pairs + 1;
    sift.stride = grain_stride(plane.width, plane.height);
    GRID_LAUNCH(count_row, sift.pairs, stream, plane, weight, sift);
    BLOCK_LAUNCH(sum_rows, 1, stream, sift);
    GRID_LAUNCH(keep_row, sift.pairs, stream, plane, weight, sift);
    BLOCK_LAUNCH(find_median, GRID_THREADS, stream, sift, deviation);
}

void us_grain_add_cuda(struct us_view plane, struct us_view weight, const double *like,
                       const double *own, double share, uint64_t seed, int32_t x_min, int32_t y_min,
                       void *stream) {
    GRID_LAUNCH(add_noise, (size_t)plane.width * (size_t)plane.height, stream, plane, weight, like,
                own, share, seed, x_min, y_min);
}
