#include "kernels/cuda/bf16.h"
#include "kernels/cuda/divide.h"
#include "kernels/cuda/launch.h"
#include "kernels/nn/norm_cuda.h"
#include "kernels/nn/shape_ops_cuda.h"

/* Bound by memory: each input is read and the output written once. A block takes a chunk of rows
 * and leaves a sum for each channel, a second launch adds the chunks; there is none when one chunk
 * takes all. A thread stays with its eight channels, and has the loads of DEPTH rows under way, or
 * of half as many when there are more inputs than one; told that four blocks share a
 * multiprocessor, the compiler does not give that up for registers. */
#define THREADS 256
#define LANES 32   /* most threads side by side in a row */
#define DEPTH 8    /* rows, of one input in bfloat16 */
#define BLOCKS 512 /* four for each multiprocessor of a large device */
#define RUNS 32    /* of chunks that a block adds side by side, for eight channels */
#define AHEAD 8    /* chunks of a run */

namespace {
struct layout {
    unsigned octets, lanes, lines; /* of a row; threads side by side in a row, and rows of them */
    unsigned step;                 /* elements from a line to the next that a thread takes */
    unsigned slabs, chunk, rows;   /* blocks side by side in a row; rows of a block and of all */
    /* After a depth-to-space the gradient lies as its output does: */
    unsigned w, group; /* pixels of a row, octets of one of four groups of channels */
    struct us_divisor by_w;
};

struct operands {
    const void *gradient, *more, *y;
    float slope;
    void *out;
};
} // namespace

/* Where the gradient of an octet of a row lies after a depth-to-space. */
static __device__ size_t source(const struct layout &l, unsigned row, unsigned octet) {
    const unsigned group = octet / l.group, line = us_divide(row, l.by_w);
    const size_t pixel = 2 * ((size_t)line * l.w + row) + group / 2 * 2 * l.w + group % 2;
    return (pixel * l.group + octet % l.group) * 8;
}

/* Adds COUNT rows, `lines` apart. */
template <class T, bool MORE, bool SLOPED, bool SHUFFLED, int COUNT>
static __device__ void add_rows(const struct operands &o, const struct layout &l, unsigned row,
                                unsigned octet, float sum[8]) {
    float g[COUNT][8], other[COUNT][8], v[COUNT][8];
    const size_t first = ((size_t)row * l.octets + octet) * 8, step = (size_t)l.step;
    US_UNROLL
    for (int i = 0; i < COUNT; i++) {
        const size_t at =
            SHUFFLED ? source(l, row + (unsigned)i * l.lines, octet) : first + (size_t)i * step;
        us_load8((const T *)o.gradient + at, g[i]);
        if (MORE) {
            us_load8((const T *)o.more + at, other[i]);
        }
        if (SLOPED) {
            us_load8((const T *)o.y + at, v[i]);
        }
    }
    US_UNROLL
    for (int i = 0; i < COUNT; i++) {
        US_UNROLL
        for (int k = 0; k < 8; k++) {
            g[i][k] = MORE ? g[i][k] + other[i][k] : g[i][k];
            g[i][k] = SLOPED && !(v[i][k] > 0) ? g[i][k] * o.slope : g[i][k];
            sum[k] += g[i][k];
        }
        if (SLOPED) {
            us_store8((T *)o.out + first + (size_t)i * step, g[i]);
        }
    }
}

/* Adds a thread's rows, COUNT at a time and fewer at the end. */
template <class T, bool MORE, bool SLOPED, bool SHUFFLED, int COUNT>
static __device__ void add_lane(const struct operands &o, const struct layout &l, unsigned row,
                                unsigned last, unsigned octet, float sum[8]) {
    for (; row + (COUNT - 1) * l.lines < last; row += COUNT * l.lines) {
        add_rows<T, MORE, SLOPED, SHUFFLED, COUNT>(o, l, row, octet, sum);
    }
    if constexpr (COUNT > 1) {
        add_lane<T, MORE, SLOPED, SHUFFLED, COUNT / 2>(o, l, row, last, octet, sum);
    }
}

/* The sum over the lines of a block, in halves; valid in the first line. */
static __device__ void add_lines(const struct layout &l, unsigned line, float sum[8]) {
    __shared__ float parts[THREADS][9]; /* 9: no two lanes of a warp on one bank */
    for (unsigned left = l.lines; left > 1; left = (left + 1) / 2) {
        const unsigned half = (left + 1) / 2;
        if (line >= half && line < left) {
            for (int k = 0; k < 8; k++) {
                parts[threadIdx.x][k] = sum[k];
            }
        }
        __syncthreads();
        if (line + half < left) {
            for (int k = 0; k < 8; k++) {
                sum[k] += parts[threadIdx.x + half * l.lanes][k];
            }
        }
    }
}

template <class T, bool MORE, bool SLOPED, bool SHUFFLED>
static __global__ void __launch_bounds__(THREADS, 4)
    sum_chunks(struct operands o, float *sums, struct layout l) {
    const unsigned lane = threadIdx.x % l.lanes, line = threadIdx.x / l.lanes;
    const unsigned octet = blockIdx.y * l.lanes + lane, first = blockIdx.x * l.chunk;
    const unsigned last = first + l.chunk < l.rows ? first + l.chunk : l.rows;
    float sum[8] = {0};
    if (octet < l.octets && line < l.lines) {
        const int depth = (MORE || SLOPED ? DEPTH : 2 * DEPTH) / (int)sizeof(T);
        add_lane<T, MORE, SLOPED, SHUFFLED, depth>(o, l, first + line, last, octet, sum);
    }
    add_lines(l, line, sum);
    if (line == 0 && octet < l.octets) {
        us_store8(sums + ((size_t)blockIdx.x * l.octets + octet) * 8, sum);
    }
}

