#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>

#include "kernels/cuda/trainer_api.h"
#include "kernels/cuda/trainer_internal.h"
#include "kernels/nn/memory.h"

#define MOST_WORKSPACE ((size_t)64 << 20) /* of convolutions, before their plans are known */

struct cu_model {
    struct us_nn_model base;
    int device;
    struct us_nn_layout layout;
    struct cu_params params;
    struct nn_graph *graph;
    struct cu_net net;
    struct us_conv_planner *planner;
    struct cu_streams streams;
    char *weights, *memory, *scratch, *whole, *fade; /* whole: NULL when the net has its size */
};

const char *cu_plan_folder(char *path, size_t size) {
    const char *cache = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (cache && cache[0] == '/') {
        snprintf(path, size, "%s/understudy/cuda", cache);
    } else if (home && home[0] == '/') {
        snprintf(path, size, "%s/.cache/understudy/cuda", home);
    } else {
        return NULL;
    }
    return path;
}

static void destroy(struct us_nn_model *model) {
    struct cu_model *m = (struct cu_model *)model;
    (void)cudaSetDevice(m->device);
    for (int i = 0; i < CU_STREAMS; i++) {
        if (m->streams.at[i]) {
            (void)cudaStreamSynchronize(m->streams.at[i]);
            (void)cudaStreamDestroy(m->streams.at[i]);
        }
    }
    cu_net_finish(&m->net);
    us_conv_planner_destroy(m->planner);
    char *blocks[] = {m->weights, m->memory, m->scratch, m->whole, m->fade};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) {
        (void)cudaFree(blocks[i]);
    }
    us_nn_layout_finish(&m->layout);
    if (m->graph) {
        nn_graph_destroy(m->graph);
    }
    us_nn_free(m);
}

static enum us_nn_status describe(struct cu_model *m, const struct us_nn_model_config *config) {
    const enum us_nn_status status = us_nn_layout_init(&m->layout, &config->arch);
    m->graph = status ? NULL : nn_graph_of(&config->arch, false);
    if (!m->graph) {
        return status ? status : US_NN_NO_MEMORY;
    }
    cu_params_init(&m->params, &m->layout);
    cu_net_init(&m->net, m->graph, &m->params, NN_CUDA_F32, config->batch);
    cu_net_forward(&m->net);
    cu_params_place(&m->params);
    cu_net_settle(&m->net);
    return m->net.status;
}

static size_t whole_bytes(const struct us_nn_model_config *config) {
    const size_t whole = (size_t)config->arch.resolution;
    return us_nn_arch_size(&config->arch) < config->arch.resolution
               ? 3 * (size_t)config->batch * whole * whole * sizeof(float)
               : 0;
}

static enum us_nn_status memory_of(const struct us_nn_model_config *config,
                                   struct us_nn_memory *memory) {
    struct cu_model *m = us_nn_alloc(sizeof *m);
    if (!m) {
        return US_NN_NO_MEMORY;
    }
    const enum us_nn_status status = describe(m, config);
    if (!status) {
        memory->weights = m->params.arena_count * sizeof(float);
        memory->activations = m->net.plan.size + whole_bytes(config);
        memory->scratch = CU_STREAMS * m->net.scratch + sizeof(float) + MOST_WORKSPACE;
    }
    us_nn_layout_finish(&m->layout);
    if (m->graph) {
        nn_graph_destroy(m->graph);
    }
    us_nn_free(m);
    return status;
}

static enum us_nn_status take(char **block, size_t bytes) {
    const enum us_nn_status status = cu_status(cudaMalloc((void **)block, bytes ? bytes : 16));
    if (status) {
        (void)cudaGetLastError();
    }
    return status;
}

static enum us_nn_status bind(struct cu_model *m, const struct us_nn_model_config *config) {
    const size_t bytes = m->params.arena_count * sizeof(float);
    enum us_nn_status status = US_NN_OK;
    for (int i = 0; i < CU_STREAMS && !status; i++) {
        status = cu_status(
            cudaStreamCreateWithFlags((cudaStream_t *)&m->streams.at[i], cudaStreamNonBlocking));
    }
    status = status ? status : take(&m->weights, bytes);
    status = status ? status : cu_status(cudaMemset(m->weights, 0, bytes));
    status = status ? status : take(&m->memory, m->net.plan.size);
    status = status ? status : take(&m->scratch, CU_STREAMS * m->net.scratch);
    status = status ? status : take(&m->fade, sizeof(float));
    status = status ? status
                    : cu_status(cudaMemcpy(m->fade, &config->arch.fade, sizeof(float),
                                           cudaMemcpyHostToDevice));
    if (!status && whole_bytes(config) > 0) {
        status = take(&m->whole, whole_bytes(config));
    }
    m->net.whole = (float *)(void *)m->whole;
    m->net.resolution = config->arch.resolution;
    m->net.fade = (const float *)(const void *)m->fade;
    m->net.spaces[0] = m->memory;
    m->net.spaces[-CU_WEIGHTS] = m->net.spaces[-CU_MASTERS] = m->weights;
    for (int i = 0; i < CU_STREAMS; i++) {
        m->net.scratches[i] = m->scratch + (size_t)i * m->net.scratch;
    }
    return status ? status : cu_net_make_events(&m->net);
}

static enum us_nn_status create(const struct us_nn_model_config *config, const float *parameters,
                                struct us_nn_model **model) {
    char folder[4096];
    struct cu_model *m = us_nn_alloc(sizeof *m);
    if (!m) {
        return US_NN_NO_MEMORY;
    }
    m->device = config->device - 1;
    enum us_nn_status status = describe(m, config);
    status = status ? status : cu_status(cudaSetDevice(m->device));
    status = status ? status
                    : us_conv_planner_create(m->device, NULL, cu_plan_folder(folder, sizeof folder),
                                             &m->planner);
    status = status ? status : cu_net_make_plans(&m->net, m->planner);
    status = status ? status : bind(m, config);
    status = status ? status : cu_params_write(&m->params, parameters, (float *)(void *)m->weights);
    if (status) {
        destroy(&m->base);
        return status;
    }
    *model = &m->base;
    return US_NN_OK;
}

static enum us_nn_status infer(struct us_nn_model *model, enum us_nn_side decoder,
                               const float *faces, int count, float *images, float *masks) {
    struct cu_model *m = (struct cu_model *)model;
    const enum us_nn_status status = cu_status(cudaSetDevice(m->device));
    return status ? status
                  : cu_net_infer(&m->net, &m->streams, decoder, faces, count, images, masks);
}

const struct nn_model_type cu_model_type = {
    .memory = memory_of, .create = create, .destroy = destroy, .infer = infer};

const struct us_cuda_trainer_api us_cuda_trainer_table = {.trainer = &cu_trainer_type,
                                                          .model = &cu_model_type};
