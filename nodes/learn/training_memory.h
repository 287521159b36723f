/* Whether a training fits before it starts. */
#ifndef US_NODES_LEARN_TRAINING_MEMORY_H
#define US_NODES_LEARN_TRAINING_MEMORY_H

#include "kernels/nn/trainer.h"
#include "nodes/learn/train_params.h"
#include "runtime/base/error.h"

/* What to change in one that does not fit. */
extern const char us_training_memory_hint[];

/* The memory of the trainer of one of `ranks` where the training takes most: a comb at the largest
 * size that it gets to in its steps. config.arch is the whole one; config.comm is not looked at. */
enum us_nn_status us_training_memory(const struct train_params *params,
                                     const struct us_nn_trainer_config *config, int ranks,
                                     struct us_nn_memory *memory);

/* Bytes free now for a trainer of config.device; SIZE_MAX: not known. */
size_t us_training_room(int device);

/* Fails (US_MISSING) with both sizes and the difference when `need` is more than `have`. `device`
 * as in the trainer's configuration. */
struct us_error *us_training_fits(int device, size_t need, size_t have) US_NODISCARD;

#endif
