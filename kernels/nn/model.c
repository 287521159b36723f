#include "kernels/nn/model.h"

#include "kernels/nn/engine_internal.h"
#include "kernels/nn/model_type.h"

static enum us_nn_status find_type(const struct us_nn_model_config *config,
                                   const struct nn_model_type **type) {
    const struct us_cuda_trainer_api *api = NULL;
    const char *why_not;
    if (us_nn_arch_problem(&config->arch) || config->batch < 1 || config->batch > 256 ||
        config->threads < 1 || config->threads > 256) {
        return US_NN_BAD_CONFIG;
    }
    if (config->device != US_NN_CPU) {
        api = nn_cuda_engine(&why_not);
        if (!api) {
            return US_NN_UNSUPPORTED;
        }
    }
    *type = api ? api->model : &nn_cpu_model_type;
    return US_NN_OK;
}

enum us_nn_status us_nn_model_memory(const struct us_nn_model_config *config,
                                     struct us_nn_memory *memory) {
    const struct nn_model_type *type;
    const enum us_nn_status status = find_type(config, &type);
    *memory = (struct us_nn_memory){0};
    return status ? status : type->memory(config, memory);
}

enum us_nn_status us_nn_model_create(const struct us_nn_model_config *config,
                                     const float *parameters, struct us_nn_model **model) {
    const struct nn_model_type *type;
    enum us_nn_status status = find_type(config, &type);
    *model = NULL;
    status = status ? status : type->create(config, parameters, model);
    if (!status) {
        (*model)->type = type;
    }
    return status;
}

void us_nn_model_destroy(struct us_nn_model *model) {
    if (model) {
        model->type->destroy(model);
    }
}

enum us_nn_status us_nn_model_infer(struct us_nn_model *model, enum us_nn_side decoder,
                                    const float *faces, int count, float *images, float *masks) {
    return model->type->infer(model, decoder, faces, count, images, masks);
}
