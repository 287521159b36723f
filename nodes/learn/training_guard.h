/* What a training does when its numbers go wrong (training.h): it goes back to a checkpoint from
 * before and on from there with other variations, a few times, then it ends with an error. */
#ifndef US_NODES_LEARN_TRAINING_GUARD_H
#define US_NODES_LEARN_TRAINING_GUARD_H

#include "nodes/learn/loss_guard.h"
#include "nodes/learn/training.h"

enum { US_TRAINING_RETURNS = 3 }; /* without getting beyond the trouble */

struct us_loss_guard us_training_loss_guard(const struct us_training *training);

/* Because a number is not finite; `why` says which. */
struct us_error *us_training_not_finite(struct us_training *training, const float *init,
                                        const char *why) US_NODISCARD;

/* Looks at the losses after a step and goes back when they jumped. */
struct us_error *us_training_look(struct us_training *training, const float *init) US_NODISCARD;

#endif
