/* The losses around a discriminator. Each returns a sum in double and, when asked, writes or adds a
 * gradient; the same bits for every number of threads. */
#ifndef US_KERNELS_NN_ADVERSARIAL_LOSS_H
#define US_KERNELS_NN_ADVERSARIAL_LOSS_H

#include <stddef.h>

/* Weights of the last two of these beside a face judge (trainer.h). */
#define NN_VARIATION_WEIGHT 1e-6f
#define NN_OUTSIDE_WEIGHT 0.02f

/* Sum of -t log p - (1 - t) log(1 - p) over logits, p = sigmoid of the logit, t = 0 or 1 for all.
 * `gradient` (NULL: not wanted) is written: scale (p - t). */
double nn_cross_entropy(const float *logits, size_t count, float t, float scale, float *gradient);

/* Total variation: the sum of the squared differences to the right and to below, of one plane.
 * Adds scale times its gradient. */
double nn_total_variation(const float *plane, int size, float scale, float *gradient);

/* Squared error outside a mask: the sum of ((1 - mask) (x - y))^2. Adds scale times its gradient
 * (to x). */
double nn_outside_error(const float *x, const float *y, const float *mask, size_t count,
                        float scale, float *gradient);

#endif
