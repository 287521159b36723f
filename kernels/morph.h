/* Erosion and dilation of a matte by a radius in fractional pixels.
 *
 * Grey-scale morphology (Serra 1982) with a disc whose rim is a ramp one pixel wide:
 *     eroded(p) = min over q of matte(q) + clamp(|p - q| - radius, 0, 1)
 * so that a binary edge stays an anti-aliased edge, a soft edge keeps its softness, and the result
 * is continuous in the radius; radius 0 gives the matte back. Meant for values of 0 to 1. Samples
 * outside repeat the edge. Cost: pixels x radius. */
#ifndef US_KERNELS_MORPH_H
#define US_KERNELS_MORPH_H

#include "kernels/view.h"

/* Floats of scratch for a plane and a radius of either sign. */
size_t us_matte_grow_scratch(int32_t width, int32_t height, double radius);
/* Dilates for a positive radius, erodes for a negative one. May work in place. */
void us_matte_grow(struct us_view source, struct us_view destination, double radius,
                   float *scratch);

/* The same on a device, enqueued on `stream` (a cudaStream_t), by tables of row minima over powers
 * of two; equal to the other for values that are no NaN. */
size_t us_matte_grow_scratch_cuda(int32_t width, int32_t height, double radius);
void us_matte_grow_cuda(struct us_view source, struct us_view destination, double radius,
                        float *scratch, void *stream);

#endif
