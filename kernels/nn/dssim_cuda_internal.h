/* DSSIM of planes on the device; dssim_internal.h has the definition. For .cu files. */
#ifndef US_KERNELS_NN_DSSIM_CUDA_INTERNAL_H
#define US_KERNELS_NN_DSSIM_CUDA_INTERNAL_H

#include <cuda_runtime.h>
#include <stddef.h>

enum {
    NN_DSSIM_TAPS = 20, /* most of a window that weigh more than 1e-9 of its middle; sigma is 1.5 */
    NN_DSSIM_WIDE = 256, /* of a tile */
    NN_DSSIM_HIGH = 8,
};

struct nn_cuda_dssim {
    int size, inner;  /* planes are size x size, the window fits at inner x inner places */
    int first, count; /* of its taps, those that weigh something */
    int pitch;        /* inner, rounded up to a multiple of 8 */
    int wide, shift;  /* columns that a tile makes; backward: where the maps begin in it */
    float c1, c2;
    float taps[NN_DSSIM_TAPS];
};

/* What is compared: planes [planes][size][size], times soft masks [planes / 3][size][size] (NULL:
 * as they are). */
struct nn_cuda_dssim_planes {
    const float *x, *y, *soft;
    int planes;
};

struct nn_cuda_dssim nn_cuda_dssim_of(int size, int window, float range);

/* Blocks of the forward pass: one partial sum each. */
size_t nn_cuda_dssim_blocks(const struct nn_cuda_dssim *dssim, int planes);

/* Floats of the maps that forward leaves for backward, at a multiple of 16 bytes. */
size_t nn_cuda_dssim_maps(const struct nn_cuda_dssim *dssim, int planes);

/* Sums of SSIM over parts of all planes, and its derivatives at each place of the window by three
 * means, eight places of each together: maps [planes][inner][pitch / 8][3][8] (NULL: not wanted).
 */
cudaError_t nn_cuda_dssim_forward(const struct nn_cuda_dssim *dssim,
                                  const struct nn_cuda_dssim_planes *planes, float *maps,
                                  double *sums, cudaStream_t stream);
/* gradient += weight times the derivative of the sum of SSIM by x soft; then, when `finish`, times
 * soft. */
cudaError_t nn_cuda_dssim_backward(const struct nn_cuda_dssim *dssim,
                                   const struct nn_cuda_dssim_planes *planes, const float *maps,
                                   float weight, bool finish, float *gradient, cudaStream_t stream);

#endif
