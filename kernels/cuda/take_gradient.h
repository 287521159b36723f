/* A layer's weight gradient on its way into the gradient arena. */
#ifndef US_KERNELS_CUDA_TAKE_GRADIENT_H
#define US_KERNELS_CUDA_TAKE_GRADIENT_H

#include "kernels/nn/types_cuda.h"

NN_CUDA_BEGIN

/* gradient = dw (+ gradient, when `add`), times the mask when there is one; `count` is a multiple
 * of 8. `dw` may be the gradient's memory when their types are the same. */
cudaError_t cu_take_gradient(enum nn_cuda_type type, const void *dw, const float *mask, bool add,
                             enum nn_cuda_type gradient_type, void *gradient, size_t count,
                             cudaStream_t stream);

NN_CUDA_END

#endif
