#include <cuda_runtime_api.h>
#include <string.h>

#include "kernels/cuda/net_judge_internal.h"
#include "kernels/nn/adversarial_loss.h"
#include "kernels/nn/arch_internal.h"
#include "kernels/nn/loss_cuda.h"
#include "kernels/nn/memory.h"
#include "kernels/nn/optimizer_cuda.h"
#include "kernels/nn/pointwise_cuda.h"
#include "kernels/nn/shape_ops_cuda.h"
#include "kernels/nn/trainer.h"

/* --- its network --- */

static enum us_nn_status run_cross_entropy(const struct cu_net *net, const struct cu_op *op,
                                           void *const *at, void *stream) {
    return cu_status(nn_cuda_cross_entropy(&op->entropy, at[0], at[1], op->add, at[2],
                                           net->scratches[op->stream], stream));
}

/* Cross entropies at an output's logits. own: half those of the true and half those of the made
 * ones as what they are, its mean over the outputs; else the made ones taken for true. */
static struct nn_cuda_entropy entropy_of(const struct cu_judge *j, size_t half, bool own) {
    const double each = 1 / (double)half, mean = 1.0 / j->described.output_count;
    const float scale = (float)each * j->config.scale;
    if (own) {
        return (struct nn_cuda_entropy){.half = half,
                                        .target = {1, 0},
                                        .scale = {scale / 2, scale / 2},
                                        .weight = {each / 2 * mean, each / 2 * mean}};
    }
    return (struct nn_cuda_entropy){.half = half,
                                    .target = {0, 1},
                                    .scale = {0, j->config.power * scale},
                                    .weight = {0, (double)j->config.power * each}};
}

/* A pass backward from the outputs. */
static void describe_pass(struct cu_judge *j, bool own) {
    struct cu_net *net = &j->net;
    const int *outputs = j->described.outputs;
    const size_t slot = own ? offsetof(struct nn_cuda_judgement, own)
                            : offsetof(struct nn_cuda_judgement, made_as_true);
    net->still = !own;
    net->values[0].wanted = !own;
    cu_net_look_back(net, outputs, j->described.output_count);
    for (int i = 0; i < j->described.output_count; i++) {
        const struct cu_value *logits = &net->values[outputs[i]];
        struct cu_op *op = cu_net_op(net, run_cross_entropy, CU_LOSS, outputs[i]);
        op->entropy = entropy_of(j, logits->bytes / sizeof(float) / 2, own);
        op->add = i > 0;
        op->scratch = nn_cuda_cross_entropy_scratch(op->entropy.half);
        cu_op_read(op, logits->ref, logits->bytes);
        cu_op_write(op, logits->gradient, logits->bytes);
        cu_op_write(op, cu_ref_behind(j->judgement, slot), sizeof(double));
    }
    cu_net_backward(net);
}

static size_t largest(size_t a, size_t b) {
    return a > b ? a : b;
}

static void make_room(struct cu_judge *j) {
    const int size = j->config.size, batch = j->config.batch;
    const size_t mattes = (size_t)batch * (size_t)size * (size_t)size * sizeof(float);
    size_t scratch = nn_cuda_sum_scratch(j->params.arena_count);
    if (size > 0) {
        j->soft = cu_net_kept(&j->net, mattes);
        j->half = cu_net_kept(&j->net, mattes);
        scratch = largest(scratch, nn_cuda_pull_scratch(size, batch));
    }
    j->scratch = cu_net_kept(&j->net, scratch);
}

enum us_nn_status cu_judge_describe(struct cu_judge *j, struct nn_judge_graph *graph,
                                    const struct cu_judge_config *config) {
    j->config = *config;
    j->described = *graph;
    *graph = (struct nn_judge_graph){0};
    const enum us_nn_status status = nn_layout_of_graph(&j->layout, j->described.graph);
    if (status) {
        return status;
    }
    cu_params_init(&j->params, &j->layout);
    cu_net_init(&j->net, j->described.graph, &j->params, config->type, config->batch);
    cu_net_forward(&j->net);
    if (j->net.status) {
        return j->net.status;
    }
    j->judgement = cu_net_kept(&j->net, sizeof(struct nn_cuda_judgement));
    describe_pass(j, true);
    describe_pass(j, false);
    cu_params_place(&j->params);
    make_room(j);
    cu_net_settle(&j->net);
    return j->net.status;
}

