/* The losses around a discriminator on the device; adversarial_loss.h defines them. Sums are made
 * in double and in a fixed order. */
#ifndef US_KERNELS_NN_ADVERSARIAL_LOSS_CUDA_H
#define US_KERNELS_NN_ADVERSARIAL_LOSS_CUDA_H

#include "kernels/nn/loss.h"
#include "kernels/nn/types_cuda.h"

NN_CUDA_BEGIN

/* The logits of what is true, then as many of what was made; what follows is of each half. */
struct nn_cuda_entropy {
    size_t half;
    float target[2];  /* 1: taken for true, 0: for made */
    float scale[2];   /* of the gradient */
    double weight[2]; /* of the cross entropies in the sum; 0: the half is not looked at, and its
                         gradient is 0 */
};

/* Bytes of scratch for the cross entropies of 2 * half logits. */
size_t nn_cuda_cross_entropy_scratch(size_t half);
/* *sum (device) = or += the weighted cross entropies. `gradient` is written. */
cudaError_t nn_cuda_cross_entropy(const struct nn_cuda_entropy *entropy, const float *logits,
                                  float *gradient, bool add, double *sum, void *scratch,
                                  cudaStream_t stream);

/* What was made and what it should have been, [count][3][size][size] each, and the soft mattes
 * [count][size][size] that both are seen through (NULL: 1 everywhere). */
struct nn_cuda_painting {
    const float *image, *target, *soft;
    int size, count;
};

/* truth = target times soft, made = image times soft. */
cudaError_t nn_cuda_paint(const struct nn_cuda_painting *painting, float *truth, float *made,
                          cudaStream_t stream);

/* Factors of total variation and of the squared error outside the matte: of their gradients, and of
 * their sums. */
struct nn_cuda_calm {
    float variation_scale, outside_scale;
    double variation_weight, outside_weight;
};

/* Bytes of scratch for nn_cuda_pull. */
size_t nn_cuda_pull_scratch(int size, int count);
/* What a discriminator pulls the image towards, and what keeps it calm there: gradient += judged
 * times soft, + the gradients of total variation and of the error outside. `judged` is the gradient
 * of what nn_cuda_paint made. *sum (device) = the weighted sums. */
cudaError_t nn_cuda_pull(const struct nn_cuda_painting *painting, const struct nn_cuda_calm *calm,
                         const float *judged, float *gradient, double *sum, void *scratch,
                         cudaStream_t stream);

/* Sums on the device, weighted. */
struct nn_cuda_judgement {
    double made_as_true, own; /* what it costs the autoencoder, and the discriminator itself */
    double calm;              /* of nn_cuda_pull */
};

/* Sets terms->adversarial and terms->judge and adds the first to the total. */
cudaError_t nn_cuda_adversarial_terms(const struct nn_cuda_judgement *judgement,
                                      struct us_nn_loss_terms *terms, cudaStream_t stream);

NN_CUDA_END

#endif
