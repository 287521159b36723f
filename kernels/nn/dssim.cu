#include <math.h>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/reduce.h"
#include "kernels/nn/dssim_cuda_internal.h"

/* A block makes a tile of up to 256 x 8. Each thread first filters down a column, from memory and
 * the cache into registers, HIGH places at once, and leaves them in shared memory; then each
 * filters along a row, again HIGH places at once from a run of 16-byte loads. So a tap costs little
 * but its multiplication: bound by arithmetic, 8 multiplications and additions a tap and pixel
 * forward and 6 backward. Forward moves two planes in and three out, backward six in and one out;
 * rims of rows come from the cache, of columns there are none where a plane is as wide as a tile.
 */
#define THREADS NN_DSSIM_WIDE
#define WIDE NN_DSSIM_WIDE
#define HIGH NN_DSSIM_HIGH
#define BLOCKS 3 /* a multiprocessor */
#define FEW_TAPS 11
#define PITCH (WIDE + 36) /* a tile, its rim, and eight rows on different banks */
#define RUN(taps) ((HIGH + (taps)-1 + 3) / 4) /* 16-byte loads */

/* Column-filtered maps: rows of PITCH floats. */
typedef float4 strip[HIGH * PITCH / 4];

static __device__ float *row_of(strip &half, int row) {
    return (float *)half + row * PITCH;
}

/* Columns of a tile that no thread has: left of those that thread 0 begins, and behind. */
template <int MAPS> static __device__ void clear_rim(strip (&half)[MAPS], int before) {
    const int rim = PITCH - WIDE, i = (int)threadIdx.x;
    if (i < rim) {
        for (int m = 0; m < MAPS * HIGH; m++) {
            row_of(half[m / HIGH], m % HIGH)[i < before ? i : WIDE + i] = 0;
        }
    }
}

template <int MAPS>
static __device__ void keep_column(strip (&half)[MAPS], int column, const float sum[MAPS][HIGH]) {
    US_UNROLL
    for (int m = 0; m < MAPS; m++) {
        US_UNROLL
        for (int j = 0; j < HIGH; j++) {
            row_of(half[m], j)[column] = sum[m][j];
        }
    }
}

/* Adds row i of those that HIGH windows cover to the windows that cover it. */
template <int TAPS, int MAPS>
static __device__ void add_row(const struct nn_cuda_dssim &d, int i, const float v[MAPS],
                               float sum[MAPS][HIGH]) {
    US_UNROLL
    for (int j = 0; j < HIGH; j++) {
        if (i - j >= 0 && i - j < TAPS) {
            US_UNROLL
            for (int m = 0; m < MAPS; m++) {
                sum[m][j] += d.taps[i - j] * v[m];
            }
        }
    }
}

/* HIGH windows along a row of one map. */
template <int TAPS>
static __device__ void filter_row(const struct nn_cuda_dssim &d, const float4 *from,
                                  float sum[HIGH]) {
    float v[4 * RUN(TAPS)];
    US_UNROLL
    for (int i = 0; i < RUN(TAPS); i++) {
        const float4 four = from[i];
        v[4 * i] = four.x, v[4 * i + 1] = four.y, v[4 * i + 2] = four.z, v[4 * i + 3] = four.w;
    }
    US_UNROLL
    for (int j = 0; j < HIGH; j++) {
        sum[j] = 0;
        US_UNROLL
        for (int k = 0; k < TAPS; k++) {
            sum[j] += d.taps[k] * v[j + k];
        }
    }
}

/* x, y, x^2 + y^2 and x y below one another, each weighed by a window's column. */
template <int TAPS, bool MASKED>
static __device__ void average_columns(const struct nn_cuda_dssim &d,
                                       const struct nn_cuda_dssim_planes &p, int row,
                                       unsigned column, float sum[4][HIGH]) {
    const size_t size = (size_t)d.size, area = size * size;
    const size_t place = (size_t)min(row, d.size - 1) * size + column;
    const float *x = p.x + blockIdx.z * area + place, *y = p.y + blockIdx.z * area + place;
    const float *soft = MASKED ? p.soft + blockIdx.z / 3 * area + place : x;
    US_UNROLL
    for (int i = 0; i < HIGH + TAPS - 1; i++) {
        const float s = MASKED ? *soft : 1, a = *x * s, b = *y * s;
        const float v[4] = {a, b, a * a + b * b, a * b};
        add_row<TAPS, 4>(d, i, v, sum);
        /* rows below the plane belong to windows that do not count, or have no weight */
        const size_t next = row + i + 1 < d.size ? size : 0;
        x += next, y += next, soft += MASKED ? next : 0;
    }
}

