#include <cuda_runtime_api.h>

#include "kernels/cuda/net_internal.h"
#include "kernels/nn/loss_cuda.h"

static const struct cu_ref nowhere = {CU_NOWHERE, 0};

static struct cu_ref kept(struct cu_net *net, size_t bytes) {
    const struct cu_ref ref = cu_net_buffer(net, bytes);
    cu_net_keep(net, ref);
    return ref;
}

static struct cu_ref behind(struct cu_ref ref, size_t bytes) {
    return (struct cu_ref){ref.buffer, ref.offset + bytes};
}

enum us_nn_status cu_run_loss(const struct cu_net *net, const struct cu_op *op, void *const *at,
                              void *stream) {
    const struct nn_cuda_loss_images images = {.image = at[0],
                                               .mask = at[1],
                                               .target = at[2],
                                               .target_mask = at[3],
                                               .priority = at[4],
                                               .image_gradient = at[5],
                                               .mask_gradient = at[6]};
    return cu_status(nn_cuda_loss(&net->loss, op->h, op->n, net->loss_scale, &images, at[7],
                                  net->scratches[op->stream], stream));
}

static void lose(struct cu_net *net, int identity) {
    const int image = net->graph->outputs[identity].image,
              mask = net->graph->outputs[identity].mask;
    const struct nn_node *node = &net->graph->nodes[image];
    const size_t plane = (size_t)net->batch * (size_t)node->h * (size_t)node->w * sizeof(float);
    const size_t first = (size_t)net->graph->outputs[identity].unit;
    struct cu_op *op = cu_net_op(net, cu_run_loss, CU_LOSS, image);
    op->n = net->batch;
    op->h = node->h;
    op->scratch = nn_cuda_loss_scratch(node->h, net->batch);
    net->wanted[identity].targets = kept(net, 3 * plane);
    net->wanted[identity].masks = kept(net, plane);
    net->wanted[identity].priorities = net->loss.priority > 0 ? kept(net, plane) : nowhere;
    cu_op_read(op, behind(net->values[image].ref, first * 3 * plane), 3 * plane);
    cu_op_read(op, mask < 0 ? nowhere : behind(net->values[mask].ref, first * plane), plane);
    cu_op_read(op, net->wanted[identity].targets, 3 * plane);
    cu_op_read(op, net->wanted[identity].masks, plane);
    cu_op_read(op, net->wanted[identity].priorities, plane);
    cu_op_write(op, behind(net->values[image].gradient, first * 3 * plane), 3 * plane);
    cu_op_write(op, mask < 0 ? nowhere : behind(net->values[mask].gradient, first * plane), plane);
    const size_t terms = sizeof(struct us_nn_loss_terms);
    cu_op_write(op, (struct cu_ref){CU_TERMS, (size_t)identity * terms}, terms);
}

void cu_net_losses(struct cu_net *net, const struct us_nn_loss_weights *weights, float scale) {
    if (net->status) {
        return;
    }
    net->loss = *weights;
    net->loss_scale = scale;
    cu_net_look_back(net);
    for (int i = 0; i < net->graph->identities; i++) {
        lose(net, i);
    }
}
