#include <cuda_runtime_api.h>
#include <cudnn.h>
#include <nccl.h>
#include <stdio.h>
#include <string.h>

#include "kernels/cuda/device_internal.h"

enum { LEAST_MAJOR = 9 }; /* the oldest compute capability this module has code for */

void cuda_versions(struct us_cuda_versions *versions) {
    *versions = (struct us_cuda_versions){.cudnn = (int)cudnnGetVersion()};
    if (cudaRuntimeGetVersion(&versions->runtime) != cudaSuccess) {
        versions->runtime = 0;
    }
    if (cudaDriverGetVersion(&versions->driver) != cudaSuccess) {
        versions->driver = 0;
    }
    if (ncclGetVersion(&versions->nccl) != ncclSuccess) {
        versions->nccl = 0;
    }
}

static const char *why_none(cudaError_t status) {
    static _Thread_local char text[256];
    switch (status) {
    case cudaErrorInsufficientDriver: {
        int driver = 0, runtime = 0;
        (void)cudaDriverGetVersion(&driver);
        (void)cudaRuntimeGetVersion(&runtime);
        if (driver == 0) {
            return "no NVIDIA driver is installed";
        }
        snprintf(text, sizeof text, "the NVIDIA driver is for CUDA %d.%d, wanted %d.0 or newer",
                 driver / 1000, driver % 1000 / 10, runtime / 1000);
        return text;
    }
    case cudaErrorNoDevice:
        return "the NVIDIA driver finds no device";
    default:
        snprintf(text, sizeof text, "the NVIDIA driver says: %s", cudaGetErrorString(status));
        return text;
    }
}

int cuda_device_count(const char **why_not) {
    int count = 0, usable = 0, major = 0;
    cudaError_t status = cudaGetDeviceCount(&count);
    if (status != cudaSuccess) {
        *why_not = why_none(status);
        return 0;
    }
    while (usable < count &&
           cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, usable) ==
               cudaSuccess &&
           major >= LEAST_MAJOR) {
        usable++;
    }
    *why_not = usable      ? ""
               : count > 0 ? "its compute capability is under 9.0"
                           : "the NVIDIA driver finds no device";
    return usable;
}

enum us_nn_status cuda_device(int ordinal, struct us_cuda_device *device) {
    *device = (struct us_cuda_device){0};
    struct cudaDeviceProp properties;
    int before = 0;
    if (cudaGetDeviceProperties(&properties, ordinal) != cudaSuccess ||
        cudaDeviceGetPCIBusId(device->bus, sizeof device->bus, ordinal) != cudaSuccess ||
        cudaGetDevice(&before) != cudaSuccess || cudaSetDevice(ordinal) != cudaSuccess) {
        return US_NN_FAILED;
    }
    snprintf(device->name, sizeof device->name, "%s", properties.name);
    device->major = properties.major;
    device->minor = properties.minor;
    device->multiprocessors = properties.multiProcessorCount;
    cudaError_t status = cudaMemGetInfo(&device->memory_free, &device->memory);
    (void)cudaSetDevice(before);
    return status == cudaSuccess ? US_NN_OK : US_NN_FAILED;
}
