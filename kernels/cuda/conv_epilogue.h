/* What follows the sums of a convolution, as a pass of its own. */
#ifndef US_KERNELS_CUDA_CONV_EPILOGUE_H
#define US_KERNELS_CUDA_CONV_EPILOGUE_H

#include <cuda_runtime_api.h>

#include "kernels/cuda/conv_plan.h"

#ifdef __cplusplus
extern "C" {
#endif

/* In place over buffers->out, which holds the bare sums: adds bias and residual and applies the
 * slope as conv_plan.h says for the op (FORWARD or DATA_GRADIENT). */
cudaError_t us_conv_epilogue(cudaStream_t stream, const struct us_conv_desc *desc,
                             const struct us_conv_buffers *buffers);

#ifdef __cplusplus
}
#endif

#endif
