/* Training and inference of the neural nets on a device, as the CUDA module offers them. The
 * program calls them through kernels/nn/trainer.h and kernels/nn/model.h. */
#ifndef US_KERNELS_CUDA_TRAINER_API_H
#define US_KERNELS_CUDA_TRAINER_API_H

#include "kernels/nn/model_type.h"
#include "kernels/nn/trainer_type.h"

struct us_cuda_trainer_api {
    const struct nn_trainer_type *trainer;
    const struct nn_model_type *model;
};

extern const struct us_cuda_trainer_api us_cuda_trainer_table;

#endif
