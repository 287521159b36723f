#include <cuda_runtime_api.h>

#include "kernels/cuda/net_internal.h"
#include "kernels/cuda/take_gradient.h"
#include "kernels/nn/head_cuda.h"
#include "kernels/nn/norm_cuda.h"
#include "kernels/nn/pointwise_cuda.h"
#include "kernels/nn/shape_ops_cuda.h"

/* The maps of a doubling or halving by their side `op` speaks of. */
static struct nn_cuda_map map_of(const struct cu_op *op) {
    return (struct nn_cuda_map){.n = op->n, .h = op->h, .w = op->w, .channels = op->stride};
}

static void *scratch_of(const struct cu_net *net, const struct cu_op *op) {
    return net->scratches[op->stream];
}

enum us_nn_status cu_run_pack(const struct cu_net *net, const struct cu_op *op, void *const *at,
                              void *stream) {
    const struct nn_cuda_map map = map_of(op);
    return cu_status(nn_cuda_pack(net->type, at[0], op->c, at[1], &map, stream));
}

enum us_nn_status cu_run_conv(const struct cu_net *net, const struct cu_op *op, void *const *at,
                              void *stream) {
    const struct us_conv_job *entry = &net->plans[op->plan];
    struct us_conv_buffers buffers = {.out = at[2], .workspace = scratch_of(net, op)};
    switch (entry->desc.op) {
    case US_CONV_FORWARD:
        buffers.x = at[0];
        buffers.w = at[1];
        buffers.bias = at[3];
        buffers.residual = at[4];
        break;
    case US_CONV_DATA_GRADIENT:
        buffers.dy = at[0];
        buffers.w = at[1];
        buffers.x = at[3];
        buffers.residual = at[4];
        break;
    case US_CONV_WEIGHT_GRADIENT:
        buffers.x = at[0];
        buffers.dy = at[1];
        break;
    }
    return us_conv_plan_run(entry->plan, stream, &buffers);
}

enum us_nn_status cu_run_add(const struct cu_net *net, const struct cu_op *op, void *const *at,
                             void *stream) {
    if (at[3]) {
        return cu_status(nn_cuda_slope_backward(net->type, at[0], at[2], at[3], op->slope, at[1],
                                                op->count, stream));
    }
    if (at[2]) {
        return cu_status(nn_cuda_add(net->type, at[0], at[2], at[1], op->count, stream));
    }
    return cu_status(cudaMemcpyAsync(at[1], at[0], op->count * nn_cuda_size(net->type),
                                     cudaMemcpyDeviceToDevice, stream));
}

enum us_nn_status cu_run_cosine(const struct cu_net *net, const struct cu_op *op, void *const *at,
                                void *stream) {
    return cu_status(nn_cuda_cosine_forward(net->type, at[0], at[1], op->count, stream));
}

enum us_nn_status cu_run_cosine_gradient(const struct cu_net *net, const struct cu_op *op,
                                         void *const *at, void *stream) {
    return cu_status(
        nn_cuda_cosine_backward(net->type, at[1], NULL, at[0], at[2], op->count, stream));
}

enum us_nn_status cu_run_channels(const struct cu_net *net, const struct cu_op *op, void *const *at,
                                  void *stream) {
    return cu_status(nn_cuda_copy_channels(net->type, at[0], op->stride, op->from, at[1],
                                           op->stride2, op->to, op->c, op->count, stream));
}

enum us_nn_status cu_run_copy(const struct cu_net *net, const struct cu_op *op, void *const *at,
                              void *stream) {
    (void)net;
    return cu_status(cudaMemcpyAsync(at[1], at[0], op->count, cudaMemcpyDeviceToDevice, stream));
}

enum us_nn_status cu_run_zero(const struct cu_net *net, const struct cu_op *op, void *const *at,
                              void *stream) {
    (void)net;
    return cu_status(cudaMemsetAsync(at[0], 0, op->count, stream));
}

enum us_nn_status cu_run_blend(const struct cu_net *net, const struct cu_op *op, void *const *at,
                               void *stream) {
    return cu_status(
        nn_cuda_blend_forward(net->type, at[0], at[1], net->fade, at[2], op->count, stream));
}

enum us_nn_status cu_run_blend_gradient(const struct cu_net *net, const struct cu_op *op,
                                        void *const *at, void *stream) {
    return cu_status(
        nn_cuda_blend_backward(net->type, at[0], net->fade, at[1], at[2], op->count, stream));
}

/* Where the sums of a bias's gradient go that ends at `bias`: there, or first into the scratch. */
static float *sums_of(const struct cu_net *net, const struct cu_op *op, void *bias) {
    const size_t used = nn_cuda_bias_scratch(op->count, op->stride);
    char *behind = (char *)scratch_of(net, op) + (used + 255) / 256 * 256;
    const bool direct = !op->add && net->gradient_type == NN_CUDA_F32;
    return direct ? bias : (float *)(void *)behind;
}

static cudaError_t take_sums(const struct cu_net *net, const struct cu_op *op, const float *sums,
                             void *bias, void *stream) {
    return sums == bias ? cudaSuccess
                        : cu_take_gradient(NN_CUDA_F32, sums, NULL, op->add, net->gradient_type,
                                           bias, (size_t)op->stride, stream);
}

