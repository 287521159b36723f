#include "kernels/cuda/bf16.h"
#include "kernels/cuda/conv_epilogue.h"
#include "kernels/cuda/divide.h"
#include "kernels/cuda/launch.h"

/* Units of eight channels, THREADS apart, DEPTH of them a thread. Bound by memory: every map is
 * read and the result written once, in 16 bytes an access, and all reads of a thread are under way
 * at once; only the bias comes from the cache, with a remainder that needs no division. */
#define THREADS 256
#define BLOCKS(T)                                                                   \
    (8 / (int)sizeof(T)) /* a multiprocessor: registers for DEPTH loads of each map \
                          */
#define DEPTH 4
#define PART (THREADS * DEPTH)

namespace {
struct pass {
    unsigned total, octets; /* units in all and of a pixel */
    struct us_divisor by_octets;
    float slope;
};
} // namespace

/* The unit that this thread takes k-th; the last one again behind the end. */
static __device__ unsigned unit(const struct pass &p, unsigned k) {
    return min(blockIdx.x * PART + k * THREADS + threadIdx.x, p.total - 1);
}

static __device__ bool owns(const struct pass &p, unsigned k) {
    return blockIdx.x * PART + k * THREADS + threadIdx.x < p.total;
}

/* Adds the bias of unit i. */
static __device__ void add_bias(const struct pass &p, const float *bias, unsigned i, float v[8]) {
    float b[8];
    us_load8(bias + 8 * (i - us_divide(i, p.by_octets) * p.octets), b);
    US_UNROLL
    for (int c = 0; c < 8; c++) {
        v[c] += b[c];
    }
}

/* `bias` may be NULL. `sign` holds the values whose sign decides when SIGN, else the sum's own
 * does. */
template <typename T, bool RESIDUAL, bool SIGN>
static __global__ void __launch_bounds__(THREADS, BLOCKS(T) - (RESIDUAL && SIGN))
    epilogue(T *out, const float *bias, const T *residual, const T *sign, struct pass p) {
    float v[DEPTH][8], more[DEPTH][8], other[DEPTH][8];
    US_UNROLL
    for (unsigned k = 0; k < DEPTH; k++) {
        const size_t at = (size_t)unit(p, k) * 8;
        us_load8(out + at, v[k]);
        if (RESIDUAL) {
            us_load8(residual + at, more[k]);
        }
        if (SIGN) {
            us_load8(sign + at, other[k]);
        }
    }
    US_UNROLL
    for (unsigned k = 0; k < DEPTH; k++) {
        if (bias) {
            add_bias(p, bias, unit(p, k), v[k]);
        }
        US_UNROLL
        for (int c = 0; c < 8; c++) {
            const float sum = RESIDUAL ? v[k][c] + more[k][c] : v[k][c];
            v[k][c] = (SIGN ? other[k][c] : sum) > 0 ? sum : p.slope * sum;
        }
        if (owns(p, k)) {
            us_store8(out + (size_t)unit(p, k) * 8, v[k]);
        }
    }
}

#define START(residuals, signs)                                                                \
    US_LAUNCH((epilogue<T, residuals, signs>), us_blocks(p.total, PART), THREADS, stream, out, \
              bias, residual, sign, p)

template <typename T>
static cudaError_t run(cudaStream_t stream, const struct us_conv_desc *desc,
                       const struct us_conv_buffers *buffers) {
    const bool forward = desc->op == US_CONV_FORWARD;
    const unsigned octets = (unsigned)(forward ? desc->out_channels : desc->in_channels) / 8;
    const size_t pixels = (size_t)desc->batch *
                          (size_t)(forward ? desc->out_height : desc->in_height) *
                          (size_t)(forward ? desc->out_width : desc->in_width);
    if (octets == 0 || pixels == 0 || pixels * octets >= (size_t)1 << 31) {
        return cudaErrorInvalidValue; /* too many to count, 32 GiB */
    }
    const struct pass p = {(unsigned)(pixels * octets), octets, us_divisor_of(octets), desc->slope};
    T *out = (T *)buffers->out;
    const float *bias = forward && desc->bias ? buffers->bias : NULL;
    const T *residual = desc->residual ? (const T *)buffers->residual : NULL;
    const T *sign = !forward && desc->slope != 1 ? (const T *)buffers->x : NULL;
    if (residual) {
        return sign ? START(true, true) : START(true, false);
    }
    return sign ? START(false, true) : START(false, false);
}

cudaError_t us_conv_epilogue(cudaStream_t stream, const struct us_conv_desc *desc,
                             const struct us_conv_buffers *buffers) {
    return desc->type == US_CONV_BF16 ? run<us_bf16>(stream, desc, buffers)
                                      : run<float>(stream, desc, buffers);
}
