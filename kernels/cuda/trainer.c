#include "kernels/nn/trainer.h"

#include <cuda_runtime_api.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/trainer_internal.h"
#include "kernels/nn/memory.h"

#define MOST_WORKSPACE ((size_t)256 << 20) /* of convolutions, before their plans are known */

static enum nn_cuda_type type_of(const struct us_nn_trainer_config *config) {
    return config->bf16 ? NN_CUDA_BF16 : NN_CUDA_F32;
}

/* The sum over passes is one of floats; so is that over ranks, unless it was asked for otherwise.
 */
static enum nn_cuda_type gradient_type_of(const struct us_nn_trainer_config *config, int passes) {
    const bool narrow = config->comm ? config->comm_bf16 : true;
    return config->bf16 && narrow && passes == 1 ? NN_CUDA_BF16 : NN_CUDA_F32;
}

enum us_nn_status cu_trainer_use(const struct cu_trainer *t) {
    return cu_status(cudaSetDevice(t->base.config.device - 1));
}

/* Describes both networks and where everything lies; touches no device. */
static enum us_nn_status describe(struct cu_trainer *t) {
    const struct us_nn_trainer_config *c = &t->base.config;
    enum us_nn_status status = us_nn_layout_init(&t->layout, &c->arch);
    if (status) {
        return status;
    }
    t->graph = nn_graph_of(&c->arch, true);
    t->inference_graph = nn_graph_of(&c->arch, false);
    if (!t->graph || !t->inference_graph) {
        return US_NN_NO_MEMORY;
    }
    const int world = c->comm ? c->comm->world : 1;
    t->pass = c->pass > 0 ? c->pass : c->batch;
    t->passes = c->batch / t->pass;
    for (int last = t->passes - 1; last > 0; last /= 2) {
        t->levels++; /* those that are set in the number of some pass */
    }
    cu_params_init(&t->params, &t->layout);
    cu_net_init(&t->net, t->graph, &t->params, type_of(c), t->pass);
    t->net.gradient_type = gradient_type_of(c, t->passes);
    if (c->comm && c->pass == 0) { /* with passes all sums are the tree's */
        t->net.world = world;
        t->net.rank = c->comm->rank;
    }
    cu_net_forward(&t->net);
    cu_net_losses(&t->net, &c->loss, 1.0f / (float)(world * t->passes));
    status = cu_adversaries_describe(t);
    if (status) {
        return status;
    }
    cu_net_backward(&t->net);
    cu_net_init(&t->inference, t->inference_graph, &t->params, type_of(c), t->pass);
    cu_net_forward(&t->inference);
    cu_params_place(&t->params);
    cu_net_settle(&t->net);
    cu_net_settle(&t->inference);
    return t->net.status ? t->net.status : t->inference.status;
}

static void need(struct cu_trainer *t, void *at, size_t bytes, bool zeroed) {
    t->blocks[t->block_count++] = (struct cu_block){at, bytes, zeroed};
}

/* Everything that is taken from the device. */
static void list_blocks(struct cu_trainer *t) {
    const struct us_nn_trainer_config *c = &t->base.config;
    const size_t arena = t->params.arena_count * sizeof(float);
    size_t scratch = t->net.scratch > t->inference.scratch ? t->net.scratch : t->inference.scratch;
    t->block_count = 0;
    scratch = cu_adversaries_list(t, scratch);
    need(t, &t->masters, arena, true);
    need(t, &t->gradients, t->params.arena_count * nn_cuda_size(t->net.gradient_type), true);
    for (int i = 0; i < t->levels; i++) {
        need(t, &t->waiting.at[i], arena, true);
    }
    if (t->passes > 1) {
        const size_t each = US_NN_IDENTITIES * sizeof *t->parts;
        need(t, &t->parts, (size_t)t->passes * each, true);
    }
    need(t, &t->moment1, arena, true);
    need(t, &t->moment2, arena, true);
    if (c->optimizer.average_decay > 0) {
        need(t, &t->average, arena, true);
    }
    if (c->bf16) {
        need(t, &t->copies, arena / 2, true);
    }
    if (t->params.mask_count > 0) {
        need(t, &t->masks, t->params.mask_count * sizeof(float), true);
    }
    need(t, &t->memory, t->net.plan.size, false);
    need(t, &t->inference_memory, t->inference.plan.size, false);
    for (int i = 0; i < CU_STREAMS; i++) {
        need(t, &t->scratch[i], scratch, false);
    }
    if (us_nn_arch_size(&c->arch) < c->arch.resolution) {
        const size_t whole = (size_t)c->arch.resolution;
        need(t, &t->whole, 3 * (size_t)t->pass * whole * whole * sizeof(float), false);
    }
    need(t, &t->update_scratch, cu_update_scratch(t), false);
    need(t, &t->augment_scratch, us_cuda_augment_scratch(t->pass), false);
    need(t, &t->state, sizeof *t->state, true);
}

