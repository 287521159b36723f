/* Batches for the trainer: faces of all identities, picked and varied as functions of the step. */
#ifndef US_NODES_LEARN_TRAIN_BATCH_H
#define US_NODES_LEARN_TRAIN_BATCH_H

#include <pthread.h>

#include "nodes/learn/dataset_file.h"
#include "nodes/learn/train_params.h"

/* "source", "destination", "other1" ... */
const char *us_identity_name(int identity);

/* One side: its faces and which of them are trained on. */
struct us_train_side {
    struct us_dataset dataset;
    size_t *training, training_count;  /* indices of faces that are not held out */
    const struct train_params *params; /* borrowed */
};

/* One batch being made or made. */
struct us_train_slot {
    struct us_augment_job *jobs; /* identities x batch */
    float *memory; /* inputs, targets, masks and priorities of all sides, then scratch */
    float *priorities[US_NN_IDENTITIES]; /* in memory */
    struct us_nn_batch made;
    uint64_t step;
    uint32_t repeat;
};

struct us_train_batches {
    struct us_train_side *sides; /* one an identity, borrowed */
    int identities, batch, size, threads;
    int first; /* slot of the whole batch that this process's begins at */
    uint64_t seed;
    struct us_train_slot slots[2];
    int current;      /* slot of the batch given last */
    bool kept;        /* the trainer has all faces: it takes turns, not batches */
    bool ahead;       /* a thread is making the other slot's, or has */
    pthread_t thread; /* valid when ahead */
};

/* Fills the indices from the data set. Fails when every face is held out. */
struct us_error *us_train_side_init(struct us_train_side *side) US_NODISCARD;
void us_train_side_finish(struct us_train_side *side);

struct us_error *us_train_batches_init(struct us_train_batches *batches,
                                       struct us_train_side *sides,
                                       const struct us_nn_trainer_config *config) US_NODISCARD;
/* Bytes of `slots` batches: two where the next one is made while a step runs. */
size_t us_train_batches_memory(const struct us_nn_trainer_config *config, int slots);
void us_train_batches_finish(struct us_train_batches *batches);

/* Gives the faces of both sides to a trainer that keeps them; sets `kept` when it does. */
enum us_nn_status us_train_batches_keep(struct us_train_batches *batches,
                                        struct us_nn_trainer *trainer);
/* The turn whose batch us_train_batches_make would make. */
void us_train_batches_turn(const struct us_train_batches *batches, uint64_t step, uint32_t repeat,
                           struct us_nn_turn *turn);

/* The batch of a step, slots first to first + batch of the whole; `repeat` 0 first, others give
 * other batches for the same step. Valid until the next call. */
const struct us_nn_batch *us_train_batches_make(struct us_train_batches *batches, uint64_t step,
                                                uint32_t repeat);

/* Begins to make that batch on another thread, for the next us_train_batches_make (which makes the
 * one it is asked for, should that be another). The one given last stays valid. */
void us_train_batches_ahead(struct us_train_batches *batches, uint64_t step, uint32_t repeat);

#endif
