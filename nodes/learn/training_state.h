/* Saving and restoring a training (training.h). */
#ifndef US_NODES_LEARN_TRAINING_STATE_H
#define US_NODES_LEARN_TRAINING_STATE_H

#include "nodes/learn/training.h"

/* Mean over at most `window` steps before `step` of one side's losses; 0 at step 0. */
double us_losses_mean(const float *losses, uint64_t step, uint64_t window, int side);

/* Begins to write a checkpoint (training->writer); *finite is false, and nothing is written, when a
 * number in the state is not finite. An error is also one of the checkpoint before. */
struct us_error *us_training_save(struct us_training *training, bool final,
                                  bool *finite) US_NODISCARD;
/* Says that a checkpoint could not be written; takes the error, or NULL. */
void us_training_warn(struct us_training *training, struct us_error *error);
/* Waits for the checkpoint that is being written, and warns when it could not be. */
void us_training_settle(struct us_training *training);

/* All buffers of the trainer, into a zeroed state, and back into it. */
struct us_error *us_training_read(const struct us_training *training,
                                  struct us_checkpoint *state) US_NODISCARD;
struct us_error *us_training_write(struct us_training *training,
                                   const struct us_checkpoint *state) US_NODISCARD;

/* Puts the training into the newest usable checkpoint that an uninterrupted training to the target
 * would have passed, or at its start. */
struct us_error *us_training_resume(struct us_training *training, const float *init) US_NODISCARD;

/* The same for at most `limit` steps. */
struct us_error *us_training_restore(struct us_training *training, uint64_t limit,
                                     const float *init) US_NODISCARD;

/* Fills training->parameters with what the model is made of now: the moving average, or the weights
 * when there is none. */
struct us_error *us_training_parameters(struct us_training *training) US_NODISCARD;

/* How a trainer's creation went, `us_nn_trainer_create(&t->config, ...)`: without memory on a GPU,
 * what it wanted and what there is. */
struct us_error *us_training_built(const struct us_training *t,
                                   enum us_nn_status status) US_NODISCARD;

#endif
