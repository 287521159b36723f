/* One thread an item, for kernels whose items do not depend on one another. */
#ifndef US_KERNELS_CUDA_GRID_INTERNAL_H
#define US_KERNELS_CUDA_GRID_INTERNAL_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/cuda/launch.h"
#include "kernels/cuda/note.h"

enum { GRID_THREADS = 256 };

static __device__ inline size_t grid_index(void) {
    return US_THREAD_INDEX;
}

/* Launches (errors are noted: note.h) `kernel` with at least `count` threads, whose place is
 * grid_index(); nothing for 0. */
#define GRID_LAUNCH(kernel, count, stream, ...)                                                    \
    do {                                                                                           \
        if ((count) > 0) {                                                                         \
            us_cuda_note(US_LAUNCH(kernel, us_blocks((size_t)(count), GRID_THREADS), GRID_THREADS, \
                                   (cudaStream_t)(stream), __VA_ARGS__));                          \
        }                                                                                          \
    } while (0)

/* Launches one block. */
#define BLOCK_LAUNCH(kernel, threads, stream, ...) \
    us_cuda_note(US_LAUNCH(kernel, 1, (threads), (cudaStream_t)(stream), __VA_ARGS__))

#endif
