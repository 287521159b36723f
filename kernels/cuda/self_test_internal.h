/* The parts of the self-test that cuda_self_test runs, each on the current device. */
#ifndef US_KERNELS_CUDA_SELF_TEST_INTERNAL_H
#define US_KERNELS_CUDA_SELF_TEST_INTERNAL_H

#include "kernels/cuda/module.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Bytes to the device and back. */
int copy_self_test(us_cuda_report *report, void *context);
/* Every op and type of conv_plan.h against plain loops in double. */
int conv_self_test(int ordinal, us_cuda_report *report, void *context);
/* Image kernels and the face networks' operators, against the processor's. */
int frame_self_test(int ordinal, us_cuda_report *report, void *context);

#ifdef __cplusplus
}
#endif

#endif
