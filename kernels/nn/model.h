/* A trained autoencoder that only infers. One thread at a time. */
#ifndef US_KERNELS_NN_MODEL_H
#define US_KERNELS_NN_MODEL_H

#include "kernels/nn/arch.h"
#include "kernels/nn/trainer.h"

struct us_nn_model;

struct us_nn_model_config {
    int device; /* US_NN_CPU, or 1 + a CUDA ordinal */
    struct us_nn_arch arch;
    int batch;   /* faces computed at once, 1 to 256 */
    int threads; /* of the CPU, 1 to 256 */
};

/* What create will take, as us_nn_trainer_memory_parts says it. */
enum us_nn_status us_nn_model_memory(const struct us_nn_model_config *config,
                                     struct us_nn_memory *memory);
/* `parameters` is a flat buffer of the architecture's layout; it is copied. */
enum us_nn_status us_nn_model_create(const struct us_nn_model_config *config,
                                     const float *parameters, struct us_nn_model **model);
void us_nn_model_destroy(struct us_nn_model *model);
/* As us_nn_trainer_infer. A face's result does not depend on the others of its batch. */
enum us_nn_status us_nn_model_infer(struct us_nn_model *model, enum us_nn_side decoder,
                                    const float *faces, int count, float *images, float *masks);

#endif
