/* A training (training.h) by several ranks, as rank 0 leads it. Without a team each of these does
 * nothing. */
#ifndef US_NODES_LEARN_TRAINING_TEAM_H
#define US_NODES_LEARN_TRAINING_TEAM_H

#include "nodes/learn/training.h"

/* Takes the team, if there is to be one; *ranks share the batch. */
/* As many as `ranks` says, else as there are devices, and as the batch can be split among; a comb
 * is trained by one. */
int us_ranks_wanted(const struct train_params *params, size_t devices);

struct us_error *us_training_team_take(struct us_training *training, int *ranks) US_NODISCARD;
/* Hands it parameters and faces; training->config, rank 0's part, gets what it does with the
 * others. Before the trainer is made. */
struct us_error *us_training_team_open(struct us_training *training) US_NODISCARD;
/* After it: everybody has the same. */
struct us_error *us_training_team_agree(struct us_training *training) US_NODISCARD;
/* After the trainer's end. `failed`: why this training ends, or NULL. */
void us_training_team_close(struct us_training *training, const struct us_error *failed);

/* The others take over this state, with nets of this size. */
struct us_error *us_training_team_state(struct us_training *training) US_NODISCARD;
/* The others begin that step, too. */
struct us_error *us_training_team_step(struct us_training *training, uint32_t repeat) US_NODISCARD;
/* It took so long; `waited` is comm->exposed_seconds before it. */
void us_training_team_note(struct us_training *training, double seconds, double waited);
double us_training_team_waited(const struct us_training *training);
/* A rank is gone: saves the training, and says which. Not `sound`: weights may have been updated
 * with gradients that had not been added up, as a device does that is told a whole step at once;
 * then the last checkpoint is what the training goes on from. */
struct us_error *us_training_team_lost(struct us_training *training, bool sound) US_NODISCARD;
/* Adds to a line of the metrics how the ranks did since the last one. */
struct us_error *us_training_team_report(struct us_training *training,
                                         struct us_str *line) US_NODISCARD;
/* The weights of all ranks are still the same. */
struct us_error *us_training_team_check(struct us_training *training) US_NODISCARD;

#endif
