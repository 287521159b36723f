/* Launches and copies are many and fail rarely: a thread notes its first error and asks once. */
#ifndef US_KERNELS_CUDA_NOTE_H
#define US_KERNELS_CUDA_NOTE_H

#include <cuda_runtime_api.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Keeps this thread's first error that is none of cudaSuccess. */
void us_cuda_note(cudaError_t error);
/* Gives it, or cudaSuccess, and forgets it. */
cudaError_t us_cuda_noted(void);

#ifdef __cplusplus
}
#endif

#endif
