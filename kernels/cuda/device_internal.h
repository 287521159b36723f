/* The devices of this machine, as module.h offers them. */
#ifndef US_KERNELS_CUDA_DEVICE_INTERNAL_H
#define US_KERNELS_CUDA_DEVICE_INTERNAL_H

#include "kernels/cuda/module.h"

void cuda_versions(struct us_cuda_versions *versions);
int cuda_device_count(const char **why_not);
enum us_nn_status cuda_device(int ordinal, struct us_cuda_device *device);
enum us_nn_status cuda_peaks(int ordinal, struct us_cuda_peaks *peaks);
int cuda_self_test(int ordinal, us_cuda_report *report, void *context);

#endif