enum us_nn_status cu_run_bias(const struct cu_net *net, const struct cu_op *op, void *const *at,
                              void *stream) {
    float *sums = sums_of(net, op, at[1]);
    cudaError_t error = nn_cuda_bias_gradient(net->type, at[0], NULL, NULL, 1, NULL, sums,
                                              op->count, op->stride, scratch_of(net, op), stream);
    return cu_status(error == cudaSuccess ? take_sums(net, op, sums, at[1], stream) : error);
}

size_t cu_bias_scratch(const struct cu_op *op) {
    const size_t used = nn_cuda_bias_scratch(op->count, op->stride);
    return (used + 255) / 256 * 256 + (size_t)op->stride * sizeof(float);
}

enum us_nn_status cu_run_take(const struct cu_net *net, const struct cu_op *op, void *const *at,
                              void *stream) {
    return cu_status(cu_take_gradient(net->type, at[0], at[2], op->add, net->gradient_type, at[1],
                                      op->count, stream));
}

enum us_nn_status cu_run_shuffle(const struct cu_net *net, const struct cu_op *op, void *const *at,
                                 void *stream) {
    struct nn_cuda_map map = map_of(op);
    map.channels /= 4;
    return cu_status(nn_cuda_shuffle_forward(net->type, at[0], NULL, 1, at[1], &map, stream));
}

enum us_nn_status cu_run_shuffle_gradient(const struct cu_net *net, const struct cu_op *op,
                                          void *const *at, void *stream) {
    struct nn_cuda_map map = map_of(op);
    map.channels /= 4;
    if (!at[3]) {
        return cu_status(nn_cuda_shuffle_backward(net->type, at[0], NULL, at[1], op->slope, at[2],
                                                  &map, stream));
    }
    float *sums = sums_of(net, op, at[3]);
    cudaError_t error = nn_cuda_shuffle_bias_gradient(
        net->type, at[0], NULL, at[1], op->slope, at[2], sums, &map, scratch_of(net, op), stream);
    return cu_status(error == cudaSuccess ? take_sums(net, op, sums, at[3], stream) : error);
}

enum us_nn_status cu_run_pool(const struct cu_net *net, const struct cu_op *op, void *const *at,
                              void *stream) {
    const struct nn_cuda_map map = map_of(op);
    return cu_status(nn_cuda_pool_forward(net->type, at[0], at[1], &map, stream));
}

enum us_nn_status cu_run_pool_gradient(const struct cu_net *net, const struct cu_op *op,
                                       void *const *at, void *stream) {
    const struct nn_cuda_map map = map_of(op);
    return cu_status(nn_cuda_pool_backward(net->type, at[0], NULL, at[1], at[2], &map, stream));
}

enum us_nn_status cu_run_upsample(const struct cu_net *net, const struct cu_op *op, void *const *at,
                                  void *stream) {
    const struct nn_cuda_map map = map_of(op);
    return cu_status(nn_cuda_upsample_forward(net->type, at[0], at[1], &map, stream));
}

enum us_nn_status cu_run_upsample_gradient(const struct cu_net *net, const struct cu_op *op,
                                           void *const *at, void *stream) {
    const struct nn_cuda_map map = map_of(op);
    return cu_status(nn_cuda_upsample_backward(net->type, at[0], NULL, at[2], &map, stream));
}

enum us_nn_status cu_run_norm(const struct cu_net *net, const struct cu_op *op, void *const *at,
                              void *stream) {
    return cu_status(nn_cuda_norm_forward(net->type, at[0], at[1], at[2], op->n, op->count,
                                          op->real, scratch_of(net, op), stream));
}

enum us_nn_status cu_run_norm_gradient(const struct cu_net *net, const struct cu_op *op,
                                       void *const *at, void *stream) {
    return cu_status(nn_cuda_norm_backward(net->type, at[0], NULL, at[1], at[2], at[3], op->n,
                                           op->count, op->real, scratch_of(net, op), stream));
}

static struct nn_cuda_head head_of(const struct cu_op *op) {
    return (struct nn_cuda_head){.n = op->n,
                                 .channels = op->channels,
                                 .padded = op->stride,
                                 .h = op->h,
                                 .w = op->w,
                                 .factor = op->factor};
}

enum us_nn_status cu_run_unpack(const struct cu_net *net, const struct cu_op *op, void *const *at,
                                void *stream) {
    const struct nn_cuda_map map = map_of(op);
    return cu_status(nn_cuda_unpack(net->type, at[0], at[1], op->channels, &map, stream));
}

enum us_nn_status cu_run_head(const struct cu_net *net, const struct cu_op *op, void *const *at,
                              void *stream) {
    const struct nn_cuda_head head = head_of(op);
    if (!op->sigmoid) {
        return cu_run_unpack(net, op, at, stream);
    }
    return cu_status(nn_cuda_head_forward(net->type, at[0], NULL, at[1], &head, stream));
}

enum us_nn_status cu_run_head_gradient(const struct cu_net *net, const struct cu_op *op,
                                       void *const *at, void *stream) {
    const struct nn_cuda_head head = head_of(op);
    const struct nn_cuda_map map = map_of(op);
    if (!op->sigmoid) {
        return cu_status(nn_cuda_pack(net->type, at[0], op->channels, at[2], &map, stream));
    }
    return cu_status(nn_cuda_head_backward(net->type, at[0], at[1], at[2], &head, stream));
}
