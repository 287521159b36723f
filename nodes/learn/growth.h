/* How a comb grows while it trains: which size it is at in which step (kernels/nn/arch.h). */
#ifndef US_NODES_LEARN_GROWTH_H
#define US_NODES_LEARN_GROWTH_H

#include "nodes/learn/training.h"

/* Sets size, fading and fade of an architecture to those of a step (counted from 0): sizes double
 * every grow.steps from grow.start to the resolution; each but the first fades in over the first
 * half of its steps. Architectures that do not grow stay as they are. */
void us_growth_at(const struct train_params *params, uint64_t step, struct us_nn_arch *arch);

/* The first step at the size that a step is at; 0 without growth. */
uint64_t us_growth_since(const struct train_params *params, const struct us_nn_arch *arch,
                         uint64_t step);

/* Makes the trainer one of the size that trained step - 1, with the same state. After a state was
 * put into it. */
struct us_error *us_training_fit(struct us_training *training) US_NODISCARD;
/* Makes it one for training->step, before that step; the layers of a size that is new there begin
 * their moving average, and other ranks take over net and state. Once for a step and state: the
 * checkpoint of a step is from before this. */
struct us_error *us_training_grow(struct us_training *training) US_NODISCARD;

/* used[slice] as us_nn_layout_used for the trainer's present size; us_malloc'ed. */
struct us_error *us_training_used(const struct us_training *training, bool **used) US_NODISCARD;

#endif
