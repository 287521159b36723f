/* The losses of one identity and their gradients on the device; loss.h has the definition. */
#ifndef US_KERNELS_NN_LOSS_CUDA_H
#define US_KERNELS_NN_LOSS_CUDA_H

#include "kernels/nn/loss.h"
#include "kernels/nn/types_cuda.h"

NN_CUDA_BEGIN

/* As struct nn_loss_images, on the device: all planar floats. */
struct nn_cuda_loss_images {
    const float *image, *mask; /* what the decoder made; mask NULL: it makes none */
    const float *target, *target_mask;
    const float *priority;                 /* [count][size][size], or NULL */
    float *image_gradient, *mask_gradient; /* written, not added; both NULL: none wanted */
};

/* Bytes of device memory that nn_cuda_loss needs, for `count` faces of size x size. */
size_t nn_cuda_loss_scratch(int size, int count);

/* *terms (device memory) = the weighted terms, without a discriminator's. The gradients are of
 * terms->total times `scale`. */
cudaError_t nn_cuda_loss(const struct us_nn_loss_weights *weights, int size, int count, float scale,
                         const struct nn_cuda_loss_images *images, struct us_nn_loss_terms *terms,
                         void *scratch, cudaStream_t stream);

/* As nn_soft_mask (loss_internal.h) makes them of each of [count][size][size]; `half` has room for
 * as many. */
cudaError_t nn_cuda_soft_mask(const float *masks, int size, int count, float *half, float *soft,
                              cudaStream_t stream);

NN_CUDA_END

#endif
