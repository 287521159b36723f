/* Sums within a block, in a fixed order. */
#ifndef US_KERNELS_CUDA_REDUCE_H
#define US_KERNELS_CUDA_REDUCE_H

#include <cuda_runtime.h>

/* The sum over the block's threads, valid in thread 0; all THREADS (a multiple of 32, in one
 * dimension) must call. May be called again at once. */
template <int THREADS> static __device__ inline double us_block_sum(double value) {
    __shared__ double warps[THREADS / 32];
    for (int step = 16; step > 0; step /= 2) {
        value += __shfl_down_sync(0xFFFFFFFFu, value, (unsigned)step);
    }
    __syncthreads();
    if (threadIdx.x % 32 == 0) {
        warps[threadIdx.x / 32] = value;
    }
    __syncthreads();
    double sum = 0;
    if (threadIdx.x == 0) {
        for (int i = 0; i < THREADS / 32; i++) {
            sum += warps[i];
        }
    }
    return sum;
}

/* One block: *total = or += the sum of `count` parts. */
template <int THREADS>
static __global__ void us_add_parts(const double *parts, unsigned count, bool add, double *total) {
    double sum = 0;
    for (unsigned i = threadIdx.x; i < count; i += THREADS) {
        sum += parts[i];
    }
    sum = us_block_sum<THREADS>(sum);
    if (threadIdx.x == 0) {
        *total = add ? *total + sum : sum;
    }
}

#endif