/* SSIM of a window, and its derivatives by mean of x, of x^2 + y^2 and of x y. */
static __device__ float differentiate(const struct nn_cuda_dssim &d, const float m[4],
                                      float out[3]) {
    const float mx = m[0], my = m[1];
    const float both = 2 * mx * my, energy = mx * mx + my * my;
    const float a1 = both + d.c1, b1 = energy + d.c1;
    const float a2 = 2 * m[3] - both + d.c2, b2 = m[2] - energy + d.c2;
    const float inverse = 1 / (b1 * b2), ssim = a1 * a2 * inverse;
    out[0] = 2 * inverse * (my * (a2 - a1) + mx * ssim * (b1 - b2));
    out[1] = -ssim * b1 * inverse;
    out[2] = 2 * a1 * inverse;
    return ssim;
}

/* The windows along a row: eight neighbouring threads take eight rows. */
template <int TAPS>
static __device__ double finish_rows(const struct nn_cuda_dssim &d, strip (&half)[4], float *maps) {
    const int line = (int)threadIdx.x % HIGH, run = (int)threadIdx.x / HIGH * HIGH;
    const int row = (int)blockIdx.y * HIGH + line, column = (int)blockIdx.x * d.wide + run;
    if (row >= d.inner || column >= d.inner || run >= d.wide) {
        return 0;
    }
    float mean[4][HIGH], slopes[3][HIGH];
    US_UNROLL
    for (int m = 0; m < 4; m++) {
        filter_row<TAPS>(d, (const float4 *)(row_of(half[m], line) + run), mean[m]);
    }
    double sum = 0;
    US_UNROLL
    for (int j = 0; j < HIGH; j++) {
        const float m[4] = {mean[0][j], mean[1][j], mean[2][j], mean[3][j]};
        float out[3];
        const float ssim = differentiate(d, m, out);
        sum += column + j < d.inner ? (double)ssim : 0;
        slopes[0][j] = out[0], slopes[1][j] = out[1], slopes[2][j] = out[2];
    }
    if (maps) {
        const size_t at = (size_t)blockIdx.z * (size_t)d.inner + (size_t)row;
        float4 *to = (float4 *)(maps + (at * (size_t)d.pitch + (size_t)column) * 3);
        US_UNROLL
        for (int m = 0; m < 3; m++) {
            const float *v = slopes[m];
            to[2 * m] = make_float4(v[0], v[1], v[2], v[3]);
            to[2 * m + 1] = make_float4(v[4], v[5], v[6], v[7]);
        }
    }
    return sum;
}

template <int TAPS, bool MASKED>
static __global__ void __launch_bounds__(THREADS, BLOCKS)
    forward(const __grid_constant__ struct nn_cuda_dssim d, struct nn_cuda_dssim_planes p,
            float *maps, double *sums) {
    __shared__ strip half[4];
    const int column = (int)blockIdx.x * d.wide + d.first + (int)threadIdx.x;
    float sum[4][HIGH] = {};
    if (column < d.size) {
        average_columns<TAPS, MASKED>(d, p, (int)blockIdx.y * HIGH + d.first, (unsigned)column,
                                      sum);
    }
    keep_column<4>(half, (int)threadIdx.x, sum);
    clear_rim<4>(half, 0);
    __syncthreads();
    const double total = us_block_sum<THREADS>(finish_rows<TAPS>(d, half, maps));
    if (threadIdx.x == 0) {
        sums[(blockIdx.z * gridDim.y + blockIdx.y) * gridDim.x + blockIdx.x] = total;
    }
}

/* Three maps below one another, each weighed by the column of a window's taps; they are symmetric,
 * so the window that begins first has the same weight as the one that ends last. */
