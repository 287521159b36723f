#ifndef US_KERNELS_NN_TRAINER_INTERNAL_H
#define US_KERNELS_NN_TRAINER_INTERNAL_H

#include "kernels/nn/loss_internal.h"
#include "kernels/nn/lower_internal.h"
#include "kernels/nn/trainer_cpu_adversary.h"
#include "kernels/nn/trainer_type.h"

struct nn_cpu_trainer {
    struct us_nn_trainer base;
    struct nn_params params;
    struct nn_network net;       /* training: every identity's faces */
    struct nn_network inference; /* one batch through one identity's decoder, the same weights */
    struct nn_loss loss;
    struct nn_adversary adversary;
    float *weights, *gradients, *moment1, *moment2, *average; /* arenas; average may be NULL */
    float *rest[4]; /* flat: parameters, moments and average of layers that this size has not; NULL
                       when it has all */
    float *smaller; /* [pass] targets, masks, priorities at the size reached; NULL: the faces' */
    double square_sum; /* of the gradients */
    int pass;          /* faces computed at once */
    float *partial[8]; /* arenas: sums of 1, 2, 4 ... passes that wait for their like */
    size_t sent;       /* gradients from here on are summed over passes, and on their way to other
                          ranks */
};

/* Forward and loss of one pass: `batch` holds pass faces of each identity. */
enum us_nn_status nn_cpu_forward(struct nn_cpu_trainer *trainer, const struct us_nn_batch *batch,
                                 bool gradients, struct us_nn_losses *losses);

/* trainer_cpu_passes.c */
int nn_cpu_partials(const struct us_nn_trainer_config *config);
int nn_cpu_pass(const struct us_nn_trainer_config *config);
/* Faces of all ranks together. */
int nn_cpu_whole(const struct us_nn_trainer_config *config);
enum us_nn_status nn_cpu_gradients(struct us_nn_trainer *trainer, const struct us_nn_batch *batch,
                                   struct us_nn_losses *losses);
enum us_nn_status nn_cpu_evaluate(struct us_nn_trainer *trainer, const struct us_nn_batch *batch,
                                  struct us_nn_losses *losses);

/* Functions of nn_cpu_trainer_type that have a file of their own. */
const struct us_nn_layout *nn_cpu_layout(const struct us_nn_trainer *trainer);
enum us_nn_status nn_cpu_read(const struct us_nn_trainer *trainer, enum us_nn_buffer buffer,
                              float *flat);
enum us_nn_status nn_cpu_write(struct us_nn_trainer *trainer, enum us_nn_buffer buffer,
                               const float *flat);
uint64_t nn_cpu_arrangement(const struct us_nn_trainer *trainer);
enum us_nn_status nn_cpu_infer(struct us_nn_trainer *trainer, enum us_nn_side decoder,
                               const float *faces, int count, float *images, float *masks);

#endif
