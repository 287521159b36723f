#include <cuda_runtime_api.h>

#include "kernels/cuda/net_internal.h"
#include "kernels/nn/loss_cuda.h"

static const struct cu_ref nowhere = {CU_NOWHERE, 0};

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
    net->wanted[identity].targets = cu_net_kept(net, 3 * plane);
    net->wanted[identity].masks = cu_net_kept(net, plane);
    net->wanted[identity].priorities = net->loss.priority > 0 ? cu_net_kept(net, plane) : nowhere;
    cu_op_read(op, cu_ref_behind(net->values[image].ref, first * 3 * plane), 3 * plane);
    cu_op_read(op, mask < 0 ? nowhere : cu_ref_behind(net->values[mask].ref, first * plane), plane);
    cu_op_read(op, net->wanted[identity].targets, 3 * plane);
    cu_op_read(op, net->wanted[identity].masks, plane);
    cu_op_read(op, net->wanted[identity].priorities, plane);
    cu_op_write(op, cu_ref_behind(net->values[image].gradient, first * 3 * plane), 3 * plane);
    cu_op_write(op, mask < 0 ? nowhere : cu_ref_behind(net->values[mask].gradient, first * plane),
                plane);
    const size_t terms = sizeof(struct us_nn_loss_terms);
    cu_op_write(op, (struct cu_ref){CU_TERMS, (size_t)identity * terms}, terms);
}

static bool wants(const struct cu_net *net, int node) {
    return node >= 0 && net->values[node].wanted;
}

static void start(struct cu_value *value) {
    value->uses = value->pending_count = 0;
    value->reached = value->sloped = false;
    value->units = value->gradient = nowhere;
    value->covered = 0;
}

/* Which nodes' gradients are needed, and how many readers bring them one. */
static void reach(struct cu_net *net, int i) {
    const struct nn_node *node = &net->graph->nodes[i];
    int inputs[3] = {node->inputs[0], node->inputs[1], node->residual};
    if (net->values[i].planes) {
        struct cu_op shape;
        cu_head_shape(net, i, &shape, &inputs[0]);
        net->values[i].gradient = cu_net_kept(net, net->values[i].bytes);
    }
    for (int k = 0; k < 3; k++) {
        if (wants(net, inputs[k])) {
            net->values[inputs[k]].reached = true;
            net->values[inputs[k]].uses++;
        }
    }
}

void cu_net_look_back(struct cu_net *net, const int *heads, int count) {
    for (int i = 0; i < net->graph->count; i++) {
        start(&net->values[i]);
    }
    for (int i = 0; i < count; i++) {
        net->values[heads[i]].reached = true;
    }
    for (int i = net->graph->count; i-- > 0;) {
        if (net->values[i].reached) {
            reach(net, i);
        }
    }
}

void cu_net_losses(struct cu_net *net, const struct us_nn_loss_weights *weights, float scale) {
    int heads[2 * US_NN_IDENTITIES], count = 0;
    if (net->status) {
        return;
    }
    net->loss = *weights;
    net->loss_scale = scale;
    for (int i = 0; i < net->graph->identities; i++) {
        heads[count++] = net->graph->outputs[i].image;
        if (net->graph->outputs[i].mask >= 0) {
            heads[count++] = net->graph->outputs[i].mask;
        }
    }
    cu_net_look_back(net, heads, count);
    for (int i = 0; i < net->graph->identities; i++) {
        lose(net, i);
    }
}