template <int TAPS>
static __device__ void spread_columns(const struct nn_cuda_dssim &d, const float *maps, int row,
                                      unsigned column, float sum[3][HIGH]) {
    const float *at = maps + ((ptrdiff_t)(blockIdx.z * (unsigned)d.inner) + row) * d.pitch * 3 +
                      column / HIGH * HIGH * 3 + column % HIGH;
    US_UNROLL
    for (int i = 0; i < HIGH + TAPS - 1; i++) {
        const bool inside = row + i >= 0 && row + i < d.inner;
        const float v[3] = {inside ? at[0] : 0, inside ? at[HIGH] : 0, inside ? at[2 * HIGH] : 0};
        add_row<TAPS, 3>(d, i, v, sum);
        at += 3 * d.pitch;
    }
}

/* Four pixels of a row, or as many as are left; `whole`: the rows lie at multiples of 16 bytes. */
static __device__ float4 load_four(const float *from, int left, bool whole) {
    return whole ? *(const float4 *)from
                 : make_float4(from[0], left > 1 ? from[1] : 0, left > 2 ? from[2] : 0,
                               left > 3 ? from[3] : 0);
}

static __device__ void store_four(float *to, int left, bool whole, const float v[4]) {
    if (whole) {
        *(float4 *)to = make_float4(v[0], v[1], v[2], v[3]);
        return;
    }
    for (int i = 0; i < 4 && i < left; i++) {
        to[i] = v[i];
    }
}

/* Four numbers for a place in the planes, those of x or y times the mask. */
static __device__ void masked_four(const float *from, int left, bool whole, const float soft[4],
                                   float v[4]) {
    const float4 four = load_four(from, left, whole);
    v[0] = four.x * soft[0], v[1] = four.y * soft[1];
    v[2] = four.z * soft[2], v[3] = four.w * soft[3];
}

/* The sums along a row for eight pixels, and what follows for their gradient. */
template <int TAPS>
static __device__ void change_rows(const struct nn_cuda_dssim &d,
                                   const struct nn_cuda_dssim_planes &p, strip (&half)[3],
                                   float weight, bool finish, float *gradient) {
    const int line = (int)threadIdx.x % HIGH, run = (int)threadIdx.x / HIGH * HIGH;
    const int row = (int)blockIdx.y * HIGH + line, column = (int)blockIdx.x * d.wide + run;
    if (row >= d.size || column >= d.size || run >= d.wide) {
        return;
    }
    float spread[3][HIGH];
    US_UNROLL
    for (int m = 0; m < 3; m++) {
        filter_row<TAPS>(d, (const float4 *)(row_of(half[m], line) + run), spread[m]);
    }
    const bool whole = d.size % 4 == 0;
    const size_t area = (size_t)d.size * (size_t)d.size;
    const size_t place = (size_t)row * (size_t)d.size + (size_t)column;
    const size_t at = blockIdx.z * area + place, mask = blockIdx.z / 3 * area + place;
    US_UNROLL
    for (int j = 0; j < HIGH; j += 4) {
        const int left = d.size - column - j;
        const float ones[4] = {1, 1, 1, 1};
        if (left > 0) {
            float soft[4] = {1, 1, 1, 1}, x[4], y[4], g[4];
            if (p.soft) {
                masked_four(p.soft + mask + j, left, whole, ones, soft);
            }
            masked_four(p.x + at + j, left, whole, soft, x);
            masked_four(p.y + at + j, left, whole, soft, y);
            masked_four(gradient + at + j, left, whole, ones, g);
            US_UNROLL
            for (int i = 0; i < 4; i++) {
                const int k = j + i;
                g[i] += weight * (spread[0][k] + 2 * x[i] * spread[1][k] + y[i] * spread[2][k]);
                g[i] = finish ? g[i] * soft[i] : g[i];
            }
            store_four(gradient + at + j, left, whole, g);
        }
    }
}

