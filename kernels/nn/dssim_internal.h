/* DSSIM of two planes and its gradient; see kernels/nn/loss.h for the definition. */
#ifndef US_KERNELS_NN_DSSIM_INTERNAL_H
#define US_KERNELS_NN_DSSIM_INTERNAL_H

#include <stddef.h>

#define NN_DSSIM_WINDOW 96 /* the largest */

struct nn_dssim {
    int size;    /* planes are size x size */
    int window;  /* 1 to min(size, NN_DSSIM_WINDOW) */
    float range; /* of the values, 1 after init */
    float taps[NN_DSSIM_WINDOW];
};

void nn_dssim_init(struct nn_dssim *dssim, int size, int window);

/* Floats of scratch that one plane needs. */
size_t nn_dssim_scratch(const struct nn_dssim *dssim);

/* The mean over the plane of (1 - SSIM) / 2 between x and y, and `weight` times its gradient in x
 * added to `gradient` (NULL: no gradient). */
double nn_dssim_plane(const struct nn_dssim *dssim, const float *x, const float *y, float weight,
                      float *gradient, float *scratch);

#endif
