/* Structural similarity, Wang, Bovik, Sheikh and Simoncelli 2004: gaussian window with sigma 1.5
 * (11 samples wide), K1 = 0.01, K2 = 0.03; edges repeat, so that small crops count whole. */
#ifndef US_KERNELS_SSIM_H
#define US_KERNELS_SSIM_H

#include "kernels/view.h"

size_t us_ssim_scratch(int32_t width, int32_t height); /* floats */
/* The similarity at every sample, -1 to 1; `peak` is the range of the values. */
void us_ssim_map(struct us_view a, struct us_view b, struct us_view map, double peak,
                 float *scratch);
/* The same on a device, enqueued on `stream` (a cudaStream_t). */
void us_ssim_map_cuda(struct us_view a, struct us_view b, struct us_view map, double peak,
                      float *scratch, void *stream);

#endif
