#include "kernels/nn/model.h"

#include <omp.h>

#include "kernels/nn/lower_internal.h"
#include "kernels/nn/memory.h"

struct us_nn_model {
    struct nn_params params;
    struct nn_network net;
    float *weights;
    int threads;
};

static enum us_nn_status build(struct us_nn_model *m, const struct us_nn_arch *arch, int batch) {
    omp_set_num_threads(m->threads);
    enum us_nn_status status = nn_params_init(&m->params, arch);
    if (status) {
        return status;
    }
    status = nn_network_init(&m->net, &m->params, arch, false, batch, false);
    if (status) {
        return status;
    }
    m->weights = us_nn_alloc(m->params.arena_count * sizeof *m->weights);
    return m->weights ? US_NN_OK : US_NN_NO_MEMORY;
}

enum us_nn_status us_nn_model_create(const struct us_nn_arch *arch, const float *parameters,
                                     int batch, int threads, struct us_nn_model **model) {
    *model = NULL;
    if (us_nn_arch_problem(arch) || batch < 1 || batch > 256 || threads < 1 || threads > 256) {
        return US_NN_BAD_CONFIG;
    }
    struct us_nn_model *m = us_nn_alloc(sizeof *m);
    if (!m) {
        return US_NN_NO_MEMORY;
    }
    m->threads = threads;
    enum us_nn_status status = build(m, arch, batch);
    status = status ? status : nn_net_bind(&m->net.net, m->weights, NULL);
    status = status ? status : nn_params_import(&m->params, parameters, m->weights);
    if (status) {
        us_nn_model_destroy(m);
        return status;
    }
    *model = m;
    return US_NN_OK;
}

void us_nn_model_destroy(struct us_nn_model *m) {
    if (m) {
        nn_net_finish(&m->net.net);
        nn_params_finish(&m->params);
        us_nn_free(m->weights);
        us_nn_free(m);
    }
}

enum us_nn_status us_nn_model_infer(struct us_nn_model *m, enum us_nn_side decoder,
                                    const float *faces, int count, float *images, float *masks) {
    omp_set_num_threads(m->threads);
    return nn_network_infer(&m->net, (int)decoder, faces, count, images, masks);
}
