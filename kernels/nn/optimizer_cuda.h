/* The optimizers of optimizer.h on the device.
 *
 *     nn_cuda_sum_of_squares(...);      of each part of the gradients
 *     nn_cuda_optimizer_begin(...);     once: counts the step, unless a gradient is not finite
 *     nn_cuda_optimizer_step(...);      each part of the parameters
 *
 * All that changes from step to step lies in a struct nn_cuda_clock on the device, so that the
 * three can be captured once and replayed. */
#ifndef US_KERNELS_NN_OPTIMIZER_CUDA_H
#define US_KERNELS_NN_OPTIMIZER_CUDA_H

#include "kernels/nn/optimizer.h"
#include "kernels/nn/types_cuda.h"

NN_CUDA_BEGIN

/* In device memory. The caller sets `step` and `rate` when it likes; the rest is written here. */
struct nn_cuda_clock {
    uint64_t step;     /* done so far */
    uint64_t refused;  /* steps in which a gradient was NaN or infinite: nothing moved */
    double square_sum; /* of this step's gradients times their scale, before clipping */
    float rate;
    float step_rate, gradient_scale, correct1, correct2; /* of this step */
    uint32_t moves;                                      /* 0: this step is refused */
};

/* Bytes of scratch for sums over `count` gradients. */
size_t nn_cuda_sum_scratch(size_t count);

/* *sum (device) = or += the sum of squares of (values times scale); the same bits for the same
 * count always. scale: 1 / world size where gradients were added over ranks, else 1. */
cudaError_t nn_cuda_sum_of_squares(enum nn_cuda_type type, const void *values, size_t count,
                                   float scale, bool add, double *sum, void *scratch,
                                   cudaStream_t stream);

/* Takes *square_sum into the clock and works out the step: its number, rate, clipping and bias
 * correction. `gradient_scale` as above. */
cudaError_t nn_cuda_optimizer_begin(const struct us_nn_optimizer *optimizer,
                                    struct nn_cuda_clock *clock, const double *square_sum,
                                    float gradient_scale, cudaStream_t stream);

/* A run of parameters; each buffer starts at a multiple of 16 bytes. */
struct nn_cuda_parameters {
    float *parameters, *moment1, *moment2;
    float *average;        /* or NULL */
    const void *gradients; /* of gradient_type */
    enum nn_cuda_type gradient_type;
    void *copy; /* the parameters in bfloat16, for the convolutions; or NULL */
    size_t count;
    uint64_t first; /* number of the first parameter, for rate dropout; a multiple of 4 */
};

/* With rate dropout the parameter number i draws what number i of a flat buffer draws in
 * us_nn_optimizer_step. */
cudaError_t nn_cuda_optimizer_step(const struct us_nn_optimizer *optimizer,
                                   const struct nn_cuda_parameters *parameters,
                                   const struct nn_cuda_clock *clock, uint64_t seed,
                                   cudaStream_t stream);

NN_CUDA_END

#endif
