/* What train_swap can be told. */
#ifndef US_NODES_LEARN_TRAIN_PARAMS_H
#define US_NODES_LEARN_TRAIN_PARAMS_H

#include "kernels/augment.h"
#include "kernels/nn/trainer.h"
#include "nodes/learn/dataset_file.h"
#include "runtime/api/params.h"

struct train_params {
    const char *arch, *options;
    int64_t ae_dims, e_dims, d_dims, mask_dims;
    int64_t batch, ranks, pass, steps, seed, holdout;
    const char *exchange;
    double until_loss; /* NaN: none */
    const char *optimizer, *precision, *flip;
    double lr, lr_dropout, clip, average;
    double dssim_weight, square_weight, absolute_weight, mask_weight, priority_weight;
    bool masked;
    double random_warp, rotation, scale, shift, light, hue, saturation, value;
    int64_t settle_after;
    double settle_jitter;
    struct us_strings reset;
    double checkpoint_minutes;
    int64_t checkpoint_steps, checkpoint_keep;
    int64_t grow_start, grow_steps;
    double true_face_power, gan_power;
    int64_t gan_patch, gan_dims;
    int64_t guard_window;
    double guard_factor;
    const char *license, *consent;
};

extern const struct us_param us_train_params[];

/* Parameters that contradict each other, whatever the crops. */
struct us_error *us_train_check(const void *params) US_NODISCARD;

/* What the parameters say of the trainer of faces of that size and encoding, for one rank on the
 * CPU with one thread; nothing is checked. */
void us_train_fill(const struct train_params *params, int size, const char *encoding,
                   int identities, struct us_nn_trainer_config *config);
/* Makes it that of one of `ranks` that share the batch; device and threads as in the configuration.
 */
void us_train_share(const struct train_params *params, int ranks, int device, int threads,
                    struct us_nn_trainer_config *config);
/* Fails when a batch cannot be split among ranks. */
struct us_error *us_ranks_split(const struct train_params *params, int ranks) US_NODISCARD;
/* Fails when no trainer can be made from it. */
struct us_error *us_train_config_problem(const struct us_nn_trainer_config *config) US_NODISCARD;

/* The configuration of the trainer of one of `ranks` that share a batch, for such faces, on the
 * device of struct us_nn_trainer_config; fails when no net can be built from it. */
struct us_error *us_train_config(const struct train_params *params,
                                 const struct us_dataset *dataset, int identities, int threads,
                                 int device, int ranks,
                                 struct us_nn_trainer_config *config) US_NODISCARD;

/* The ranges of one side's variations in a step (they narrow from settle.after on). */
struct us_augment_ranges us_train_ranges(const struct train_params *params, enum us_nn_side side,
                                         uint64_t step);

#endif
