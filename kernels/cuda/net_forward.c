#include <string.h>

#include "kernels/cuda/net_internal.h"
#include "kernels/nn/norm_cuda.h"

static const struct nn_node *node_at(const struct cu_net *net, int node) {
    return &net->graph->nodes[node];
}

static void fail(struct cu_net *net, enum us_nn_status status) {
    net->status = net->status ? net->status : status;
}

static size_t area(const struct nn_node *node) {
    return (size_t)node->h * (size_t)node->w;
}

static void count_reader(struct cu_net *net, int node) {
    if (node >= 0) {
        net->values[node].readers++;
    }
}

/* Who reads whom, and which nodes have parameters before them. */
static void look_ahead(struct cu_net *net) {
    for (int i = 0; i < net->graph->count; i++) {
        const struct nn_node *node = node_at(net, i);
        const int inputs[3] = {node->inputs[0], node->inputs[1], node->residual};
        net->values[i].wanted = node->layer_count > 0 || node->differentiable;
        for (int k = 0; k < 3; k++) {
            count_reader(net, inputs[k]);
            if (inputs[k] >= 0 && net->values[inputs[k]].wanted) {
                net->values[i].wanted = true;
            }
        }
    }
}

static bool is_head(const struct nn_node *node) {
    return node->kind == NN_SIGMOID || node->kind == NN_PLANES;
}

/* Depth-to-space right before a head is done by the head. */
static void fold_heads(struct cu_net *net) {
    for (int i = 0; i < net->graph->count; i++) {
        const int input = node_at(net, i)->inputs[0];
        if (is_head(node_at(net, i)) && node_at(net, input)->kind == NN_DEPTH_TO_SPACE &&
            net->values[input].readers == 1) {
            net->values[input].folded = true;
        }
    }
}

/* Rows of a layer go in padded groups when depth-to-space alone reads them. */
static enum cu_row_order order_of(const struct cu_net *net, int node) {
    if (node_at(net, node)->kind == NN_DENSE) {
        return CU_ROWS_VECTOR;
    }
    for (int i = node + 1; i < net->graph->count; i++) {
        const struct nn_node *reader = node_at(net, i);
        if (reader->kind == NN_DEPTH_TO_SPACE && reader->inputs[0] == node) {
            return net->values[i].folded ? CU_ROWS_PLAIN : CU_ROWS_SHUFFLE;
        }
    }
    return CU_ROWS_PLAIN;
}

static void make_value(struct cu_net *net, int i, int stride, bool own) {
    const struct nn_node *node = node_at(net, i);
    struct cu_value *value = &net->values[i];
    value->n = node->units * net->batch;
    value->stride = stride;
    value->bytes = (size_t)value->n * area(node) * (size_t)stride * nn_cuda_size(net->type);
    if (own) {
        value->ref = cu_net_buffer(net, value->bytes);
    }
}

static void make_planes(struct cu_net *net, int i) {
    const struct nn_node *node = node_at(net, i);
    struct cu_value *value = &net->values[i];
    value->planes = true;
    value->n = node->units * net->batch;
    value->stride = node->c;
    value->bytes = (size_t)value->n * area(node) * (size_t)node->c * sizeof(float);
    value->ref = cu_net_buffer(net, value->bytes);
    cu_net_keep(net, value->ref);
}

static struct cu_op *unary(struct cu_net *net, cu_run *run, int i) {
    const struct nn_node *node = node_at(net, i), *from = node_at(net, node->inputs[0]);
    const struct cu_value *x = &net->values[node->inputs[0]];
    struct cu_op *op = cu_net_op(net, run, CU_FORWARD, i);
    op->n = x->n;
    op->h = from->h;
    op->w = from->w;
    op->stride = x->stride;
    cu_op_read(op, x->ref, x->bytes);
    cu_op_write(op, net->values[i].ref, net->values[i].bytes);
    return op;
}

static void lower_input(struct cu_net *net, int i) {
    const struct nn_node *node = node_at(net, i);
    struct cu_value *value = &net->values[i];
    make_value(net, i, cu_pad(node->c), true);
    const size_t bytes = (size_t)value->n * area(node) * (size_t)node->c * sizeof(float);
    value->raw = cu_net_buffer(net, bytes);
    cu_net_keep(net, value->raw);
    struct cu_op *op = cu_net_op(net, cu_run_pack, CU_FORWARD, i);
    op->n = value->n;
    op->h = node->h;
    op->w = node->w;
    op->c = node->c;
    op->stride = value->stride;
    cu_op_read(op, value->raw, bytes);
    cu_op_write(op, value->ref, value->bytes);
}

struct us_conv_desc cu_conv_desc(const struct cu_net *net, int i, enum us_conv_op kind) {
    const struct nn_node *node = node_at(net, i), *from = node_at(net, node->inputs[0]);
    const struct cu_value *x = &net->values[node->inputs[0]];
    const bool dense = node->kind == NN_DENSE;
    struct us_conv_desc desc = {.op = kind,
                                .type = net->type == NN_CUDA_BF16 ? US_CONV_BF16 : US_CONV_F32,
                                .batch = x->n,
                                .in_height = dense ? 1 : from->h,
                                .in_width = dense ? 1 : from->w,
                                .in_channels = dense ? from->h * from->w * x->stride : x->stride,
                                .out_channels = net->values[i].layer->out,
                                .kernel_height = dense ? 1 : node->kernel,
                                .kernel_width = dense ? 1 : node->kernel,
                                .stride = dense ? 1 : node->stride,
                                .slope = 1};
    us_conv_desc_same(&desc);
    return desc;
}

