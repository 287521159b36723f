/* How much fine noise a plane holds, and noise of our own, in the log encoding (where grain is
 * about as strong in light as in shade). */
#ifndef US_KERNELS_GRAIN_H
#define US_KERNELS_GRAIN_H

#include "kernels/view.h"

/* Floats of scratch that measuring a plane needs; on a device there are row counts before them. */
size_t us_grain_scratch(int32_t width, int32_t height);
size_t us_grain_scratch_cuda(int32_t width, int32_t height);

/* Standard deviation of the noise of one plane where `weight` is above 0.5: the median absolute
 * Haar diagonal difference over 0.6745 (Donoho and Johnstone 1994), which edges and texture barely
 * move. 0 when there are too few samples. */
double us_grain_measure(struct us_view plane, struct us_view weight, float *scratch);

/* Adds noise of that deviation where `weight` is above 0. The noise at a pixel depends on `seed`
 * and its coordinates, counted from (x_min, y_min), alone. */
void us_grain_add(struct us_view plane, struct us_view weight, double deviation, uint64_t seed,
                  int32_t x_min, int32_t y_min);

/* The deviation that `plane` lacks to reach `share` of what `like` has: share x
 * sqrt(like^2 - plane^2), at least 0. */
double us_grain_lack(double like, double plane, double share);

/* The same on a device, enqueued on `stream` (a cudaStream_t): deviations stay in its memory. */
void us_grain_measure_cuda(struct us_view plane, struct us_view weight, float *scratch,
                           double *deviation, void *stream);
void us_grain_add_cuda(struct us_view plane, struct us_view weight, const double *like,
                       const double *own, double share, uint64_t seed, int32_t x_min, int32_t y_min,
                       void *stream);

#endif
