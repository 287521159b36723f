/* DSSIM of planes on the device; dssim_internal.h has the definition. For .cu files. */
#ifndef US_KERNELS_NN_DSSIM_CUDA_INTERNAL_H
#define US_KERNELS_NN_DSSIM_CUDA_INTERNAL_H

#include <cuda_runtime.h>
#include <stddef.h>

enum {
    NN_DSSIM_TAPS = 20, /* of a window of sigma 1.5: what weighs more than 1e-9 of its middle */
    NN_DSSIM_WIDE = 32, /* of a tile */
    NN_DSSIM_HIGH = 16,
};

struct nn_cuda_dssim {
    int size, inner;  /* planes are size x size, the window fits at inner x inner places */
    int first, count; /* of its taps, those that weigh something */
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

/* Sums of SSIM over parts of all planes, and the three maps [planes][3][inner][inner] backward
 * needs (NULL: not wanted). */
cudaError_t nn_cuda_dssim_forward(const struct nn_cuda_dssim *dssim,
                                  const struct nn_cuda_dssim_planes *planes, float *maps,
                                  double *sums, cudaStream_t stream);
/* gradient += weight times the derivative of the sum of SSIM by x soft; then, when `finish`, times
 * soft. */
cudaError_t nn_cuda_dssim_backward(const struct nn_cuda_dssim *dssim,
                                   const struct nn_cuda_dssim_planes *planes, const float *maps,
                                   float weight, bool finish, float *gradient, cudaStream_t stream);

#endif
