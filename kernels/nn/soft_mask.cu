#include <math.h>

#include "kernels/cuda/launch.h"
#include "kernels/nn/loss_cuda.h"

/* The blur of soft masks, along rows and then along columns. A thread makes RUN places at once
 * from a window that slides through its registers, RUN taps a step: a tap costs little but its
 * multiplication, one load or less for eight of them. Rows come through shared memory, eight
 * neighbouring threads take eight of them; columns come from the cache, where neighbouring threads
 * read neighbouring places. Both planes fit in the cache many times over. */
#define THREADS 256
#define RUN 8
#define MOST_SIZE 1024
#define MOST_RADIUS 96 /* at MOST_SIZE */
#define MOST_TAPS (2 * MOST_RADIUS + RUN)
#define WIDE 256                      /* of a tile of RUN rows, and columns of a block */
#define PITCH (WIDE + MOST_TAPS + 28) /* a tile, its rim, and eight rows on different banks */
#define MOST_PLANES 65535

static_assert(PITCH % 32 == 4, "rows begin four banks apart");

namespace {
/* taps[radius] is the middle; behind the last there are zeros up to a multiple of RUN. */
struct blur {
    int size, radius, count;
    float taps[MOST_TAPS];
};
} // namespace

static __device__ int within(int i, int size) {
    return min(max(i, 0), size - 1);
}

/* Adds RUN taps from the k-th on; v begins where the first place has its k-th tap. */
static __device__ void add_taps(const struct blur &b, int k, const float v[2 * RUN],
                                float sum[RUN]) {
    US_UNROLL
    for (int i = 0; i < RUN; i++) {
        const float tap = b.taps[k + i];
        US_UNROLL
        for (int j = 0; j < RUN; j++) {
            sum[j] += tap * v[i + j];
        }
    }
}

static __device__ void load_run(const float4 *from, float v[RUN]) {
    US_UNROLL
    for (int i = 0; i < RUN / 4; i++) {
        const float4 four = from[i];
        v[4 * i] = four.x, v[4 * i + 1] = four.y, v[4 * i + 2] = four.z, v[4 * i + 3] = four.w;
    }
}

/* A run of a row, or as much of it as the plane has. */
static __device__ void store_run(float *to, int left, bool whole, const float v[RUN]) {
    if (whole && left >= RUN) {
        *(float4 *)to = make_float4(v[0], v[1], v[2], v[3]);
        *(float4 *)(to + 4) = make_float4(v[4], v[5], v[6], v[7]);
        return;
    }
    US_UNROLL
    for (int i = 0; i < RUN; i++) {
        if (i < left) {
            to[i] = v[i];
        }
    }
}

/* The rows of a tile with their rims into shared memory; edges repeat. */
static __device__ void load_tile(const float *plane, const struct blur &b, float (*tile)[PITCH]) {
    const int first = (int)blockIdx.x * WIDE - b.radius;
    for (int i = (int)threadIdx.x; i < WIDE + b.count; i += THREADS) {
        const int x = within(first + i, b.size);
        float v[RUN];
        US_UNROLL
        for (int row = 0; row < RUN; row++) {
            v[row] = plane[within((int)blockIdx.y * RUN + row, b.size) * b.size + x];
        }
        US_UNROLL
        for (int row = 0; row < RUN; row++) {
            tile[row][i] = v[row];
        }
    }
}

/* `whole`: the rows of `out` lie at multiples of 16 bytes. */
static __global__ void __launch_bounds__(THREADS)
    blur_rows(const float *in, const __grid_constant__ struct blur b, bool whole, float *out) {
    __shared__ float4 tile[RUN * PITCH / 4];
    const size_t plane = (size_t)blockIdx.z * (size_t)b.size * (size_t)b.size;
    load_tile(in + plane, b, (float(*)[PITCH])tile);
    __syncthreads();
    const int row = (int)threadIdx.x % RUN, run = (int)threadIdx.x / RUN * RUN;
    const int x = (int)blockIdx.x * WIDE + run, y = (int)blockIdx.y * RUN + row;
    if (x >= b.size || y >= b.size) {
        return;
    }
    const float4 *from = tile + (row * PITCH + run) / 4;
    float v[2 * RUN], sum[RUN] = {};
    load_run(from, v);
    for (int k = 0; k < b.count; k += RUN) {
        load_run(from + (k + RUN) / 4, v + RUN);
        add_taps(b, k, v, sum);
        US_UNROLL
        for (int i = 0; i < RUN; i++) {
            v[i] = v[RUN + i];
        }
    }
    store_run(out + plane + (size_t)y * (size_t)b.size + x, b.size - x, whole, sum);
}

static __device__ void load_column(const float *column, const struct blur &b, int y, float v[RUN]) {
    US_UNROLL
    for (int i = 0; i < RUN; i++) {
        v[i] = column[within(y + i, b.size) * b.size];
    }
}

static __global__ void __launch_bounds__(THREADS)
    blur_columns(const float *in, const __grid_constant__ struct blur b, float *out) {
    const int x = (int)blockIdx.x * WIDE + (int)threadIdx.x, y = (int)blockIdx.y * RUN;
    if (x >= b.size) {
        return;
    }
    const size_t at = (size_t)blockIdx.z * (size_t)b.size * (size_t)b.size + (size_t)x;
    float v[2 * RUN], sum[RUN] = {};
    load_column(in + at, b, y - b.radius, v);
    for (int k = 0; k < b.count; k += RUN) {
        load_column(in + at, b, y - b.radius + k + RUN, v + RUN);
        add_taps(b, k, v, sum);
        US_UNROLL
        for (int i = 0; i < RUN; i++) {
            v[i] = v[RUN + i];
        }
    }
    US_UNROLL
    for (int i = 0; i < RUN; i++) {
        if (y + i < b.size) {
            out[at + (size_t)(y + i) * (size_t)b.size] = sum[i] > 0.5f ? 1
                                                         : sum[i] < 0  ? 0
                                                                       : 2 * sum[i];
        }
    }
}

static struct blur blur_of(int size) {
    struct blur b = {};
    const float sigma = size > 32 ? (float)size / 32 : 1;
    float sum = 0;
    b.size = size;
    b.radius = (int)ceilf(3 * sigma);
    b.count = (2 * b.radius + 1 + RUN - 1) / RUN * RUN;
    for (int k = -b.radius; k <= b.radius; k++) {
        b.taps[k + b.radius] = expf(-(float)(k * k) / (2 * sigma * sigma));
        sum += b.taps[k + b.radius];
    }
    for (int k = 0; k <= 2 * b.radius; k++) {
        b.taps[k] /= sum;
    }
    return b;
}

cudaError_t nn_cuda_soft_mask(const float *masks, int size, int count, float *half, float *soft,
                              cudaStream_t stream) {
    if (size < 1 || size > MOST_SIZE || count < 1 || count > MOST_PLANES) {
        return cudaErrorInvalidValue;
    }
    const struct blur b = blur_of(size);
    const bool whole = size % 4 == 0 && (size_t)half % 16 == 0;
    const dim3 blocks(us_blocks((size_t)size, WIDE), us_blocks((size_t)size, RUN), (unsigned)count);
    US_CUDA_TRY(US_LAUNCH(blur_rows, blocks, THREADS, stream, masks, b, whole, half));
    return US_LAUNCH(blur_columns, blocks, THREADS, stream, (const float *)half, b, soft);
}