static bool within(const void *at, const void *object, size_t size) {
    return (const char *)at >= (const char *)object &&
           (const char *)at < (const char *)object + size;
}

/* What a block is for. */
static size_t *part_of(const struct cu_trainer *t, const void *at, struct us_nn_memory *memory) {
    for (int i = 0; i < NN_JUDGES; i++) {
        if (t->judges[i] && within(at, t->judges[i], sizeof *t->judges[i])) {
            return &memory->adversaries;
        }
    }
    if (at == &t->masters || at == &t->copies || at == &t->masks) {
        return &memory->weights;
    }
    if (at == &t->gradients || within(at, &t->waiting, sizeof t->waiting)) {
        return &memory->gradients;
    }
    if (at == &t->moment1 || at == &t->moment2 || at == &t->average) {
        return &memory->optimizer;
    }
    const bool values = at == &t->memory || at == &t->inference_memory || at == &t->whole;
    return values ? &memory->activations : &memory->scratch;
}

static int rest_count(const struct cu_trainer *t) {
    const bool averaged = t->base.config.optimizer.average_decay > 0;
    return t->base.config.arch.family != US_NN_COMB ? 0 : averaged ? 4 : 3;
}

static void free_host(struct cu_trainer *t) {
    cu_adversaries_free(t);
    us_nn_layout_finish(&t->layout);
    if (t->graph) {
        nn_graph_destroy(t->graph);
    }
    if (t->inference_graph) {
        nn_graph_destroy(t->inference_graph);
    }
    us_nn_free(t);
}

static enum us_nn_status cu_memory(const struct us_nn_trainer_config *config,
                                   struct us_nn_memory *memory) {
    struct cu_trainer *t = us_nn_alloc(sizeof *t);
    if (!t) {
        return US_NN_NO_MEMORY;
    }
    t->base.config = *config;
    const enum us_nn_status status = describe(t);
    if (!status) {
        list_blocks(t);
        *memory = (struct us_nn_memory){.scratch = MOST_WORKSPACE};
        for (int i = 0; i < t->block_count; i++) {
            *part_of(t, t->blocks[i].at, memory) += t->blocks[i].bytes;
        }
        memory->host = (size_t)rest_count(t) * t->layout.count * sizeof(float);
    }
    free_host(t);
    return status;
}

static const char *memory_problem(size_t needed, int device) {
    static _Thread_local char text[160];
    size_t available, total;
    cudaError_t error = cudaSetDevice(device);
    if (error == cudaSuccess) {
        error = cudaMemGetInfo(&available, &total);
    }
    if (error != cudaSuccess) {
        (void)cudaGetLastError();
        return error == cudaErrorMemoryAllocation
                   ? "the GPU has too little memory free to begin: nvidia-smi shows who has it"
                   : "the GPU does not answer";
    }
    if (needed <= available) {
        return NULL;
    }
    snprintf(text, sizeof text,
             "the GPU has %zu MiB free, this training takes %zu MiB, %zu MiB more: "
             "use a smaller batch, or dims, or resolution",
             available >> 20, needed >> 20, (needed - available + (1 << 20) - 1) >> 20);
    return text;
}