template <int TAPS>
static __global__ void __launch_bounds__(THREADS, BLOCKS)
    backward(const __grid_constant__ struct nn_cuda_dssim d, struct nn_cuda_dssim_planes p,
             const float *maps, float weight, bool finish, float *gradient) {
    __shared__ strip half[3];
    const int before = d.first + d.count - 1, thread = (int)threadIdx.x;
    const int column = (int)blockIdx.x * d.wide - before + d.shift + thread;
    float sum[3][HIGH] = {};
    if (column >= 0 && column < d.inner) {
        spread_columns<TAPS>(d, maps, (int)blockIdx.y * HIGH - before, (unsigned)column, sum);
    }
    keep_column<3>(half, thread + d.shift, sum);
    clear_rim<3>(half, d.shift);
    __syncthreads();
    change_rows<TAPS>(d, p, half, weight, finish, gradient);
}

/* Of a window of sigma 1.5 what weighs more than 1e-9 of its middle: under 10 from it. */
struct nn_cuda_dssim nn_cuda_dssim_of(int size, int window, float range) {
    struct nn_cuda_dssim d = {};
    const double middle = (window - 1) / 2.0, reach = NN_DSSIM_TAPS / 2.0;
    double sum = 0;
    for (int i = 0; i < window; i++) {
        sum += exp(-(i - middle) * (i - middle) / (2 * 1.5 * 1.5));
    }
    d.size = size;
    d.inner = size - window + 1;
    d.pitch = (d.inner + HIGH - 1) / HIGH * HIGH;
    d.first = middle < reach ? 0 : (int)(middle - reach) + 1;
    d.count = window - 2 * d.first;
    d.c1 = 1e-4f * range * range;
    d.c2 = 9e-4f * range * range;
    for (int i = 0; i < d.count; i++) {
        const double at = d.first + i - middle;
        d.taps[i] = (float)(exp(-at * at / (2 * 1.5 * 1.5)) / sum);
    }
    const int taps = d.count <= FEW_TAPS ? FEW_TAPS : NN_DSSIM_TAPS;
    d.wide = size <= WIDE ? WIDE : (WIDE - taps + 1) / HIGH * HIGH;
    d.shift = size <= WIDE ? d.first + d.count - 1 : 0;
    return d;
}

static dim3 tiles(const struct nn_cuda_dssim *d, int side, int planes) {
    return dim3(us_blocks((size_t)side, (unsigned)d->wide), us_blocks((size_t)side, HIGH),
                (unsigned)planes);
}

size_t nn_cuda_dssim_blocks(const struct nn_cuda_dssim *dssim, int planes) {
    const dim3 blocks = tiles(dssim, dssim->inner, planes);
    return (size_t)blocks.x * blocks.y * blocks.z;
}

size_t nn_cuda_dssim_maps(const struct nn_cuda_dssim *dssim, int planes) {
    return 3 * (size_t)planes * (size_t)dssim->inner * (size_t)dssim->pitch;
}

#define FORWARD(taps, masked)                                                               \
    US_LAUNCH((forward<taps, masked>), tiles(dssim, dssim->inner, planes->planes), THREADS, \
              stream, *dssim, *planes, maps, sums)
#define BACKWARD(taps)                                                                            \
    US_LAUNCH(backward<taps>, tiles(dssim, dssim->size, planes->planes), THREADS, stream, *dssim, \
              *planes, maps, weight, finish, gradient)

cudaError_t nn_cuda_dssim_forward(const struct nn_cuda_dssim *dssim,
                                  const struct nn_cuda_dssim_planes *planes, float *maps,
                                  double *sums, cudaStream_t stream) {
    if (dssim->count <= FEW_TAPS) {
        return planes->soft ? FORWARD(FEW_TAPS, true) : FORWARD(FEW_TAPS, false);
    }
    return planes->soft ? FORWARD(NN_DSSIM_TAPS, true) : FORWARD(NN_DSSIM_TAPS, false);
}

cudaError_t nn_cuda_dssim_backward(const struct nn_cuda_dssim *dssim,
                                   const struct nn_cuda_dssim_planes *planes, const float *maps,
                                   float weight, bool finish, float *gradient,
                                   cudaStream_t stream) {
    return dssim->count <= FEW_TAPS ? BACKWARD(FEW_TAPS) : BACKWARD(NN_DSSIM_TAPS);
}
