#include "kernels/cuda/net_internal.h"

/* The weight gradient of a dense layer is a product of what it read and of its output's gradient.
 * Between ranks these two are often far smaller than it is: 131,072 x 256 weights are 134 MB, what
 * 32 faces bring to them 8.4 MB. Then every rank gets the others' two and computes the gradient of
 * all faces, and no gradient of the layer travels. */

static bool read_once(const struct cu_net *net, const struct cu_layer *layer) {
    int users = 0;
    for (int i = 0; i < net->graph->count; i++) {
        users += net->values[i].layer == layer;
    }
    return users == 1;
}

/* All-reduce moves 2 (n - 1) / n times the gradient to and from each rank, gathering (n - 1) times
 * the two. */
static bool worth_it(const struct cu_net *net, const struct cu_layer *layer, size_t factors) {
    return (size_t)net->world * factors < 2 * layer->count * nn_cuda_size(net->gradient_type);
}

static struct cu_ref own_part(const struct cu_net *net, struct cu_ref all, size_t bytes) {
    return (struct cu_ref){all.buffer, all.offset + (size_t)net->rank * bytes};
}

static struct cu_op *put(struct cu_net *net, int node, struct cu_ref from, size_t bytes,
                         struct cu_ref all) {
    struct cu_op *op = cu_net_op(net, cu_run_copy, CU_BACKWARD, node);
    op->count = bytes;
    cu_op_read(op, from, bytes);
    cu_op_write(op, own_part(net, all, bytes), bytes);
    return op;
}

static struct cu_ref room(struct cu_net *net, size_t bytes) {
    const struct cu_ref ref = cu_net_buffer(net, bytes * (size_t)net->world);
    cu_net_keep(net, ref);
    return ref;
}

bool cu_net_factor(struct cu_net *net, int i, struct cu_ref g) {
    const struct nn_node *node = &net->graph->nodes[i];
    const struct cu_value *value = &net->values[i], *x = &net->values[node->inputs[0]];
    if (net->world < 2 || node->kind != NN_DENSE || net->factor_count == CU_FACTORS ||
        value->layer->partial || !read_once(net, value->layer) ||
        !worth_it(net, value->layer, x->bytes + value->bytes)) {
        return false;
    }
    struct cu_factor *factor = &net->factors[net->factor_count++];
    *factor = (struct cu_factor){.node = i,
                                 .layer = value->layer,
                                 .x = room(net, x->bytes),
                                 .g = room(net, value->bytes),
                                 .x_bytes = x->bytes,
                                 .g_bytes = value->bytes};
    put(net, i, x->ref, x->bytes, factor->x);
    put(net, i, g, value->bytes, factor->g)->gathers = net->factor_count;
    return true;
}

void cu_net_late(struct cu_net *net) {
    for (int k = 0; k < net->factor_count; k++) {
        const struct cu_factor *factor = &net->factors[k];
        const bool direct = net->type == net->gradient_type;
        const size_t bytes = factor->layer->count * nn_cuda_size(net->type);
        const struct cu_ref arena = {CU_GRADIENTS, CU_OF_WEIGHTS};
        const struct cu_ref dw = direct ? arena : cu_net_buffer(net, bytes);
        struct us_conv_desc desc = cu_conv_desc(net, factor->node, US_CONV_WEIGHT_GRADIENT);
        desc.batch *= net->world;
        struct cu_op *op = cu_net_op(net, cu_run_conv, CU_LATE, factor->node);
        cu_op_plan(net, op, &desc);
        op->layer = factor->layer;
        cu_op_read(op, factor->x, factor->x_bytes * (size_t)net->world);
        cu_op_read(op, factor->g, factor->g_bytes * (size_t)net->world);
        cu_op_write(op, dw, bytes);
        if (!direct) {
            op = cu_net_op(net, cu_run_take, CU_LATE, factor->node);
            op->layer = factor->layer;
            op->count = factor->layer->count;
            cu_op_read(op, dw, bytes);
            cu_op_write(op, arena, 0);
            cu_op_read(op, (struct cu_ref){CU_NOWHERE, 0}, 0);
        }
    }
}
