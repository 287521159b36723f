/* How every kernel is started.
 *
 *     cudaError_t error = US_LAUNCH(kernel, blocks, threads, stream, argument, ...);
 *     cudaError_t error = US_LAUNCH((kernel<float>), blocks, threads, stream, argument, ...);
 *
 * Blocks and threads are numbers or dim3. The value is the error of the launch itself; what a
 * kernel does wrong while it runs shows when the stream is synchronized. Kernels use shared memory
 * in arrays of fixed size and no atomics on floats, so that results do not depend on scheduling;
 * the same sources run in tests without a device (tests/support/cuda_host), where structs that
 * kernels take must lie in an unnamed namespace. */
#ifndef US_KERNELS_CUDA_LAUNCH_H
#define US_KERNELS_CUDA_LAUNCH_H

#include <cuda_runtime.h>
#include <stddef.h>

#ifdef US_CUDA_EMULATED
#define US_LAUNCH(kernel, blocks, threads, stream, ...) \
    us_emulation::launch(kernel, (blocks), (threads), (stream), __VA_ARGS__)
#else
static inline cudaError_t us_launched() {
    return cudaGetLastError();
}
#define US_LAUNCH(kernel, blocks, threads, stream, ...) \
    (kernel<<<(blocks), (threads), 0, (stream)>>>(__VA_ARGS__), us_launched())
#endif

/* Returns the error to the caller, if there is one. */
#define US_CUDA_TRY(call)                 \
    do {                                  \
        const cudaError_t tried = (call); \
        if (tried != cudaSuccess) {       \
            return tried;                 \
        }                                 \
    } while (0)

/* Before a loop of constant length whose indices must be known to the compiler. */
#ifdef __CUDACC__
#define US_UNROLL _Pragma("unroll")
#else
#define US_UNROLL
#endif

/* Blocks of `threads` for one thread an item. */
static inline unsigned us_blocks(size_t items, unsigned threads) {
    return (unsigned)((items + threads - 1) / threads);
}

/* The number of this thread among all of a launch, in one dimension. */
#define US_THREAD_INDEX ((size_t)blockIdx.x * blockDim.x + threadIdx.x)

#endif
