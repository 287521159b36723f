/* How much fine noise an image holds, and noise of our own, in the log encoding (where grain is
 * about as strong in light as in shade). */
#ifndef US_NODES_COMP_GRAIN_H
#define US_NODES_COMP_GRAIN_H

#include "kernels/view.h"
#include "runtime/base/hash.h"

/* Standard deviation of the noise of one plane where `weight` is above 0.5: the median absolute
 * Haar diagonal difference over 0.6745 (Donoho and Johnstone 1994), which edges and texture barely
 * move. 0 when there are too few samples. */
double us_grain_measure(struct us_view plane, struct us_view weight);

/* Adds noise of that deviation where `weight` is above 0. The noise at a pixel depends on `seed`,
 * `channel` and its plate coordinates alone. */
void us_grain_add(struct us_view plane, struct us_view weight, double deviation,
                  const struct us_digest *seed, int channel, int32_t x_min, int32_t y_min);

#endif
