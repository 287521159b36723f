/* A trained autoencoder that only infers. One thread at a time. */
#ifndef US_KERNELS_NN_MODEL_H
#define US_KERNELS_NN_MODEL_H

#include "kernels/nn/arch.h"
#include "kernels/nn/trainer.h"

struct us_nn_model;

/* `parameters` is a flat buffer of the architecture's layout; it is copied. `batch` faces are
 * computed at once (1 to 256). */
enum us_nn_status us_nn_model_create(const struct us_nn_arch *arch, const float *parameters,
                                     int batch, int threads, struct us_nn_model **model);
void us_nn_model_destroy(struct us_nn_model *model);
/* As us_nn_trainer_infer. A face's result does not depend on the others of its batch. */
enum us_nn_status us_nn_model_infer(struct us_nn_model *model, enum us_nn_side decoder,
                                    const float *faces, int count, float *images, float *masks);

#endif