static const char *cu_problem(const struct us_nn_trainer_config *config) {
    int count = 0;
    struct us_nn_memory memory;
    if (cudaGetDeviceCount(&count) != cudaSuccess || config->device > count) {
        return "there is no such GPU";
    }
    if (config->comm && config->comm_bf16 && (!config->bf16 || config->pass > 0)) {
        return "gradients of GPUs travel as bf16 where they are computed in bf16 and without "
               "passes";
    }
    const enum us_nn_status status = cu_memory(config, &memory);
    if (status == US_NN_UNSUPPORTED) {
        return "the architecture has channels that a GPU cannot join, use dims of multiples of 8";
    }
    return status ? us_nn_status_text(status)
                  : memory_problem(us_nn_memory_sum(&memory), config->device - 1);
}

static enum us_nn_status take_blocks(struct cu_trainer *t) {
    for (int i = 0; i < t->block_count; i++) {
        const struct cu_block *block = &t->blocks[i];
        cudaError_t error = cudaMalloc(block->at, block->bytes > 0 ? block->bytes : 16);
        if (error == cudaSuccess && block->zeroed) {
            error = cudaMemset(*(void **)block->at, 0, block->bytes);
        }
        if (error != cudaSuccess) {
            (void)cudaGetLastError();
            return cu_status(error);
        }
    }
    return US_NN_OK;
}

static void bind(const struct cu_trainer *t, struct cu_net *net, char *memory) {
    net->spaces[0] = memory;
    net->spaces[-CU_WEIGHTS] = t->copies ? t->copies : (char *)t->masters;
    net->spaces[-CU_MASTERS] = (char *)t->masters;
    net->spaces[-CU_GRADIENTS] = t->gradients;
    net->spaces[-CU_MASKS] = (char *)t->masks;
    net->whole = t->whole;
    net->resolution = t->base.config.arch.resolution;
    net->spaces[-CU_TERMS] = (char *)t->state->terms;
    net->fade = &t->state->fade;
    for (int i = 0; i < CU_STREAMS; i++) {
        net->scratches[i] = t->scratch[i];
    }
}

static enum us_nn_status make_streams(struct cu_trainer *t) {
    cudaError_t error = cudaSuccess;
    for (int i = 0; i < CU_STREAMS && error == cudaSuccess; i++) {
        error = cudaStreamCreateWithFlags((cudaStream_t *)&t->streams.at[i], cudaStreamNonBlocking);
    }
    if (error == cudaSuccess) {
        error = cudaStreamCreateWithFlags(&t->side, cudaStreamNonBlocking);
    }
    for (int i = 0; i < CU_STREAMS && error == cudaSuccess; i++) {
        error = cudaEventCreateWithFlags(&t->side_events[i], cudaEventDisableTiming);
    }
    if (error == cudaSuccess) {
        error = cudaMallocHost((void **)&t->mirror, sizeof *t->mirror);
    }
    if (error == cudaSuccess) {
        *t->mirror = (struct cu_state){.clock.rate = t->base.config.optimizer.rate};
    }
    return cu_status(error);
}

static enum us_nn_status initialise(struct cu_trainer *t) {
    float *flat = us_nn_alloc(t->layout.count * sizeof *flat);
    if (!flat) {
        return US_NN_NO_MEMORY;
    }
    us_nn_layout_initialise(&t->layout, t->base.config.seed, flat);
    enum us_nn_status status = cu_trainer_write(&t->base, US_NN_PARAMETERS, flat);
    if (!status && t->average) {
        status = cu_trainer_write(&t->base, US_NN_AVERAGE, flat);
    }
    us_nn_free(flat);
    return status;
}

/* On the host: buffers whose layout has layers that this size of a comb has not. */
static enum us_nn_status make_rest(struct cu_trainer *t) {
    for (int i = 0; i < rest_count(t); i++) {
        t->rest[i] = us_nn_alloc(t->layout.count * sizeof *t->rest[i]);
        if (!t->rest[i]) {
            return US_NN_NO_MEMORY;
        }
    }
    return US_NN_OK;
}

static void cu_set_fade(struct us_nn_trainer *trainer, float fade);

