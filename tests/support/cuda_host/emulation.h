/* How kernels run without a device.
 *
 * The blocks of a launch run one after another, each in the shared memory of the calling thread.
 * The threads of a block run on stacks of their own, one at a time, from barrier to barrier.
 * A barrier or shuffle that some live thread can never reach ends the program with a message.
 *
 * Correct kernels give the same bytes whatever the order of blocks and threads; tests run them in
 * several (us_emulation_set_order, or US_CUDA_ORDER=up|down|mixed in the environment). */
#ifndef US_TESTS_CUDA_EMULATION_H
#define US_TESTS_CUDA_EMULATION_H

#include "cuda_runtime_api.h"

enum us_emulation_order { US_ORDER_UP, US_ORDER_DOWN, US_ORDER_MIXED };

#ifdef __cplusplus
extern "C" {
#endif
void us_emulation_set_order(enum us_emulation_order order);
/* Bytes of device memory; more is refused. 0: the usual 4 GiB. */
void us_emulation_set_memory(size_t bytes);
/* Bytes of device memory in use. */
size_t us_emulation_used(void);
/* Device memory from here for so many bytes? */
bool us_emulation_is_device(const void *at, size_t bytes);
/* Puts work on a stream: runs it now or, during a capture, with each launch of the graph.
 * `context` is copied. For stand-ins of libraries that launch kernels. */
cudaError_t us_emulation_enqueue(cudaStream_t stream, void (*work)(const void *context),
                                 const void *context, size_t bytes);
#ifdef __cplusplus
}

#include <functional>
#include <tuple>

/* __constinit: without the check of their first use, which sanitizers take for a null pointer. */
extern __constinit thread_local uint3 threadIdx, blockIdx;
extern __constinit thread_local dim3 blockDim, gridDim;
static constexpr int warpSize = 32;

namespace us_emulation {
cudaError_t put(cudaStream_t stream, std::function<void()> work);
cudaError_t check(dim3 blocks, dim3 threads);
void run(dim3 blocks, dim3 threads, const std::function<void()> &kernel);
void block_barrier();
/* Each live lane of the warp gives `size` bytes (at most 8) and gets lane `from`'s. */
void exchange(const void *mine, void *theirs, size_t size, int from);
int lane();
void warp_barrier();

template <class T> T pick(T value, int from) {
    T out;
    exchange(&value, &out, sizeof out, from);
    return out;
}

template <class... P, class... A>
cudaError_t launch(void (*kernel)(P...), dim3 blocks, dim3 threads, cudaStream_t stream,
                   const A &...arguments) {
    const cudaError_t error = check(blocks, threads);
    if (error) {
        return error;
    }
    std::tuple<P...> kept(static_cast<P>(arguments)...);
    return put(stream, [=] { run(blocks, threads, [&] { std::apply(kernel, kept); }); });
}
} // namespace us_emulation

static inline void __syncthreads() {
    us_emulation::block_barrier();
}
static inline void __syncwarp(unsigned = 0xFFFFFFFFu) {
    us_emulation::warp_barrier();
}
static inline void __threadfence() {
}
template <class T> static inline T __shfl_sync(unsigned, T value, int from, int width = 32) {
    const int base = us_emulation::lane() / width * width;
    return us_emulation::pick(value, base + from % width);
}
template <class T> static inline T __shfl_xor_sync(unsigned, T value, int mask, int width = 32) {
    const int from = us_emulation::lane() ^ mask, base = us_emulation::lane() / width * width;
    return us_emulation::pick(value, from < base + width ? from : us_emulation::lane());
}
template <class T> static inline T __shfl_down_sync(unsigned, T value, int by, int width = 32) {
    const int from = us_emulation::lane() + by, base = us_emulation::lane() / width * width;
    return us_emulation::pick(value, from < base + width ? from : us_emulation::lane());
}
template <class T> static inline T __shfl_up_sync(unsigned, T value, int by, int width = 32) {
    const int from = us_emulation::lane() - by, base = us_emulation::lane() / width * width;
    return us_emulation::pick(value, from >= base ? from : us_emulation::lane());
}
static inline unsigned atomicAdd(unsigned *at, unsigned value) {
    const unsigned before = *at;
    *at += value;
    return before;
}
static inline int atomicAdd(int *at, int value) {
    const int before = *at;
    *at += value;
    return before;
}
static inline unsigned atomicOr(unsigned *at, unsigned value) {
    const unsigned before = *at;
    *at |= value;
    return before;
}
static inline int atomicMax(int *at, int value) {
    const int before = *at;
    *at = value > before ? value : before;
    return before;
}
#endif
#endif