/* Eight channels a block: what it waits for is the way to the cache, twice. */
static __global__ void __launch_bounds__(THREADS)
    add_chunks(const float *sums, unsigned chunks, unsigned channels, float *bias_gradient) {
    __shared__ double warps[THREADS / 32][8];
    const unsigned lane = threadIdx.x % 8, channel = blockIdx.x * 8 + lane;
    double sum = 0;
    for (unsigned i = threadIdx.x / 8; i < chunks; i += RUNS * AHEAD) {
        float v[AHEAD];
        US_UNROLL
        for (unsigned k = 0; k < AHEAD; k++) {
            const unsigned chunk = i + k * RUNS;
            v[k] = chunk < chunks ? sums[(size_t)chunk * channels + channel] : 0;
        }
        US_UNROLL
        for (unsigned k = 0; k < AHEAD; k++) {
            sum += (double)v[k];
        }
    }
    sum += __shfl_down_sync(0xFFFFFFFFu, sum, 16);
    sum += __shfl_down_sync(0xFFFFFFFFu, sum, 8);
    if (threadIdx.x % 32 < 8) {
        warps[threadIdx.x / 32][lane] = sum;
    }
    __syncthreads();
    if (threadIdx.x < 8) {
        for (int i = 1; i < THREADS / 32; i++) {
            sum += warps[i][lane];
        }
        bias_gradient[channel] = (float)sum;
    }
}

/* Depends on nothing but the size. A thread takes DEPTH rows or more. */
static struct layout layout_of(size_t rows, int channels) {
    struct layout l = {};
    l.octets = (unsigned)channels / 8;
    l.rows = (unsigned)rows;
    l.slabs = (l.octets + LANES - 1) / LANES;
    l.lanes = (l.octets + l.slabs - 1) / l.slabs;
    l.lines = THREADS / l.lanes;
    l.step = l.lines * (unsigned)channels;
    const unsigned chunks = l.slabs < BLOCKS ? BLOCKS / l.slabs : 1;
    const unsigned each = us_blocks(us_blocks(rows, chunks), l.lines);
    l.chunk = (each > DEPTH ? each : DEPTH) * l.lines;
    return l;
}

static unsigned chunk_count(const struct layout &l) {
    return us_blocks(l.rows, l.chunk);
}

size_t nn_cuda_bias_scratch(size_t rows, int channels) {
    return (size_t)chunk_count(layout_of(rows, channels)) * (size_t)channels * sizeof(float);
}

#define START(more, sloped, shuffled)                                                          \
    US_LAUNCH((sum_chunks<T, more, sloped, shuffled>), dim3(chunk_count(l), l.slabs), THREADS, \
              stream, o, sums, l)

template <class T>
static cudaError_t start(const struct operands &o, float *sums, const struct layout &l,
                         cudaStream_t stream) {
    if (l.group) {
        return o.more ? START(true, true, true) : START(false, true, true);
    }
    if (o.y) {
        return o.more ? START(true, true, false) : START(false, true, false);
    }
    return o.more ? START(true, false, false) : START(false, false, false);
}

static cudaError_t sum_rows(enum nn_cuda_type type, const struct operands &o, float *bias_gradient,
                            const struct layout &l, void *scratch, cudaStream_t stream) {
    const unsigned chunks = chunk_count(l);
    float *sums = chunks > 1 ? (float *)scratch : bias_gradient;
    US_CUDA_TRY(type == NN_CUDA_BF16 ? start<us_bf16>(o, sums, l, stream)
                                     : start<float>(o, sums, l, stream));
    return chunks > 1 ? US_LAUNCH(add_chunks, l.octets, THREADS, stream, (const float *)sums,
                                  chunks, l.octets * 8, bias_gradient)
                      : cudaSuccess;
}

static bool fits(size_t rows, int channels) {
    return channels > 0 && channels % 8 == 0 && rows > 0 && rows < (size_t)1 << 31;
}

cudaError_t nn_cuda_bias_gradient(enum nn_cuda_type type, const void *gradient, const void *more,
                                  const void *y, float slope, void *out, float *bias_gradient,
                                  size_t rows, int channels, void *scratch, cudaStream_t stream) {
    if (!fits(rows, channels) || !y != !out) {
        return cudaErrorInvalidValue;
    }
    const struct operands o = {gradient, more, y, slope, out};
    return sum_rows(type, o, bias_gradient, layout_of(rows, channels), scratch, stream);
}

cudaError_t nn_cuda_shuffle_bias_gradient(enum nn_cuda_type type, const void *gradient,
                                          const void *more, const void *y, float slope,
                                          void *x_gradient, float *bias_gradient,
                                          const struct nn_cuda_map *map, void *scratch,
                                          cudaStream_t stream) {
    const size_t rows = (size_t)map->n * (size_t)map->h * (size_t)map->w;
    if (map->w <= 0 || !fits(rows, map->channels) || !y) {
        return cudaErrorInvalidValue;
    }
    struct layout l = layout_of(rows, 4 * map->channels);
    l.w = (unsigned)map->w;
    l.group = (unsigned)map->channels / 8;
    l.by_w = us_divisor_of(l.w);
    const struct operands o = {gradient, more, y, slope, x_gradient};
    return sum_rows(type, o, bias_gradient, l, scratch, stream);
}