void cu_judge_bind(struct cu_judge *j, char *scratch) {
    j->net.spaces[0] = j->memory;
    j->net.spaces[-CU_WEIGHTS] = j->copies ? j->copies : (char *)j->masters;
    j->net.spaces[-CU_MASTERS] = (char *)j->masters;
    j->net.spaces[-CU_GRADIENTS] = (char *)j->gradients;
    for (int i = 0; i < CU_STREAMS; i++) {
        j->net.scratches[i] = scratch;
    }
}

void cu_judge_free(struct cu_judge *j) {
    us_nn_layout_finish(&j->layout);
    nn_graph_destroy(j->described.graph);
    us_nn_free(j);
}

float *cu_judge_input(const struct cu_judge *j) {
    return cu_net_at(&j->net, j->net.values[0].raw);
}

const float *cu_judge_input_gradient(const struct cu_judge *j) {
    return cu_net_at(&j->net, j->net.values[0].gradient);
}

static struct nn_cuda_judgement *judgement_of(const struct cu_judge *j) {
    return cu_net_at(&j->net, j->judgement);
}

static enum us_nn_status run_network(const struct cu_judge *j, void *stream) {
    const struct cu_selection all = {.from = CU_FORWARD, .to = CU_BACKWARD, .decoders = ~0u};
    const struct cu_streams streams = {{stream, stream}};
    return cu_net_run(&j->net, &all, &streams);
}

enum us_nn_status cu_judge_measure(const struct cu_judge *j, double *sum, void *stream) {
    return cu_status(nn_cuda_sum_of_squares(NN_CUDA_F32, j->gradients, j->params.arena_count, 1,
                                            false, sum, cu_net_at(&j->net, j->scratch), stream));
}

/* --- in the network that is trained --- */

static enum us_nn_status clear_calm(const struct cu_judge *j, void *stream) {
    return cu_status(cudaMemsetAsync(&judgement_of(j)->calm, 0, sizeof(double), stream));
}

/* code, its gradient, terms of the destination */
static enum us_nn_status run_code(const struct cu_net *net, const struct cu_op *op, void *const *at,
                                  void *stream) {
    const struct cu_judge *j = op->judge;
    const struct nn_cuda_map map = {.n = op->n, .h = op->h, .w = op->w, .channels = op->stride};
    enum us_nn_status status =
        cu_status(nn_cuda_unpack(net->type, at[0], cu_judge_input(j), op->c, &map, stream));
    status = status ? status : run_network(j, stream);
    status = status ? status
                    : cu_status(nn_cuda_pack(net->type, cu_judge_input_gradient(j), op->c, at[1],
                                             &map, stream));
    status = status ? status : clear_calm(j, stream);
    return status ? status : cu_status(nn_cuda_adversarial_terms(judgement_of(j), at[2], stream));
}

/* The code has the source's faces, then the destination's, as the judge's input has. */
void cu_net_judge_code(struct cu_net *net, const struct cu_judge *judge) {
    if (net->status) {
        return;
    }
    const int code = net->graph->code;
    const struct nn_node *node = &net->graph->nodes[code];
    const struct cu_value *value = &net->values[code];
    const struct cu_ref gradient = cu_net_buffer(net, value->bytes);
    const size_t terms = sizeof(struct us_nn_loss_terms);
    struct cu_op *op = cu_net_op(net, run_code, CU_JUDGE, code);
    op->judge = judge;
    op->n = value->n;
    op->h = node->h;
    op->w = node->w;
    op->c = node->c;
    op->stride = value->stride;
    cu_op_read(op, value->ref, value->bytes);
    cu_op_write(op, gradient, value->bytes);
    cu_op_write(op, (struct cu_ref){CU_TERMS, US_NN_DESTINATION * terms}, terms);
    cu_net_bring(net, code, gradient);
}

static enum us_nn_status soften(const struct cu_net *net, const struct cu_judge *j,
                                const float *masks, void *stream) {
    float *soft = cu_net_at(&j->net, j->soft), *half = cu_net_at(&j->net, j->half);
    return net->loss.masked ? cu_status(nn_cuda_soft_mask(masks, j->config.size, j->config.batch,
                                                          half, soft, stream))
                            : US_NN_OK;
}

