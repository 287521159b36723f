/* Losses that are not finite stop an update as gradients do. */
#ifndef US_KERNELS_CUDA_JUDGE_H
#define US_KERNELS_CUDA_JUDGE_H

#include "kernels/nn/loss.h"
#include "kernels/nn/types_cuda.h"

NN_CUDA_BEGIN

/* *square_sum becomes NaN when the total of one of `count` is not finite. */
cudaError_t cu_judge(const struct us_nn_loss_terms *terms, int count, double *square_sum,
                     cudaStream_t stream);
/* When one of the sums is not finite, none of them is. */
cudaError_t cu_judge_together(double *square_sum, double *others, int count, cudaStream_t stream);

NN_CUDA_END

#endif
