/* What an engine that infers must be able to do; model.h says what each function means. */
#ifndef US_KERNELS_NN_MODEL_TYPE_H
#define US_KERNELS_NN_MODEL_TYPE_H

#include "kernels/nn/model.h"

/* The head of every model. */
struct us_nn_model {
    const struct nn_model_type *type;
};

struct nn_model_type {
    enum us_nn_status (*memory)(const struct us_nn_model_config *config,
                                struct us_nn_memory *memory);
    /* Sets everything but the type of the head. */
    enum us_nn_status (*create)(const struct us_nn_model_config *config, const float *parameters,
                                struct us_nn_model **model);
    void (*destroy)(struct us_nn_model *model);
    enum us_nn_status (*infer)(struct us_nn_model *model, enum us_nn_side decoder,
                               const float *faces, int count, float *images, float *masks);
};

extern const struct nn_model_type nn_cpu_model_type;

#endif