static struct nn_cuda_calm calm_of(const struct cu_judge *j) {
    const double planes = 3.0 * j->config.batch, area = (double)j->config.size * j->config.size;
    const double variation = (double)NN_VARIATION_WEIGHT / j->config.batch;
    const double outside = (double)NN_OUTSIDE_WEIGHT / (planes * area);
    return (struct nn_cuda_calm){.variation_scale = (float)variation * j->config.scale,
                                 .outside_scale = (float)outside * j->config.scale,
                                 .variation_weight = variation,
                                 .outside_weight = outside};
}

/* image, target, target mask, image gradient, terms of the source */
static enum us_nn_status run_faces(const struct cu_net *net, const struct cu_op *op,
                                   void *const *at, void *stream) {
    const struct cu_judge *j = op->judge;
    const size_t half = 3 * (size_t)j->config.batch * (size_t)op->h * (size_t)op->w;
    const struct nn_cuda_painting painting = {.image = at[0],
                                              .target = at[1],
                                              .soft = net->loss.masked ? cu_net_at(&j->net, j->soft)
                                                                       : NULL,
                                              .size = j->config.size,
                                              .count = j->config.batch};
    const struct nn_cuda_calm calm = calm_of(j);
    float *input = cu_judge_input(j);
    enum us_nn_status status = soften(net, j, at[2], stream);
    status = status ? status : cu_status(nn_cuda_paint(&painting, input, input + half, stream));
    status = status ? status : run_network(j, stream);
    status = status ? status
                    : cu_status(nn_cuda_pull(&painting, &calm, cu_judge_input_gradient(j) + half,
                                             at[3], &judgement_of(j)->calm,
                                             cu_net_at(&j->net, j->scratch), stream));
    return status ? status : cu_status(nn_cuda_adversarial_terms(judgement_of(j), at[4], stream));
}

void cu_net_judge_faces(struct cu_net *net, const struct cu_judge *judge) {
    if (net->status) {
        return;
    }
    const int image = net->graph->outputs[US_NN_SOURCE].image;
    const struct nn_node *node = &net->graph->nodes[image];
    const size_t plane = (size_t)net->batch * (size_t)node->h * (size_t)node->w * sizeof(float);
    const size_t first = (size_t)net->graph->outputs[US_NN_SOURCE].unit * 3 * plane;
    const size_t terms = sizeof(struct us_nn_loss_terms);
    struct cu_op *op = cu_net_op(net, run_faces, CU_JUDGE, image);
    op->judge = judge;
    op->h = node->h;
    op->w = node->w;
    cu_op_read(op, cu_ref_behind(net->values[image].ref, first), 3 * plane);
    cu_op_read(op, net->wanted[US_NN_SOURCE].targets, 3 * plane);
    cu_op_read(op, net->wanted[US_NN_SOURCE].masks, plane);
    cu_op_write(op, cu_ref_behind(net->values[image].gradient, first), 3 * plane);
    cu_op_write(op, (struct cu_ref){CU_TERMS, US_NN_SOURCE * terms}, terms);
}

/* --- its state --- */

enum us_nn_status cu_judge_read(const struct cu_judge *j, float *flat) {
    const float *const from[] = {j->masters, j->moment1, j->moment2};
    enum us_nn_status status = US_NN_OK;
    for (size_t i = 0; i < 3 && !status; i++) {
        status = cu_params_read(&j->params, NN_CUDA_F32, from[i], flat + i * j->layout.count);
    }
    return status;
}

enum us_nn_status cu_judge_write(struct cu_judge *j, const float *flat) {
    float *const to[] = {j->masters, j->moment1, j->moment2};
    enum us_nn_status status = US_NN_OK;
    for (size_t i = 0; i < 3 && !status; i++) {
        status = cu_params_write(&j->params, flat + i * j->layout.count, to[i]);
    }
    if (!status && j->copies) {
        status = cu_status(nn_cuda_cast(NN_CUDA_F32, j->masters, NN_CUDA_BF16, j->copies,
                                        j->params.arena_count, NULL));
    }
    return status ? status : cu_status(cudaDeviceSynchronize());
}

enum us_nn_status cu_judge_restart(struct cu_judge *j, uint64_t seed) {
    float *flat = us_nn_alloc(3 * j->layout.count * sizeof *flat); /* zeroed: the moments */
    if (!flat) {
        return US_NN_NO_MEMORY;
    }
    us_nn_layout_initialise(&j->layout, seed, flat);
    const enum us_nn_status status = cu_judge_write(j, flat);
    us_nn_free(flat);
    return status;
}
