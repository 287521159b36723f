#include <math.h>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/reduce.h"
#include "kernels/nn/dssim_cuda_internal.h"

/* A block makes a tile of 32 x 16: it reads the tile and a rim of a window's width, filters rows
 * and then columns, all in shared memory (up to 35 kB: six blocks a multiprocessor). Forward moves
 * two planes in and three out, backward five in and one out; the rims come from the cache. */
#define THREADS 256
#define WIDE NN_DSSIM_WIDE
#define HIGH NN_DSSIM_HIGH
#define RIM (NN_DSSIM_TAPS - 1)
#define ROWS (HIGH + RIM)
#define COLUMNS (WIDE + RIM)

typedef float strip[ROWS * WIDE];
typedef float patch[ROWS * COLUMNS];

/* Filters one pixel of four maps made of x and y along a row. */
static __device__ void filter_row(const struct nn_cuda_dssim &d, const patch &x, const patch &y,
                                  int row, int column, strip *half) {
    float mean_x = 0, mean_y = 0, squares = 0, products = 0;
    for (int k = 0; k < d.count; k++) {
        const int at = row * COLUMNS + column + k;
        const float a = x[at], b = y[at], tap = d.taps[k];
        mean_x += tap * a;
        mean_y += tap * b;
        squares += tap * (a * a + b * b);
        products += tap * (a * b);
    }
    half[0][row * WIDE + column] = mean_x;
    half[1][row * WIDE + column] = mean_y;
    half[2][row * WIDE + column] = squares;
    half[3][row * WIDE + column] = products;
}

/* SSIM of the window at a place, and its derivatives by mean of x, of x^2 + y^2 and of x y. */
static __device__ float differentiate(const struct nn_cuda_dssim &d, const strip *half, int row,
                                      int column, float out[3]) {
    float mx = 0, my = 0, squares = 0, products = 0;
    for (int k = 0; k < d.count; k++) {
        const float tap = d.taps[k];
        mx += tap * half[0][(row + k) * WIDE + column];
        my += tap * half[1][(row + k) * WIDE + column];
        squares += tap * half[2][(row + k) * WIDE + column];
        products += tap * half[3][(row + k) * WIDE + column];
    }
    const float both = 2 * mx * my, energy = mx * mx + my * my;
    const float a1 = both + d.c1, b1 = energy + d.c1;
    const float a2 = 2 * products - both + d.c2, b2 = squares - energy + d.c2;
    const float inverse = 1 / (b1 * b2), ssim = a1 * a2 * inverse;
    out[0] = 2 * my * (a2 - a1) * inverse + 2 * mx * ssim * (1 / b2 - 1 / b1);
    out[1] = -ssim / b2;
    out[2] = 2 * a1 * inverse;
    return ssim;
}

static __device__ float masked(const float *plane, const float *soft, size_t at) {
    return soft ? plane[at] * soft[at] : plane[at];
}

