/* Whether what computes a convolution computes it: some elements of a result against sums in
 * double. Plans come from a library in many hundreds; one that is wrong, or less precise than asked
 * for, is often the fastest. */
#ifndef US_KERNELS_CUDA_CONV_CHECK_H
#define US_KERNELS_CUDA_CONV_CHECK_H

#include <cuda_runtime_api.h>

#include "kernels/cuda/conv_plan.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Enqueues: *wrong (on the device) = how many of up to 512 elements of buffers->out, spread over
 * all of it, are not what conv_plan.h says. With s the root of the sum of the squares of what is
 * added up to v, they may be off by s / 64 + |v| / 128 in bf16, by s / 512 in f32 with TF32, else
 * by s / 2^15 + |v| / 2^17: TF32 is off by about s / 2^13. NaN is wrong. */
cudaError_t us_conv_check(cudaStream_t stream, const struct us_conv_desc *desc,
                          const struct us_conv_buffers *buffers, unsigned *wrong);

#ifdef __cplusplus
}
#endif

#endif
