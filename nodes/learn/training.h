/* One training from its first step, or from where it was, to its last.
 *
 *     us_training_open(task, ..., &training)   faces, net, memory
 *     us_training_run(&training)               resume, train, save
 *     ... training.model_parameters ...
 *     us_training_close(&training)
 *
 * Every step is a function of the state and of (seed, step), so a training that was stopped and
 * goes on ends with the bits of one that was not. */
#ifndef US_NODES_LEARN_TRAINING_H
#define US_NODES_LEARN_TRAINING_H

#include "nodes/learn/checkpoint_writer.h"
#include "nodes/learn/together.h"
#include "nodes/learn/train_batch.h"
#include "runtime/api/task.h"
#include "runtime/base/str.h"

enum {
    US_LOSS_WINDOW = 100, /* steps the smoothed loss is the mean of */
    US_METRICS_STEPS = 25 /* between lines of the metrics */
};

struct us_training {
    struct us_task *task;
    const struct train_params *params;
    struct us_train_side sides[US_NN_IDENTITIES]; /* source, destination, others */
    int identities;
    struct us_nn_trainer_config config; /* of this process's part */
    struct us_nn_trainer *trainer;
    struct us_train_batches batches;
    bool noted;         /* what the trainer has to say about itself was passed on */
    const char *folder; /* of the checkpoints */
    struct us_checkpoint_writer writer;
    struct us_together together; /* with the other ranks */
    int slow_rank;               /* 1 + the rank that was slow at the last report, or 0 */
    bool told_uneven;            /* that it is */
    uint64_t step, target, generation;
    uint64_t returns, trouble, returned_to; /* checkpoint.h */
    float *losses;                          /* two a step: source, and all others together */
    size_t loss_capacity;
    struct us_str lines;
    double seconds, wait_seconds;           /* spent in steps; making batches */
    double line_seconds, line_wait_seconds; /* the same at the last line */
    double saved_at;                        /* clock */
    float *parameters;                      /* at the end: what the model is made of */
};

/* Gathers the ports; each list entry at the others' is an identity. Close also after an error. */
struct us_training_ports {
    int source, destination, others;
};
struct us_error *us_training_open(struct us_training *training, struct us_task *task,
                                  struct us_training_ports ports) US_NODISCARD;
/* `init` is the flat parameters to start from when there is no checkpoint, or NULL. Reaches the
 * target or the wanted loss, saves there and fills `parameters`. Stopped (US_CANCELLED), it saves
 * first. */
struct us_error *us_training_run(struct us_training *training, const float *init) US_NODISCARD;
/* `failed`: the error it ended with, for the other ranks, or NULL. */
void us_training_close(struct us_training *training, const struct us_error *failed);

/* Mean loss of both sides together over the last US_LOSS_WINDOW steps before `step`, or of all. */
double us_training_loss(const struct us_training *training, uint64_t step);

#endif
