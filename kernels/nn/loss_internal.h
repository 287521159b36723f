/* The losses of one side and their gradients. */
#ifndef US_KERNELS_NN_LOSS_INTERNAL_H
#define US_KERNELS_NN_LOSS_INTERNAL_H

#include <stddef.h>

#include "kernels/nn/dssim_internal.h"
#include "kernels/nn/loss.h"
#include "kernels/nn/status.h"

struct nn_loss {
    struct us_nn_loss_weights weights;
    int size, count, threads; /* resolution, faces of a side, threads that may work */
    int whole; /* faces that means are taken over: count, unless others see the rest of them */
    struct nn_dssim dssim[2];
    int windows;           /* of DSSIM: 1 or 2 */
    float *scratch;        /* for each thread */
    size_t scratch_stride; /* floats */
    float *soft_masks;     /* [count][size][size], what both images are multiplied with */
    double *sums;          /* per plane: DSSIM, square, absolute, mask */
};

struct nn_loss_images {
    const float *image, *mask; /* what the decoder made */
    const float *target, *target_mask;
    const float *priority;                 /* [count][size][size], or NULL */
    float *image_gradient, *mask_gradient; /* both or neither */
};

/* Bytes nn_loss_init takes. */
size_t nn_loss_memory(int size, int count, int threads);
enum us_nn_status nn_loss_init(struct nn_loss *loss, const struct us_nn_loss_weights *weights,
                               int size, int count, int threads);
void nn_loss_finish(struct nn_loss *loss);
/* The same bits for every number of threads. */
struct us_nn_loss_terms nn_loss_run(struct nn_loss *loss, const struct nn_loss_images *images);

/* 2 min(0.5, Gaussian blur of the mask with sigma max(1, size / 32)); edges repeat.
 * scratch: size * size floats. */
void nn_soft_mask(const float *mask, int size, float *out, float *scratch);

#endif
