#ifndef US_KERNELS_NN_TRAINER_INTERNAL_H
#define US_KERNELS_NN_TRAINER_INTERNAL_H

#include "kernels/nn/arch_internal.h"
#include "kernels/nn/loss_internal.h"
#include "kernels/nn/trainer.h"

struct us_nn_trainer {
    struct us_nn_trainer_config config;
    struct nn_params params;
    struct nn_net net;       /* training: both sides, twice the batch */
    struct nn_net inference; /* one batch through either decoder, with the same weights */
    struct nn_tensor *input, *inference_input;
    struct nn_outputs outputs[2], inference_outputs[2];
    struct nn_loss loss;
    float *weights, *gradients, *moment1, *moment2, *average; /* arenas; average may be NULL */
    double square_sum;                                        /* of the gradients */
    uint64_t steps;
};

/* Up to `net` batch faces at a time through one decoder. */
enum us_nn_status nn_infer(struct nn_net *net, struct nn_tensor *input,
                           const struct nn_outputs outputs[2], enum us_nn_side decoder,
                           const float *faces, int count, float *images, float *masks);

#endif
