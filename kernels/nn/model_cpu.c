#include <omp.h>

#include "kernels/nn/lower_internal.h"
#include "kernels/nn/memory.h"
#include "kernels/nn/model_type.h"

struct nn_cpu_model {
    struct us_nn_model base;
    struct nn_params params;
    struct nn_network net;
    float *weights;
    int threads;
};

static enum us_nn_status build(struct nn_cpu_model *m, const struct us_nn_arch *arch, int batch) {
    omp_set_num_threads(m->threads);
    enum us_nn_status status = nn_params_init(&m->params, arch);
    if (status) {
        return status;
    }
    return nn_network_init(&m->net, &m->params, arch, false, batch, false);
}

static enum us_nn_status allocate(struct nn_cpu_model *m) {
    m->weights = us_nn_alloc(m->params.arena_count * sizeof *m->weights);
    return m->weights ? US_NN_OK : US_NN_NO_MEMORY;
}

static void cpu_destroy(struct us_nn_model *model) {
    struct nn_cpu_model *m = (struct nn_cpu_model *)model;
    nn_net_finish(&m->net.net);
    nn_params_finish(&m->params);
    us_nn_free(m->weights);
    us_nn_free(m);
}

static enum us_nn_status cpu_memory(const struct us_nn_model_config *config,
                                    struct us_nn_memory *memory) {
    struct nn_cpu_model *m = us_nn_alloc(sizeof *m);
    if (!m) {
        return US_NN_NO_MEMORY;
    }
    m->threads = config->threads;
    const enum us_nn_status status = build(m, &config->arch, config->batch);
    if (!status) {
        memory->weights = m->params.arena_count * sizeof *m->weights;
        memory->activations = nn_net_memory(&m->net.net);
        memory->scratch = sizeof *m;
    }
    cpu_destroy(&m->base);
    return status;
}

static enum us_nn_status cpu_create(const struct us_nn_model_config *config,
                                    const float *parameters, struct us_nn_model **model) {
    struct nn_cpu_model *m = us_nn_alloc(sizeof *m);
    if (!m) {
        return US_NN_NO_MEMORY;
    }
    m->threads = config->threads;
    enum us_nn_status status = build(m, &config->arch, config->batch);
    status = status ? status : allocate(m);
    status = status ? status : nn_net_bind(&m->net.net, m->weights, NULL);
    status = status ? status : nn_params_import(&m->params, parameters, m->weights);
    if (status) {
        cpu_destroy(&m->base);
        return status;
    }
    *model = &m->base;
    return US_NN_OK;
}

static enum us_nn_status cpu_infer(struct us_nn_model *model, enum us_nn_side decoder,
                                   const float *faces, int count, float *images, float *masks) {
    struct nn_cpu_model *m = (struct nn_cpu_model *)model;
    omp_set_num_threads(m->threads);
    return nn_network_infer(&m->net, (int)decoder, faces, count, images, masks);
}

const struct nn_model_type nn_cpu_model_type = {
    .memory = cpu_memory, .create = cpu_create, .destroy = cpu_destroy, .infer = cpu_infer};
