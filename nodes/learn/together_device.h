/* Ranks that compute on CUDA devices add gradients up through NCCL. */
#ifndef US_NODES_LEARN_TOGETHER_DEVICE_H
#define US_NODES_LEARN_TOGETHER_DEVICE_H

#include "kernels/nn/trainer.h"
#include "nodes/learn/team.h"

/* Called by all ranks, before trainers are made. When config->device is a GPU, on all of them or on
 * none, joins the devices: team->devices, which becomes config->comm. */
struct us_error *us_together_devices(struct us_team *team,
                                     struct us_nn_trainer_config *config) US_NODISCARD;

/* The device (as in the configuration) of a rank: `ordinals` are those rank 0 was given, dealt out
 * in turn among ranks that it started; a launcher's ranks take theirs by local rank. `count` 0:
 * the CPU. */
int us_together_pick_device(const struct us_team *team, const int8_t *ordinals, int count);

#endif
