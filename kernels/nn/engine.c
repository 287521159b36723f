#include "kernels/nn/engine_internal.h"

#include <stddef.h>

#include "kernels/cuda/load.h"

static const struct us_cuda_trainer_api *given;

void nn_set_cuda_engine(const struct us_cuda_trainer_api *engine) {
    given = engine;
}

const struct us_cuda_trainer_api *nn_cuda_engine(const char **why_not) {
    const struct us_cuda_module *module;
    if (given) {
        return given;
    }
    if (us_cuda_device_count(&module, why_not) == 0) {
        return NULL;
    }
    if (!module->trainer) {
        *why_not = "the CUDA module was built without training";
    }
    return module->trainer;
}
