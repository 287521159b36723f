#include "kernels/cuda/conv_check.h"

#include "kernels/cuda/bf16.h"
#include "kernels/cuda/launch.h"
#include "kernels/cuda/reduce.h"

/* A block takes one element of the result; its threads share the terms of the sum. */
#define THREADS 128
#define SAMPLES 512

namespace {
template <class T> struct tensors {
    const T *x, *w, *dy, *residual, *out;
    const float *bias;
};

/* Where an element of a result lies, and what one of its terms multiplies. */
struct place {
    int n, row, column, channel; /* of y or dx; of dw: channel is k, n is c, row and column r, s */
};
} // namespace

/* Of y, dx: as [n][row][column][channel]; of dw as [channel][row][column][n]. */
static __device__ struct place place_of(const struct us_conv_desc &d, size_t at) {
    const bool forward = d.op == US_CONV_FORWARD, weights = d.op == US_CONV_WEIGHT_GRADIENT;
    const int inner = forward ? d.out_channels : d.in_channels;
    const int w = weights ? d.kernel_width : forward ? d.out_width : d.in_width;
    const int h = weights ? d.kernel_height : forward ? d.out_height : d.in_height;
    const int last = (int)(at % (size_t)inner);
    const size_t pixel = at / (size_t)inner;
    const int first = (int)(pixel / (size_t)w / (size_t)h);
    struct place p = {first, (int)(pixel / (size_t)w % (size_t)h), (int)(pixel % (size_t)w), last};
    if (weights) {
        p.channel = first;
        p.n = last;
    }
    return p;
}

static __device__ size_t pixel_of(int n, int row, int column, int h, int w, int channels) {
    return (((size_t)n * (size_t)h + (size_t)row) * (size_t)w + (size_t)column) * (size_t)channels;
}

static __device__ size_t weight_of(const struct us_conv_desc &d, int k, int r, int s, int c) {
    return pixel_of(k, r, s, d.kernel_height, d.kernel_width, d.in_channels) + (size_t)c;
}

/* Term t of y[p]: t counts taps, then channels. */
template <class T>
static __device__ double forward_term(const struct us_conv_desc &d, const struct tensors<T> &b,
                                      const struct place &p, size_t t) {
    const int c = (int)(t % (size_t)d.in_channels), tap = (int)(t / (size_t)d.in_channels);
    const int r = tap / d.kernel_width, s = tap % d.kernel_width;
    const int h = p.row * d.stride - d.pad_top + r, w = p.column * d.stride - d.pad_left + s;
    if (h < 0 || w < 0 || h >= d.in_height || w >= d.in_width) {
        return 0;
    }
    const size_t x = pixel_of(p.n, h, w, d.in_height, d.in_width, d.in_channels) + (size_t)c;
    return (double)us_get(b.x[x]) * (double)us_get(b.w[weight_of(d, p.channel, r, s, c)]);
}

template <class T>
static __device__ double data_term(const struct us_conv_desc &d, const struct tensors<T> &b,
                                   const struct place &p, size_t t) {
    const int k = (int)(t % (size_t)d.out_channels), tap = (int)(t / (size_t)d.out_channels);
    const int r = tap / d.kernel_width, s = tap % d.kernel_width;
    const int h = p.row + d.pad_top - r, w = p.column + d.pad_left - s;
    const int row = h / d.stride, column = w / d.stride;
    if (h < 0 || w < 0 || row * d.stride != h || column * d.stride != w || row >= d.out_height ||
        column >= d.out_width) {
        return 0;
    }
    const size_t y =
        pixel_of(p.n, row, column, d.out_height, d.out_width, d.out_channels) + (size_t)k;
    return (double)us_get(b.dy[y]) * (double)us_get(b.w[weight_of(d, k, r, s, p.channel)]);
}

/* t counts the pixels of dy. */
template <class T>
static __device__ double weight_term(const struct us_conv_desc &d, const struct tensors<T> &b,
                                     const struct place &p, size_t t) {
    const int column = (int)(t % (size_t)d.out_width);
    const int row = (int)(t / (size_t)d.out_width % (size_t)d.out_height);
    const int n = (int)(t / (size_t)d.out_width / (size_t)d.out_height);
    const int h = row * d.stride - d.pad_top + p.row, w = column * d.stride - d.pad_left + p.column;
    if (h < 0 || w < 0 || h >= d.in_height || w >= d.in_width) {
        return 0;
    }
    const size_t x = pixel_of(n, h, w, d.in_height, d.in_width, d.in_channels) + (size_t)p.n;
    const size_t y = t * (size_t)d.out_channels + (size_t)p.channel;
    return (double)us_get(b.dy[y]) * (double)us_get(b.x[x]);
}

