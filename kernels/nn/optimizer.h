/* Optimizers over flat buffers.
 *
 * Adam (Kingma and Ba 2015), with bias correction. AdaBelief (Zhuang et al. 2020) in the form
 * the field trains with: m = b1 m + (1 - b1) g, v = b2 v + (1 - b2) (g - m)^2,
 * w -= rate m / (sqrt(v) + epsilon), without bias correction. */
#ifndef US_KERNELS_NN_OPTIMIZER_H
#define US_KERNELS_NN_OPTIMIZER_H

#include <stddef.h>
#include <stdint.h>

enum us_nn_optimizer_kind { US_NN_ADAM, US_NN_ADABELIEF };

struct us_nn_optimizer {
    enum us_nn_optimizer_kind kind;
    float rate;          /* usually 5e-5 */
    float beta1, beta2;  /* usually 0.9 and 0.999 */
    float epsilon;       /* usually 1e-8 for Adam, 1e-6 for AdaBelief */
    float rate_dropout;  /* 0: off; else the chance that a weight moves in a step, usually 0.3; the
                            rate then also swings as (cos(2 pi step / 500) + 1) / 2 */
    float clip_norm;     /* 0: off; else the largest global norm of the gradient, usually 1 */
    float average_decay; /* 0: no moving average of the weights; else its decay, 0.999 */
};

/* The usual settings above, without dropout, clipping and average. */
struct us_nn_optimizer us_nn_optimizer_usual(enum us_nn_optimizer_kind kind);

/* The buffers of one optimizer, `count` floats each; average may be NULL. */
struct us_nn_optimizer_state {
    float *parameters, *moment1, *moment2, *average;
    const float *gradients;
    size_t count;
};

/* Sum of squares of the gradients; the same bits for every thread count. NaN or infinity in one
 * element shows in the result. */
double us_nn_sum_of_squares(const float *values, size_t count);

/* Step number `step` (the first is 1) in one pass. `square_sum` as above; seed keys the dropout. */
void us_nn_optimizer_step(const struct us_nn_optimizer *optimizer,
                          const struct us_nn_optimizer_state *state, uint64_t step,
                          double square_sum, uint64_t seed);

#endif