static enum us_nn_status prepare(struct cu_trainer *t) {
    char folder[4096];
    enum us_nn_status status = describe(t);
    status = status ? status : cu_trainer_use(t);
    status = status ? status : make_streams(t);
    status = status ? status
                    : us_conv_planner_create(t->base.config.device - 1, NULL,
                                             cu_plan_folder(folder, sizeof folder), &t->planner);
    status = status ? status : cu_net_make_plans(&t->net, t->planner);
    status = status ? status : cu_net_make_plans(&t->inference, t->planner);
    status = status ? status : cu_adversaries_make_plans(t);
    if (status) {
        return status;
    }
    list_blocks(t);
    status = take_blocks(t);
    if (status) {
        return status;
    }
    bind(t, &t->net, t->memory);
    bind(t, &t->inference, t->inference_memory);
    status = cu_net_make_events(&t->net);
    status = status ? status : cu_net_make_events(&t->inference);
    status = status ? status : cu_params_write_masks(&t->params, t->masks);
    status = status ? status : make_rest(t);
    status = status ? status : cu_adversaries_bind(t);
    cu_set_fade(&t->base, t->base.config.arch.fade);
    return status ? status : initialise(t);
}

static enum us_nn_status cu_create(const struct us_nn_trainer_config *config,
                                   struct us_nn_trainer **trainer) {
    struct cu_trainer *t = us_nn_alloc(sizeof *t);
    if (!t) {
        return US_NN_NO_MEMORY;
    }
    t->base.config = *config;
    if (config->comm) {
        config->comm->in_tree = config->pass > 0;
    }
    const enum us_nn_status status = prepare(t);
    if (status) {
        cu_trainer_destroy(&t->base);
        return status;
    }
    *trainer = &t->base;
    return US_NN_OK;
}

void cu_trainer_destroy(struct us_nn_trainer *trainer) {
    struct cu_trainer *t = (struct cu_trainer *)trainer;
    (void)cu_trainer_use(t);
    (void)cudaDeviceSynchronize();
    cu_graphs_finish(t);
    cu_faces_finish(t);
    cu_net_finish(&t->net);
    cu_net_finish(&t->inference);
    cu_adversaries_finish(t);
    us_conv_planner_destroy(t->planner);
    for (int i = 0; i < t->block_count; i++) {
        (void)cudaFree(*(void **)t->blocks[i].at);
    }
    for (int i = 0; i < CU_STREAMS; i++) {
        if (t->streams.at[i]) {
            (void)cudaStreamDestroy(t->streams.at[i]);
        }
        if (t->side_events[i]) {
            (void)cudaEventDestroy(t->side_events[i]);
        }
    }
    if (t->side) {
        (void)cudaStreamDestroy(t->side);
    }
    (void)cudaFreeHost(t->mirror);
    for (size_t i = 0; i < sizeof t->rest / sizeof *t->rest; i++) {
        us_nn_free(t->rest[i]);
    }
    free_host(t);
}

static void cu_set_fade(struct us_nn_trainer *trainer, float fade) {
    struct cu_trainer *t = (struct cu_trainer *)trainer;
    trainer->config.arch.fade = fade;
    if (!cu_trainer_use(t)) { /* what fails shows in the next step */
        (void)cudaMemcpy(&t->state->fade, &fade, sizeof fade, cudaMemcpyHostToDevice);
    }
}

static const char *cu_note(const struct us_nn_trainer *trainer) {
    return ((const struct cu_trainer *)trainer)->note;
}

static const struct us_nn_layout *cu_layout(const struct us_nn_trainer *trainer) {
    return &((const struct cu_trainer *)trainer)->layout;
}

const struct nn_trainer_type cu_trainer_type = {.problem = cu_problem,
                                                .memory = cu_memory,
                                                .create = cu_create,
                                                .destroy = cu_trainer_destroy,
                                                .gradients = cu_trainer_gradients,
                                                .update = cu_trainer_update,
                                                .step = cu_trainer_step,
                                                .evaluate = cu_trainer_evaluate,
                                                .infer = cu_trainer_infer,
                                                .keep_faces = cu_trainer_keep_faces,
                                                .step_drawn = cu_trainer_step_drawn,
                                                .kept_memory = cu_trainer_kept_memory,
                                                .note = cu_note,
                                                .set_fade = cu_set_fade,
                                                .layout = cu_layout,
                                                .read = cu_trainer_read,
                                                .write = cu_trainer_write,
                                                .judge_count = cu_adversaries_count,
                                                .read_judges = cu_adversaries_read,
                                                .write_judges = cu_adversaries_write};
