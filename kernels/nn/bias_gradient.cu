#include "kernels/cuda/bf16.h"
#include "kernels/cuda/launch.h"
#include "kernels/nn/norm_cuda.h"

/* One pass over the gradient leaves a sum for each channel and chunk of rows, another adds the
 * chunks. The first reads each input and writes the output once; a chunk is at least 64 kB, and
 * there are up to 512 of them, four for each multiprocessor of a large device. */
#define THREADS 256
#define CHUNKS 512

namespace {
struct layout {
    unsigned octets, chunk; /* of a row; rows of a chunk */
    unsigned lanes;         /* threads side by side in a row, a power of two */
    size_t rows;
};
} // namespace

template <class T>
static __global__ void sum_chunks(const T *gradient, const T *more, const T *y, float slope, T *out,
                                  float *sums, struct layout l) {
    __shared__ float parts[THREADS][9]; /* 9: no two lanes of a warp on one bank */
    const unsigned lane = threadIdx.x % l.lanes, line = threadIdx.x / l.lanes;
    const unsigned octet = blockIdx.y * l.lanes + lane, lines = THREADS / l.lanes;
    const size_t first = (size_t)blockIdx.x * l.chunk;
    const size_t last = first + l.chunk < l.rows ? first + l.chunk : l.rows;
    float sum[8] = {0};
    for (size_t row = first + line; row < last && octet < l.octets; row += lines) {
        const size_t at = (row * l.octets + octet) * 8;
        float g[8], second[8] = {0}, v[8];
        us_load8(gradient + at, g);
        if (more) {
            us_load8(more + at, second);
        }
        for (int k = 0; k < 8; k++) {
            g[k] += second[k];
        }
        if (y) {
            us_load8(y + at, v);
            for (int k = 0; k < 8; k++) {
                g[k] = v[k] > 0 ? g[k] : g[k] * slope;
            }
            us_store8(out + at, g);
        }
        for (int k = 0; k < 8; k++) {
            sum[k] += g[k];
        }
    }
    for (int k = 0; k < 8; k++) {
        parts[threadIdx.x][k] = sum[k];
    }
    __syncthreads();
    for (unsigned i = threadIdx.x; i < l.lanes * 8; i += THREADS) {
        const unsigned channel = blockIdx.y * l.lanes * 8 + i;
        float total = 0;
        for (unsigned k = 0; k < lines; k++) {
            total += parts[k * l.lanes + i / 8][i % 8];
        }
        if (channel < l.octets * 8) {
            sums[(size_t)blockIdx.x * l.octets * 8 + channel] = total;
        }
    }
}

/* 32 channels a block, their chunks in 8 runs. */
static __global__ void add_chunks(const float *sums, unsigned chunks, unsigned channels,
                                  float *bias_gradient) {
    __shared__ double runs[8][32];
    const unsigned lane = threadIdx.x % 32, run = threadIdx.x / 32;
    const unsigned channel = blockIdx.x * 32 + lane, each = (chunks + 7) / 8;
    double sum = 0;
    for (unsigned i = run * each; i < chunks && i < (run + 1) * each && channel < channels; i++) {
        sum += (double)sums[(size_t)i * channels + channel];
    }
    runs[run][lane] = sum;
    __syncthreads();
    if (run == 0 && channel < channels) {
        for (int i = 1; i < 8; i++) {
            sum += runs[i][lane];
        }
        bias_gradient[channel] = (float)sum;
    }
}

/* Rows of a chunk and how many there are; they depend on nothing but the size. */
static unsigned chunk_rows(size_t rows, int channels) {
    const size_t least = ((size_t)1 << 15) / (size_t)channels + 1;
    const size_t each = (rows + CHUNKS - 1) / CHUNKS;
    return (unsigned)(each > least ? each : least);
}

static unsigned chunk_count(size_t rows, int channels) {
    return us_blocks(rows, chunk_rows(rows, channels));
}

size_t nn_cuda_bias_scratch(size_t rows, int channels) {
    return (size_t)chunk_count(rows, channels) * (size_t)channels * sizeof(float);
}

template <class T>
static cudaError_t start(const void *gradient, const void *more, const void *y, float slope,
                         void *out, float *sums, const struct layout &l, cudaStream_t stream) {
    const dim3 blocks(us_blocks(l.rows, l.chunk), us_blocks(l.octets, l.lanes));
    return US_LAUNCH((sum_chunks<T>), blocks, THREADS, stream, (const T *)gradient, (const T *)more,
                     (const T *)y, slope, (T *)out, sums, l);
}

cudaError_t nn_cuda_bias_gradient(enum nn_cuda_type type, const void *gradient, const void *more,
                                  const void *y, float slope, void *out, float *bias_gradient,
                                  size_t rows, int channels, void *scratch, cudaStream_t stream) {
    if (channels <= 0 || channels % 8 != 0 || rows == 0 || !y != !out) {
        return cudaErrorInvalidValue;
    }
    struct layout l = {(unsigned)channels / 8, chunk_rows(rows, channels), 1, rows};
    while (l.lanes < 32 && l.lanes < l.octets) {
        l.lanes *= 2;
    }
    float *sums = (float *)scratch;
    US_CUDA_TRY(type == NN_CUDA_BF16
                    ? start<us_bf16>(gradient, more, y, slope, out, sums, l, stream)
                    : start<float>(gradient, more, y, slope, out, sums, l, stream));
    return US_LAUNCH(add_chunks, us_blocks((size_t)channels, 32), THREADS, stream,
                     (const float *)sums, chunk_count(rows, channels), (unsigned)channels,
                     bias_gradient);
}
