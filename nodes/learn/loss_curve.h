/* A picture of a training's loss. */
#ifndef US_NODES_LEARN_LOSS_CURVE_H
#define US_NODES_LEARN_LOSS_CURVE_H

#include <stddef.h>
#include <stdint.h>

#include "runtime/base/error.h"

/* PNG of both sides' losses over the steps (two values a step, as training.h keeps them): every
 * step faint, the mean of 100 steps bold; logarithmic loss axis. `bytes` is us_malloc'ed. */
struct us_error *us_loss_curve(const float *losses, uint64_t steps, uint8_t **bytes,
                               size_t *size) US_NODISCARD;

#endif
