#include <cuda_runtime_api.h>
#include <stdint.h>

#include "kernels/cuda/device_internal.h"
#include "kernels/cuda/self_test_internal.h"
#include "kernels/nn/memory.h"

enum { BYTES = 1 << 20 };

static cudaError_t there_and_back(const uint8_t *from, uint8_t *to) {
    void *block;
    cudaError_t status = cudaMalloc(&block, BYTES);
    if (status == cudaSuccess) {
        status = cudaMemcpy(block, from, BYTES, cudaMemcpyHostToDevice);
        if (status == cudaSuccess) {
            status = cudaMemcpy(to, block, BYTES, cudaMemcpyDeviceToHost);
        }
        (void)cudaFree(block);
    }
    return status;
}

static const char *copy(void) {
    uint8_t *bytes = us_nn_alloc(2 * BYTES);
    if (!bytes) {
        return "out of memory";
    }
    for (uint32_t i = 0; i < BYTES; i++) {
        bytes[i] = (uint8_t)(i * 2654435761u >> 24);
    }
    cudaError_t status = there_and_back(bytes, bytes + BYTES);
    const char *error = status == cudaSuccess ? NULL : cudaGetErrorString(status);
    for (uint32_t i = 0; i < BYTES && !error; i++) {
        error = bytes[i] == bytes[BYTES + i] ? NULL : "bytes come back changed";
    }
    us_nn_free(bytes);
    return error;
}

int copy_self_test(us_cuda_report *report, void *context) {
    const char *error = copy();
    report(context, "copy", error);
    return error != NULL;
}

int cuda_self_test(int ordinal, us_cuda_report *report, void *context) {
    int before = 0, bad = 0;
    cudaError_t status = cudaGetDevice(&before);
    status = status == cudaSuccess ? cudaSetDevice(ordinal) : status;
    if (status != cudaSuccess) {
        report(context, "device", cudaGetErrorString(status));
        return 1;
    }
    bad += copy_self_test(report, context);
    bad += conv_self_test(ordinal, report, context);
    bad += frame_self_test(ordinal, report, context);
    (void)cudaSetDevice(before);
    return bad;
}