static __global__ void __launch_bounds__(THREADS)
    forward(const __grid_constant__ struct nn_cuda_dssim d, struct nn_cuda_dssim_planes p,
            float *maps, double *sums) {
    __shared__ patch x, y;
    __shared__ strip half[4];
    const int plane = (int)blockIdx.z, left = (int)blockIdx.x * WIDE, top = (int)blockIdx.y * HIGH;
    const size_t area = (size_t)d.size * (size_t)d.size, inner = (size_t)d.inner;
    const float *soft = p.soft ? p.soft + (size_t)(plane / 3) * area : NULL;
    for (int i = (int)threadIdx.x; i < ROWS * COLUMNS; i += THREADS) {
        const int row = top + d.first + i / COLUMNS, column = left + d.first + i % COLUMNS;
        const bool inside = row < d.size && column < d.size;
        const size_t at = inside ? (size_t)row * (size_t)d.size + (size_t)column : 0;
        x[i] = inside ? masked(p.x + (size_t)plane * area, soft, at) : 0;
        y[i] = inside ? masked(p.y + (size_t)plane * area, soft, at) : 0;
    }
    __syncthreads();
    for (int i = (int)threadIdx.x; i < ROWS * WIDE; i += THREADS) {
        filter_row(d, x, y, i / WIDE, i % WIDE, half);
    }
    __syncthreads();
    double sum = 0;
    for (int i = (int)threadIdx.x; i < HIGH * WIDE; i += THREADS) {
        const int row = top + i / WIDE, column = left + i % WIDE;
        float slopes[3];
        const float ssim = differentiate(d, half, i / WIDE, i % WIDE, slopes);
        if (row < d.inner && column < d.inner) {
            sum += (double)ssim;
            for (int k = 0; k < 3 && maps; k++) {
                maps[(((size_t)plane * 3 + (size_t)k) * inner + (size_t)row) * inner +
                     (size_t)column] = slopes[k];
            }
        }
    }
    sum = us_block_sum<THREADS>(sum);
    if (threadIdx.x == 0) {
        sums[(blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x] = sum;
    }
}

/* The maps around a tile of pixels: where the windows that see a pixel begin. */
static __device__ void load_maps(const struct nn_cuda_dssim &d, const float *maps, int top,
                                 int left, patch *to) {
    const int before = d.first + d.count - 1;
    const size_t inner = (size_t)d.inner;
    for (int i = (int)threadIdx.x; i < 3 * ROWS * COLUMNS; i += THREADS) {
        const int map = i / (ROWS * COLUMNS), at = i % (ROWS * COLUMNS);
        const int row = top - before + at / COLUMNS, column = left - before + at % COLUMNS;
        const bool inside = row >= 0 && column >= 0 && row < d.inner && column < d.inner;
        to[map][at] =
            inside ? maps[((size_t)map * inner + (size_t)row) * inner + (size_t)column] : 0;
    }
}

static __global__ void __launch_bounds__(THREADS)
    backward(const __grid_constant__ struct nn_cuda_dssim d, struct nn_cuda_dssim_planes p,
             const float *maps, float weight, bool finish, float *gradient) {
    __shared__ patch around[3];
    __shared__ strip half[3];
    const int plane = (int)blockIdx.z, left = (int)blockIdx.x * WIDE, top = (int)blockIdx.y * HIGH;
    const size_t area = (size_t)d.size * (size_t)d.size;
    const float *soft = p.soft ? p.soft + (size_t)(plane / 3) * area : NULL;
    load_maps(d, maps + (size_t)plane * 3 * (size_t)d.inner * (size_t)d.inner, top, left, around);
    __syncthreads();
    for (int i = (int)threadIdx.x; i < 3 * ROWS * WIDE; i += THREADS) {
        const int map = i / (ROWS * WIDE), at = i % (ROWS * WIDE);
        const int row = at / WIDE, column = at % WIDE + d.count - 1;
        float sum = 0;
        for (int k = 0; k < d.count; k++) {
            sum += d.taps[k] * around[map][row * COLUMNS + column - k];
        }
        half[map][at] = sum;
    }
    __syncthreads();
    for (int i = (int)threadIdx.x; i < HIGH * WIDE; i += THREADS) {
        const int row = top + i / WIDE, column = left + i % WIDE;
        if (row >= d.size || column >= d.size) {
            continue;
        }
        float spread[3] = {0};
        for (int k = 0; k < d.count; k++) {
            for (int map = 0; map < 3; map++) {
                spread[map] += d.taps[k] * half[map][i + (d.count - 1 - k) * WIDE];
            }
        }
        const size_t at = (size_t)row * (size_t)d.size + (size_t)column;
        const float x = masked(p.x + (size_t)plane * area, soft, at);
        const float y = masked(p.y + (size_t)plane * area, soft, at);
        float *to = gradient + (size_t)plane * area + at;
        const float sum = *to + weight * (spread[0] + 2 * x * spread[1] + y * spread[2]);
        *to = finish && soft ? sum * soft[at] : sum;
    }
}

struct nn_cuda_dssim nn_cuda_dssim_of(int size, int window, float range) {
    struct nn_cuda_dssim d = {};
    const double middle = (window - 1) / 2.0, reach = NN_DSSIM_TAPS / 2.0;
    double sum = 0;
    for (int i = 0; i < window; i++) {
        sum += exp(-(i - middle) * (i - middle) / (2 * 1.5 * 1.5));
    }
    d.size = size;
    d.inner = size - window + 1;
    d.first = middle - reach > 0 ? (int)ceil(middle - reach) : 0;
    d.count = window - 2 * d.first;
    d.c1 = 1e-4f * range * range;
    d.c2 = 9e-4f * range * range;
    for (int i = 0; i < d.count; i++) {
        const double at = d.first + i - middle;
        d.taps[i] = (float)(exp(-at * at / (2 * 1.5 * 1.5)) / sum);
    }
    return d;
}

static dim3 tiles(int side, int planes) {
    return dim3(us_blocks((size_t)side, WIDE), us_blocks((size_t)side, HIGH), (unsigned)planes);
}

size_t nn_cuda_dssim_blocks(const struct nn_cuda_dssim *dssim, int planes) {
    const dim3 blocks = tiles(dssim->inner, planes);
    return (size_t)blocks.x * blocks.y * blocks.z;
}

cudaError_t nn_cuda_dssim_forward(const struct nn_cuda_dssim *dssim,
                                  const struct nn_cuda_dssim_planes *planes, float *maps,
                                  double *sums, cudaStream_t stream) {
    return US_LAUNCH(forward, tiles(dssim->inner, planes->planes), THREADS, stream, *dssim, *planes,
                     maps, sums);
}

cudaError_t nn_cuda_dssim_backward(const struct nn_cuda_dssim *dssim,
                                   const struct nn_cuda_dssim_planes *planes, const float *maps,
                                   float weight, bool finish, float *gradient,
                                   cudaStream_t stream) {
    return US_LAUNCH(backward, tiles(dssim->size, planes->planes), THREADS, stream, *dssim, *planes,
                     maps, weight, finish, gradient);
}