static int plan_for(struct cu_net *net, const struct us_conv_desc *desc) {
    for (int i = 0; i < net->plan_count; i++) {
        if (memcmp(&net->plans[i].desc, desc, sizeof *desc) == 0) {
            return i;
        }
    }
    net->plans[net->plan_count].desc = *desc;
    return net->plan_count++;
}

void cu_op_plan(struct cu_net *net, struct cu_op *op, const struct us_conv_desc *desc) {
    struct us_conv_desc clean;
    memset(&clean, 0, sizeof clean); /* plans are told apart byte by byte */
    clean.op = desc->op;
    clean.type = desc->type;
    clean.batch = desc->batch;
    clean.in_height = desc->in_height, clean.in_width = desc->in_width;
    clean.in_channels = desc->in_channels;
    clean.out_height = desc->out_height, clean.out_width = desc->out_width;
    clean.out_channels = desc->out_channels;
    clean.kernel_height = desc->kernel_height, clean.kernel_width = desc->kernel_width;
    clean.stride = desc->stride;
    clean.pad_top = desc->pad_top, clean.pad_left = desc->pad_left;
    clean.pad_bottom = desc->pad_bottom, clean.pad_right = desc->pad_right;
    clean.bias = desc->bias;
    clean.residual = desc->residual;
    clean.slope = desc->slope;
    op->plan = plan_for(net, &clean);
}

/* Weights are placed when all layers are known: the operation refers to its layer by node. */
static void lower_layer(struct cu_net *net, int i) {
    const struct nn_node *node = node_at(net, i);
    struct cu_value *value = &net->values[i];
    const struct cu_value *x = &net->values[node->inputs[0]];
    value->layer = cu_params_layer(net->params, net->graph, node, order_of(net, i));
    if (!value->layer) {
        fail(net, US_NN_FAILED);
        return;
    }
    const bool vector = node->kind == NN_DENSE;
    make_value(net, i, vector ? cu_pad(node->c) : value->layer->out, true);
    struct us_conv_desc desc = cu_conv_desc(net, i, US_CONV_FORWARD);
    desc.bias = true;
    desc.residual = node->residual >= 0;
    desc.slope = node->activation == NN_LEAKY ? node->slope : 1;
    struct cu_ref out = value->ref;
    if (node->activation == NN_COSINE) {
        out = value->raw = cu_net_buffer(net, value->bytes);
    }
    struct cu_op *op = cu_net_op(net, cu_run_conv, CU_FORWARD, i);
    cu_op_plan(net, op, &desc);
    op->layer = value->layer;
    cu_op_read(op, x->ref, x->bytes);
    cu_op_read(op, (struct cu_ref){CU_WEIGHTS, 0}, 0);
    cu_op_write(op, out, value->bytes);
    cu_op_read(op, (struct cu_ref){CU_MASTERS, 0}, 0);
    if (desc.residual) {
        cu_op_read(op, net->values[node->residual].ref, value->bytes);
    }
    if (node->activation == NN_COSINE) {
        op = cu_net_op(net, cu_run_cosine, CU_FORWARD, i);
        op->count = value->bytes / nn_cuda_size(net->type);
        cu_op_read(op, value->raw, value->bytes);
        cu_op_write(op, value->ref, value->bytes);
    }
}

static void lower_shuffle(struct cu_net *net, int i) {
    const struct nn_node *node = node_at(net, i);
    const struct cu_value *x = &net->values[node->inputs[0]];
    if (net->values[i].folded) {
        return;
    }
    make_value(net, i, cu_pad(node->c), true);
    if (x->stride != 4 * net->values[i].stride || x->readers != 1 || !x->layer) {
        fail(net, US_NN_UNSUPPORTED);
        return;
    }
    unary(net, cu_run_shuffle, i);
}

static void lower_norm(struct cu_net *net, int i) {
    const struct nn_node *node = node_at(net, i);
    struct cu_value *value = &net->values[i];
    make_value(net, i, net->values[node->inputs[0]].stride, true);
    value->raw = cu_net_buffer(net, (size_t)value->n * sizeof(float));
    struct cu_op *op = unary(net, cu_run_norm, i);
    op->scratch = nn_cuda_norm_scratch(value->n);
    op->count = area(node) * (size_t)value->stride;
    op->real = area(node) * (size_t)node->c;
    cu_op_write(op, value->raw, (size_t)value->n * sizeof(float));
}

/* Padding between the parts is skipped by the weights of layers (struct cu_layer); nothing else can
 * read it. */
