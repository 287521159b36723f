/* Gaussian blur, separable, samples outside repeat the edge. Any sigma; the kernel is cut at 3.5
 * sigma and normalised, so a constant stays constant. Cost: pixels x sigma. */
#ifndef US_KERNELS_BLUR_H
#define US_KERNELS_BLUR_H

#include "kernels/view.h"

/* Floats of scratch that us_gaussian_blur needs for a plane. */
size_t us_blur_scratch(int32_t width, int32_t height, double sigma);
/* How far a sample spreads. */
int32_t us_blur_radius(double sigma);
/* `source` and `destination` have one size and may be one plane. A sigma below 0.05 copies. */
void us_gaussian_blur(struct us_view source, struct us_view destination, double sigma,
                      float *scratch);
/* The same on a device, enqueued on `stream` (a cudaStream_t); `scratch` in its memory. */
size_t us_gaussian_blur_scratch_cuda(int32_t width, int32_t height, double sigma);
void us_gaussian_blur_cuda(struct us_view source, struct us_view destination, double sigma,
                           float *scratch, void *stream);

#endif
