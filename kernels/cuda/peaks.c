#include <cuda_runtime_api.h>

#include "kernels/cuda/conv_plan.h"
#include "kernels/cuda/device_internal.h"

/* Multiply-adds count twice; 0 when it cannot be measured. */
static double matmul_rate(struct us_conv_planner *planner, enum us_conv_type type, int size) {
    const struct us_conv_desc desc = {.type = type,
                                      .batch = size,
                                      .in_height = 1,
                                      .in_width = 1,
                                      .in_channels = size,
                                      .out_height = 1,
                                      .out_width = 1,
                                      .out_channels = size,
                                      .kernel_height = 1,
                                      .kernel_width = 1,
                                      .stride = 1,
                                      .slope = 1};
    struct us_conv_plan *plan;
    if (us_conv_plan_create(planner, &desc, &plan) != US_NN_OK) {
        return 0;
    }
    const double seconds = (double)us_conv_plan_describe(plan).microseconds * 1e-6;
    us_conv_plan_destroy(plan);
    return seconds > 0 ? 2.0 * size * size * size / seconds : 0;
}

/* Bytes a second of the fastest of some copies; 0 when it cannot be measured. */
static double copy_rate(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind) {
    enum { ROUNDS = 5 };
    cudaEvent_t before = NULL, after = NULL;
    float best = 0, took = 0;
    cudaError_t status = cudaEventCreate(&before);
    status = status == cudaSuccess ? cudaEventCreate(&after) : status;
    for (int i = 0; i < ROUNDS && status == cudaSuccess; i++) {
        if ((status = cudaEventRecord(before, NULL)) == cudaSuccess &&
            (status = cudaMemcpyAsync(to, from, bytes, kind, NULL)) == cudaSuccess &&
            (status = cudaEventRecord(after, NULL)) == cudaSuccess &&
            (status = cudaEventSynchronize(after)) == cudaSuccess &&
            (status = cudaEventElapsedTime(&took, before, after)) == cudaSuccess) {
            best = i > 1 && best < took ? best : took;
        }
    }
    if (before) {
        (void)cudaEventDestroy(before);
    }
    if (after) {
        (void)cudaEventDestroy(after);
    }
    return status == cudaSuccess && best > 0 ? (double)bytes / ((double)best * 1e-3) : 0;
}

static void copies(struct us_cuda_peaks *peaks) {
    const size_t bytes = (size_t)256 << 20;
    void *device = NULL, *other = NULL, *host = NULL;
    if (cudaMalloc(&device, bytes) == cudaSuccess && cudaMalloc(&other, bytes) == cudaSuccess &&
        cudaMallocHost(&host, bytes) == cudaSuccess) {
        peaks->memory = 2 * copy_rate(other, device, bytes, cudaMemcpyDeviceToDevice);
        peaks->up = copy_rate(device, host, bytes, cudaMemcpyHostToDevice);
        peaks->down = copy_rate(host, device, bytes, cudaMemcpyDeviceToHost);
    }
    (void)cudaFree(device);
    (void)cudaFree(other);
    (void)cudaFreeHost(host);
    (void)cudaGetLastError();
}

enum us_nn_status cuda_peaks(int ordinal, struct us_cuda_peaks *peaks) {
    *peaks = (struct us_cuda_peaks){0};
    int before = 0;
    struct us_conv_planner *planner;
    if (cudaGetDevice(&before) != cudaSuccess || cudaSetDevice(ordinal) != cudaSuccess) {
        return US_NN_FAILED;
    }
    enum us_nn_status status = us_conv_planner_create(ordinal, NULL, NULL, &planner);
    if (status == US_NN_OK) {
        peaks->bf16 = matmul_rate(planner, US_CONV_BF16, 8192);
        peaks->f32 = matmul_rate(planner, US_CONV_F32, 4096);
        copies(peaks);
    }
    us_conv_planner_destroy(planner);
    (void)cudaSetDevice(before);
    return status;
}