static bool only_layers_read(const struct cu_net *net, int i) {
    for (int k = i + 1; k < net->graph->count; k++) {
        const struct nn_node *reader = node_at(net, k);
        const bool layer = reader->kind == NN_CONV || reader->kind == NN_DENSE;
        if (reader->inputs[1] == i || reader->residual == i || (reader->inputs[0] == i && !layer)) {
            return false;
        }
    }
    return true;
}

static void lower_concat(struct cu_net *net, int i) {
    const struct nn_node *node = node_at(net, i);
    const struct cu_value *a = &net->values[node->inputs[0]], *b = &net->values[node->inputs[1]];
    make_value(net, i, a->stride + b->stride, true);
    if (node_at(net, node->inputs[0])->c % 8 != 0 && !only_layers_read(net, i)) {
        fail(net, US_NN_UNSUPPORTED);
        return;
    }
    int first = 0;
    for (int k = 0; k < 2; k++) {
        const struct cu_value *from = &net->values[node->inputs[k]];
        struct cu_op *op = cu_net_op(net, cu_run_channels, CU_FORWARD, i);
        op->stride = op->c = from->stride;
        op->stride2 = net->values[i].stride;
        op->to = first;
        op->count = (size_t)from->n * area(node);
        cu_op_read(op, from->ref, from->bytes);
        cu_op_write(op, net->values[i].ref, net->values[i].bytes);
        first += from->stride;
    }
}

static void lower_stack(struct cu_net *net, int i) {
    const struct nn_node *node = node_at(net, i);
    make_value(net, i, net->values[node->inputs[0]].stride, true);
    struct cu_ref to = net->values[i].ref;
    for (int k = 0; k < 2; k++) {
        const struct cu_value *from = &net->values[node->inputs[k]];
        struct cu_op *op = cu_net_op(net, cu_run_copy, CU_FORWARD, i);
        op->count = from->bytes;
        cu_op_read(op, from->ref, from->bytes);
        cu_op_write(op, to, from->bytes);
        to.offset += from->bytes;
    }
}

static void lower_part(struct cu_net *net, int i) {
    const struct nn_node *node = node_at(net, i);
    const struct cu_value *x = &net->values[node->inputs[0]];
    make_value(net, i, x->stride, false);
    const size_t unit = net->values[i].bytes / (size_t)node->units;
    net->values[i].ref =
        (struct cu_ref){x->ref.buffer, x->ref.offset + (size_t)node->first_unit * unit};
}

static void lower_resize(struct cu_net *net, int i) {
    const struct nn_node *node = node_at(net, i);
    make_value(net, i, net->values[node->inputs[0]].stride, true);
    unary(net, node->kind == NN_POOL ? cu_run_pool : cu_run_upsample, i);
}

static void lower_blend(struct cu_net *net, int i) {
    const struct nn_node *node = node_at(net, i);
    make_value(net, i, net->values[node->inputs[0]].stride, true);
    const struct cu_value *value = &net->values[i];
    struct cu_op *op = cu_net_op(net, cu_run_blend, CU_FORWARD, i);
    op->count = value->bytes / nn_cuda_size(net->type);
    cu_op_read(op, net->values[node->inputs[0]].ref, value->bytes);
    cu_op_read(op, net->values[node->inputs[1]].ref, value->bytes);
    cu_op_write(op, value->ref, value->bytes);
}

void cu_head_shape(const struct cu_net *net, int i, struct cu_op *op, int *input) {
    const struct nn_node *node = node_at(net, i);
    *input = node->inputs[0];
    op->factor = 1;
    if (net->values[*input].folded) {
        *input = node_at(net, *input)->inputs[0];
        op->factor = 2;
    }
    const struct nn_node *from = node_at(net, *input);
    op->n = net->values[*input].n;
    op->h = from->h;
    op->w = from->w;
    op->stride = net->values[*input].stride;
    op->channels = node->c;
    op->sigmoid = node->kind == NN_SIGMOID;
}

static void lower_head(struct cu_net *net, int i) {
    int input;
    make_planes(net, i);
    struct cu_op *op = cu_net_op(net, cu_run_head, CU_FORWARD, i);
    cu_head_shape(net, i, op, &input);
    cu_op_read(op, net->values[input].ref, net->values[input].bytes);
    cu_op_write(op, net->values[i].ref, net->values[i].bytes);
}

void cu_net_forward(struct cu_net *net) {
    static void (*const lower[])(struct cu_net *, int) = {
        [NN_INPUT] = lower_input, [NN_CONV] = lower_layer,
        [NN_DENSE] = lower_layer, [NN_DEPTH_TO_SPACE] = lower_shuffle,
        [NN_NORM] = lower_norm,   [NN_CONCAT] = lower_concat,
        [NN_STACK] = lower_stack, [NN_PART] = lower_part,
        [NN_POOL] = lower_resize, [NN_UPSAMPLE] = lower_resize,
        [NN_BLEND] = lower_blend, [NN_SIGMOID] = lower_head,
        [NN_PLANES] = lower_head,
    };
    look_ahead(net);
    fold_heads(net);
    for (int i = 0; i < net->graph->count && !net->status; i++) {
        lower[node_at(net, i)->kind](net, i);
    }
}
