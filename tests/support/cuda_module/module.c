/* The CUDA module on the emulation: one device. */
#include <stdio.h>

#include "kernels/cuda/build_number.h"
#include "kernels/cuda/frame_internal.h"
#include "kernels/cuda/module.h"
#include "kernels/cuda/ops_api.h"
#include "kernels/cuda/self_test_internal.h"
#include "kernels/cuda/trainer_api.h"
#include "tests/support/cuda_module/comm.h"

us_cuda_module_function us_cuda_module;

static void versions(struct us_cuda_versions *v) {
    *v = (struct us_cuda_versions){.runtime = CUDART_VERSION, .driver = CUDART_VERSION};
}

static int device_count(const char **why_not) {
    *why_not = "";
    return 1;
}

static enum us_nn_status device(int ordinal, struct us_cuda_device *d) {
    *d = (struct us_cuda_device){.major = 9,
                                 .multiprocessors = 1,
                                 .memory = (size_t)4 << 30,
                                 .memory_free = (size_t)4 << 30};
    snprintf(d->name, sizeof d->name, "Emulation %d", ordinal);
    return US_NN_OK;
}

static enum us_nn_status peaks(int ordinal, struct us_cuda_peaks *p) {
    (void)ordinal, (void)p;
    return US_NN_UNSUPPORTED;
}

const struct us_cuda_module *us_cuda_module(void) {
    static const struct us_cuda_module module = {.abi = US_CUDA_ABI,
                                                 .size = sizeof module,
                                                 .build = US_CUDA_BUILD,
                                                 .versions = versions,
                                                 .device_count = device_count,
                                                 .device = device,
                                                 .self_test = frame_self_test,
                                                 .peaks = peaks,
                                                 .trainer = &us_cuda_trainer_table,
                                                 .frame = &us_cuda_frame_table,
                                                 .comm = &emulated_comm_table,
                                                 .ops = &us_cuda_ops_table};
    return &module;
}