static __device__ size_t term_count(const struct us_conv_desc &d) {
    const size_t taps = (size_t)d.kernel_height * (size_t)d.kernel_width;
    return d.op == US_CONV_FORWARD ? taps * (size_t)d.in_channels
           : d.op == US_CONV_DATA_GRADIENT
               ? taps * (size_t)d.out_channels
               : (size_t)d.batch * (size_t)d.out_height * (size_t)d.out_width;
}

/* One element of each of `samples` equal stretches: the first, the last, else anywhere. */
static __device__ size_t sample(unsigned i, unsigned samples, size_t count) {
    const size_t first = (size_t)i * count / samples, next = (size_t)(i + 1) * count / samples;
    const unsigned mixed = (i + 1) * 2654435761u;
    const size_t within = i == 0 ? 0 : i + 1 == samples ? next - first - 1 : mixed >> 8;
    return first + within % (next - first);
}

/* Is the element what the sum and conv_plan.h's epilogue make of it? */
template <class T>
static __device__ bool is_right(const struct us_conv_desc &d, const struct tensors<T> &b, size_t at,
                                int channel, double sum, double squares, double tolerance) {
    const double rounding = sizeof(T) == 2 ? 0x1p-7 : 0x1p-17; /* of what sums to more than s */
    const bool forward = d.op == US_CONV_FORWARD, data = d.op == US_CONV_DATA_GRADIENT;
    if (forward && d.bias) {
        sum += (double)b.bias[channel];
        squares += (double)b.bias[channel] * (double)b.bias[channel];
    }
    if ((forward || data) && d.residual) {
        const double residual = (double)us_get(b.residual[at]);
        sum += residual;
        squares += residual * residual;
    }
    if (forward || (data && d.slope != 1)) {
        const double sign = forward ? sum : (double)us_get(b.x[at]);
        sum = sign > 0 ? sum : sum * (double)d.slope;
    }
    return fabs((double)us_get(b.out[at]) - sum) <=
           tolerance * sqrt(squares) + rounding * fabs(sum);
}

template <class T>
static __global__ void __launch_bounds__(THREADS)
    check(struct us_conv_desc d, struct tensors<T> b, size_t count, double tolerance,
          unsigned *wrong) {
    const size_t at = sample(blockIdx.x, gridDim.x, count);
    const struct place p = place_of(d, at);
    const size_t terms = term_count(d);
    double sum = 0, squares = 0;
    for (size_t t = threadIdx.x; t < terms; t += THREADS) {
        const double term = d.op == US_CONV_FORWARD         ? forward_term(d, b, p, t)
                            : d.op == US_CONV_DATA_GRADIENT ? data_term(d, b, p, t)
                                                            : weight_term(d, b, p, t);
        sum += term;
        squares += term * term;
    }
    sum = us_block_sum<THREADS>(sum);
    squares = us_block_sum<THREADS>(squares);
    if (threadIdx.x == 0 && !is_right(d, b, at, p.channel, sum, squares, tolerance)) {
        atomicAdd(wrong, 1u);
    }
}

static size_t result_count(const struct us_conv_desc *d) {
    const size_t batch = (size_t)d->batch, in = (size_t)d->in_channels;
    const size_t out = (size_t)d->out_channels;
    return d->op == US_CONV_FORWARD ? batch * (size_t)d->out_height * (size_t)d->out_width * out
           : d->op == US_CONV_DATA_GRADIENT
               ? batch * (size_t)d->in_height * (size_t)d->in_width * in
               : out * (size_t)d->kernel_height * (size_t)d->kernel_width * in;
}

template <class T>
static cudaError_t start(cudaStream_t stream, const struct us_conv_desc *desc,
                         const struct us_conv_buffers *buffers, double tolerance, unsigned *wrong) {
    const struct tensors<T> b = {
        (const T *)buffers->x, (const T *)buffers->w, (const T *)buffers->dy,
            (const T *)buffers->residual, (const T *)buffers->out, buffers->bias
    };
    const size_t count = result_count(desc);
    const unsigned blocks = count < SAMPLES ? (unsigned)count : SAMPLES;
    return US_LAUNCH((check<T>), blocks, THREADS, stream, *desc, b, count, tolerance, wrong);
}

cudaError_t us_conv_check(cudaStream_t stream, const struct us_conv_desc *desc,
                          const struct us_conv_buffers *buffers, unsigned *wrong) {
    US_CUDA_TRY(cudaMemsetAsync(wrong, 0, sizeof *wrong, stream));
    return desc->type == US_CONV_BF16
               ? start<us_bf16>(stream, desc, buffers, 0x1p-6, wrong)
               : start<float>(stream, desc, buffers, desc->tf32 ? 0x1p-9 : 0x1p-15, wrong);
}
