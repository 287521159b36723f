#include "kernels/cuda/note.h"

static _Thread_local cudaError_t first = cudaSuccess;

void us_cuda_note(cudaError_t error) {
    first = first == cudaSuccess ? error : first;
}

cudaError_t us_cuda_noted(void) {
    cudaError_t error = first;
    first = cudaSuccess;
    return error;
}
