/* The engine on CUDA devices, which comes with the CUDA module. */
#ifndef US_KERNELS_NN_ENGINE_INTERNAL_H
#define US_KERNELS_NN_ENGINE_INTERNAL_H

#include "kernels/cuda/trainer_api.h"

/* NULL with one clause in `why_not` where there is no module or no device. */
const struct us_cuda_trainer_api *nn_cuda_engine(const char **why_not);
/* What nn_cuda_engine says from now on; NULL: the module's. For tests. */
void nn_set_cuda_engine(const struct us_cuda_trainer_api *engine);

#endif
