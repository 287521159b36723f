#include "kernels/cuda/module.h"

#include "kernels/cuda/build_number.h"
#include "kernels/cuda/comm_api.h"
#include "kernels/cuda/device_internal.h"
#include "kernels/cuda/frame_internal.h"
#include "kernels/cuda/ops_api.h"
#include "kernels/cuda/trainer_api.h"

us_cuda_module_function us_cuda_module;

__attribute__((visibility("default"))) const struct us_cuda_module *us_cuda_module(void) {
    static const struct us_cuda_module module = {
        .abi = US_CUDA_ABI,
        .size = sizeof module,
        .build = US_CUDA_BUILD,
        .versions = cuda_versions,
        .device_count = cuda_device_count,
        .device = cuda_device,
        .self_test = cuda_self_test,
        .peaks = cuda_peaks,
        .trainer = &us_cuda_trainer_table,
        .frame = &us_cuda_frame_table,
        .comm = &us_cuda_comm_table,
        .ops = &us_cuda_ops_table,
    };
    return &module;
}
