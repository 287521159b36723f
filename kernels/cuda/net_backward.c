#include <string.h>

#include "kernels/cuda/net_internal.h"
#include "kernels/nn/norm_cuda.h"

/* Nodes are visited last to first. What visits a node's readers leaves gradients of its output as
 * pending; the visit brings them down to one, of the sum before the leaky ReLU, and passes it on.
 */

static const struct cu_ref nowhere = {CU_NOWHERE, 0};

static const struct nn_node *node_at(const struct cu_net *net, int node) {
    return &net->graph->nodes[node];
}

static float slope_of(const struct cu_net *net, int node) {
    const struct nn_node *n = node_at(net, node);
    return n->activation == NN_LEAKY && n->layer_count > 0 ? n->slope : 1;
}

static void fail(struct cu_net *net) {
    net->status = net->status ? net->status : US_NN_FAILED;
}

static size_t unit_bytes(const struct cu_net *net, int node) {
    return net->values[node].bytes / (size_t)node_at(net, node)->units;
}

static unsigned unit_bits(const struct nn_node *part) {
    return ((1u << part->units) - 1) << part->first_unit;
}

static void push(struct cu_net *net, int node, struct cu_ref ref) {
    struct cu_value *value = &net->values[node];
    if (value->pending_count == CU_PENDING) {
        fail(net);
        return;
    }
    value->pending[value->pending_count++] = ref;
    value->sloped = false;
}

static bool same_place(struct cu_ref a, struct cu_ref b) {
    return a.buffer == b.buffer && a.offset == b.offset;
}

/* The place in the gradient of a part's whole, when nobody has written there yet. */
static struct cu_ref place_in_whole(struct cu_net *net, int part) {
    const struct nn_node *node = node_at(net, part);
    const int whole = node->inputs[0];
    struct cu_value *value = &net->values[whole];
    if (value->covered & unit_bits(node)) {
        return nowhere;
    }
    if (value->units.buffer == CU_NOWHERE) {
        value->units = cu_net_buffer(net, value->bytes);
        push(net, whole, value->units);
    }
    value->covered |= unit_bits(node);
    return (struct cu_ref){value->units.buffer,
                           value->units.offset + (size_t)node->first_unit * unit_bytes(net, whole)};
}

/* Where a new gradient of a node's output goes; the last one of a part to its place in the whole.
 */
static struct cu_ref new_gradient(struct cu_net *net, int node) {
    if (node_at(net, node)->kind == NN_PART && net->values[node].uses == 0) {
        const struct cu_ref ref = place_in_whole(net, node);
        if (ref.buffer != CU_NOWHERE) {
            return ref;
        }
    }
    return cu_net_buffer(net, net->values[node].bytes);
}

/* out = (a + b) leaky'(y of the node), with b and the slope if there are any. */
static void add(struct cu_net *net, int node, struct cu_ref a, struct cu_ref b, float slope,
                struct cu_ref out) {
    const struct cu_value *value = &net->values[node];
    struct cu_op *op = cu_net_op(net, cu_run_add, CU_BACKWARD, node);
    op->count = value->bytes / nn_cuda_size(net->type);
    op->slope = slope;
    cu_op_read(op, a, value->bytes);
    cu_op_write(op, out, value->bytes);
    cu_op_read(op, b, value->bytes);
    cu_op_read(op, slope < 1 ? value->ref : nowhere, value->bytes);
}

/* Units of a node's gradient that no part has filled are 0. */
static void fill_uncovered(struct cu_net *net, int node) {
    struct cu_value *value = &net->values[node];
    for (int u = 0; value->units.buffer != CU_NOWHERE && u < node_at(net, node)->units; u++) {
        if (!(value->covered >> u & 1)) {
            const size_t bytes = unit_bytes(net, node);
            struct cu_op *op = cu_net_op(net, cu_run_zero, CU_BACKWARD, node);
            op->count = bytes;
            cu_op_write(
                op, (struct cu_ref){value->units.buffer, value->units.offset + (size_t)u * bytes},
                bytes);
            value->covered |= 1u << u;
        }
    }
}

/* Adds pending gradients until `left` are there. */
static void bring_down(struct cu_net *net, int node, int left) {
    struct cu_value *value = &net->values[node];
    while (value->pending_count > left) {
        const struct cu_ref last = value->pending[--value->pending_count];
        add(net, node, value->pending[0], last, 1, value->pending[0]);
    }
}

/* The one gradient of a node, before its leaky ReLU; nowhere when there is none. */
static struct cu_ref settle(struct cu_net *net, int node) {
    struct cu_value *value = &net->values[node];
    if (value->pending_count == 0) {
        return nowhere;
    }
    fill_uncovered(net, node);
    bring_down(net, node, 2);
    const float slope = value->sloped ? 1 : slope_of(net, node);
    if (value->pending_count == 2 || slope < 1) {
        add(net, node, value->pending[0], value->pending_count == 2 ? value->pending[1] : nowhere,
            slope, value->pending[0]);
    }
    value->pending_count = 1;
    return value->pending[0];
}

static bool wants(const struct cu_net *net, int node) {
    return node >= 0 && net->values[node].wanted;
}

/* The slope that the last gradient of a node to be made can include; there are no others then. */
static float take_slope(struct cu_net *net, int node) {
    struct cu_value *value = &net->values[node];
    value->uses--;
    return value->uses == 0 && value->pending_count == 0 ? slope_of(net, node) : 1;
}

static struct cu_op *gradient_op(struct cu_net *net, cu_run *run, int node) {
    const int input = node_at(net, node)->inputs[0];
    struct cu_op *op = cu_net_op(net, run, CU_BACKWARD, node);
    op->n = net->values[input].n;
    op->h = node_at(net, input)->h;
    op->w = node_at(net, input)->w;
    op->stride = net->values[input].stride;
    return op;
}

/* The operation's sums over pixels are the gradient of its layer's bias. */
static void give_bias(struct cu_net *net, struct cu_op *op) {
    bool *taken = &net->bias_taken[op->layer - net->params->layers];
    op->add = *taken;
    op->scratch = cu_bias_scratch(op);
    cu_op_write(op, (struct cu_ref){CU_GRADIENTS, CU_OF_BIAS}, 0);
    *taken = true;
}

static void weights_gradient(struct cu_net *net, int i, struct cu_ref g, bool taken) {
    const struct cu_value *value = &net->values[i], *x = &net->values[node_at(net, i)->inputs[0]];
    const struct cu_layer *layer = value->layer;
    const size_t bytes = layer->count * nn_cuda_size(net->type);
    const bool direct = net->type == net->gradient_type && !layer->partial && !taken;
    const struct cu_ref arena = {CU_GRADIENTS, CU_OF_WEIGHTS};
    const struct cu_ref dw = direct ? arena : cu_net_buffer(net, bytes);
    const struct us_conv_desc desc = cu_conv_desc(net, i, US_CONV_WEIGHT_GRADIENT);
    struct cu_op *op = cu_net_op(net, cu_run_conv, CU_BACKWARD, i);
    cu_op_plan(net, op, &desc);
    op->layer = layer;
    cu_op_read(op, x->ref, x->bytes);
    cu_op_read(op, g, value->bytes);
    cu_op_write(op, dw, bytes);
    if (!direct) {
        op = cu_net_op(net, cu_run_take, CU_BACKWARD, i);
        op->layer = layer;
        op->count = layer->count;
        op->add = taken;
        cu_op_read(op, dw, bytes);
        cu_op_write(op, arena, 0);
        cu_op_read(op, layer->partial ? (struct cu_ref){CU_MASKS, CU_OF_WEIGHTS} : nowhere, 0);
    }
}

/* Of weights and bias. */
static void layer_gradient(struct cu_net *net, int i, struct cu_ref g) {
    const struct cu_value *value = &net->values[i];
    const struct cu_layer *layer = value->layer;
    bool *taken = &net->taken[layer - net->params->layers];
    if (!cu_net_factor(net, i, g)) {
        weights_gradient(net, i, g, *taken);
    }
    *taken = true;
    if (value->summed) {
        return;
    }
    struct cu_op *op = cu_net_op(net, cu_run_bias, CU_BACKWARD, i);
    op->layer = layer;
    op->stride = layer->out;
    op->count = value->bytes / nn_cuda_size(net->type) / (size_t)layer->out;
    cu_op_read(op, g, value->bytes);
    give_bias(net, op);
}

/* The gradient of what a layer read; with all that is pending there and its leaky ReLU when this is
 * the last. */
static void data_gradient(struct cu_net *net, int i, struct cu_ref g) {
    const int input = node_at(net, i)->inputs[0];
    const struct cu_value *value = &net->values[i];
    struct cu_value *x = &net->values[input];
    const bool last = --x->uses == 0;
    struct us_conv_desc desc = cu_conv_desc(net, i, US_CONV_DATA_GRADIENT);
    struct cu_ref residual = nowhere;
    if (last) {
        fill_uncovered(net, input);
        bring_down(net, input, 1);
        desc.slope = slope_of(net, input);
    }
    if (last && x->pending_count == 1) {
        residual = x->pending[0];
        desc.residual = true;
        x->pending_count = 0;
    }
    const struct cu_ref out = new_gradient(net, input);
    struct cu_op *op = cu_net_op(net, cu_run_conv, CU_BACKWARD, i);
    cu_op_plan(net, op, &desc);
    op->layer = value->layer;
    cu_op_read(op, g, value->bytes);
    cu_op_read(op, (struct cu_ref){CU_WEIGHTS, CU_OF_WEIGHTS}, 0);
    cu_op_write(op, out, x->bytes);
    cu_op_read(op, desc.slope < 1 ? x->ref : nowhere, x->bytes);
    cu_op_read(op, residual, x->bytes);
    push(net, input, out);
    x->sloped = last;
}

static void back_layer(struct cu_net *net, int i) {
    const struct nn_node *node = node_at(net, i);
    const struct cu_value *value = &net->values[i];
    struct cu_ref g = settle(net, i);
    if (node->activation == NN_COSINE) {
        struct cu_op *op = cu_net_op(net, cu_run_cosine_gradient, CU_BACKWARD, i);
        op->count = value->bytes / nn_cuda_size(net->type);
        cu_op_read(op, value->raw, value->bytes);
        cu_op_read(op, g, value->bytes);
        cu_op_write(op, g, value->bytes);
    }
    if (!net->still) {
        layer_gradient(net, i, g);
    }
    if (wants(net, node->inputs[0])) {
        data_gradient(net, i, g);
    }
    if (wants(net, node->residual)) {
        net->values[node->residual].uses--;
        push(net, node->residual, g);
    }
}

/* Is what is about to be made all there will be of the gradient before a layer's activation? */
static bool is_whole_gradient(const struct cu_net *net, int node) {
    const struct cu_value *value = &net->values[node];
    return !net->still && value->layer && value->uses == 0 && value->pending_count == 0 &&
           node_at(net, node)->activation != NN_COSINE;
}

static void back_shuffle(struct cu_net *net, int i) {
    if (net->values[i].folded) {
        return;
    }
    const int input = node_at(net, i)->inputs[0];
    const struct cu_value *value = &net->values[i];
    const struct cu_ref g = settle(net, i);
    const float slope = take_slope(net, input);
    const struct cu_ref out = new_gradient(net, input);
    struct cu_op *op = gradient_op(net, cu_run_shuffle_gradient, i);
    op->slope = slope;
    cu_op_read(op, g, value->bytes);
    cu_op_read(op, value->ref, value->bytes);
    cu_op_write(op, out, net->values[input].bytes);
    if (is_whole_gradient(net, input)) {
        net->values[input].summed = true;
        op->layer = net->values[input].layer;
        op->count = (size_t)op->n * (size_t)op->h * (size_t)op->w;
        give_bias(net, op);
    }
    push(net, input, out);
    net->values[input].sloped = op->slope < 1;
}

static void back_norm(struct cu_net *net, int i) {
    const struct nn_node *node = node_at(net, i);
    const struct cu_value *value = &net->values[i];
    const struct cu_ref g = settle(net, i);
    net->values[node->inputs[0]].uses--;
    const struct cu_ref out = new_gradient(net, node->inputs[0]);
    struct cu_op *op = gradient_op(net, cu_run_norm_gradient, i);
    op->scratch = nn_cuda_norm_scratch(value->n);
    op->count = value->bytes / (size_t)value->n / nn_cuda_size(net->type);
    op->real = (size_t)node->c * (size_t)node->h * (size_t)node->w;
    cu_op_read(op, g, value->bytes);
    cu_op_read(op, value->ref, value->bytes);
    cu_op_read(op, value->raw, (size_t)value->n * sizeof(float));
    cu_op_write(op, out, value->bytes);
    push(net, node->inputs[0], out);
}

static void back_concat(struct cu_net *net, int i) {
    const struct nn_node *node = node_at(net, i);
    const struct cu_value *value = &net->values[i];
    const struct cu_ref g = settle(net, i);
    int first = 0;
    for (int k = 0; k < 2; k++) {
        const int input = node->inputs[k], stride = net->values[input].stride;
        if (wants(net, input)) {
            net->values[input].uses--;
            const struct cu_ref out = new_gradient(net, input);
            struct cu_op *op = cu_net_op(net, cu_run_channels, CU_BACKWARD, i);
            op->stride = value->stride;
            op->stride2 = op->c = stride;
            op->from = first;
            op->count = (size_t)value->n * (size_t)node->h * (size_t)node->w;
            cu_op_read(op, g, value->bytes);
            cu_op_write(op, out, net->values[input].bytes);
            push(net, input, out);
        }
        first += stride;
    }
}

static void back_stack(struct cu_net *net, int i) {
    const struct nn_node *node = node_at(net, i);
    struct cu_ref g = settle(net, i);
    for (int k = 0; k < 2; k++) {
        if (wants(net, node->inputs[k])) {
            net->values[node->inputs[k]].uses--;
            push(net, node->inputs[k], g);
        }
        g.offset += net->values[node->inputs[k]].bytes;
    }
}

static void back_part(struct cu_net *net, int i) {
    const struct nn_node *node = node_at(net, i);
    struct cu_value *whole = &net->values[node->inputs[0]];
    const size_t at = (size_t)node->first_unit * unit_bytes(net, node->inputs[0]);
    const bool fresh = whole->units.buffer == CU_NOWHERE || !(whole->covered & unit_bits(node));
    const struct cu_ref g = settle(net, i);
    const struct cu_ref own = fresh
                                  ? place_in_whole(net, i)
                                  : (struct cu_ref){whole->units.buffer, whole->units.offset + at};
    whole->uses--;
    if (same_place(g, own)) {
        return;
    }
    if ((whole->covered & unit_bits(node)) != unit_bits(node)) {
        fill_uncovered(net, node->inputs[0]); /* parts that overlap in some units only */
    }
    add(net, i, g, fresh ? nowhere : own, 1, own);
}

static void back_resize(struct cu_net *net, int i) {
    const struct nn_node *node = node_at(net, i);
    const struct cu_value *value = &net->values[i], *x = &net->values[node->inputs[0]];
    const struct cu_ref g = settle(net, i);
    net->values[node->inputs[0]].uses--;
    const struct cu_ref out = new_gradient(net, node->inputs[0]);
    struct cu_op *op = gradient_op(
        net, node->kind == NN_POOL ? cu_run_pool_gradient : cu_run_upsample_gradient, i);
    cu_op_read(op, g, value->bytes);
    cu_op_read(op, node->kind == NN_POOL ? x->ref : nowhere, x->bytes);
    cu_op_write(op, out, x->bytes);
    push(net, node->inputs[0], out);
}

static void back_blend(struct cu_net *net, int i) {
    const struct nn_node *node = node_at(net, i);
    const struct cu_value *value = &net->values[i];
    const struct cu_ref g = settle(net, i);
    struct cu_ref out[2];
    struct cu_op *op;
    for (int k = 0; k < 2; k++) {
        if (wants(net, node->inputs[k])) {
            net->values[node->inputs[k]].uses--;
            out[k] = new_gradient(net, node->inputs[k]);
        } else {
            out[k] = cu_net_buffer(net, value->bytes);
        }
    }
    op = cu_net_op(net, cu_run_blend_gradient, CU_BACKWARD, i);
    op->count = value->bytes / nn_cuda_size(net->type);
    cu_op_read(op, g, value->bytes);
    cu_op_write(op, out[0], value->bytes);
    cu_op_write(op, out[1], value->bytes);
    for (int k = 0; k < 2; k++) {
        if (wants(net, node->inputs[k])) {
            push(net, node->inputs[k], out[k]);
        }
    }
}

static void back_head(struct cu_net *net, int i) {
    struct cu_value *value = &net->values[i];
    int input;
    struct cu_op *op = cu_net_op(net, cu_run_head_gradient, CU_BACKWARD, i);
    cu_head_shape(net, i, op, &input);
    net->values[input].uses--;
    const struct cu_ref out = new_gradient(net, input);
    cu_op_read(op, value->gradient, value->bytes);
    cu_op_read(op, value->ref, value->bytes);
    cu_op_write(op, out, net->values[input].bytes);
    push(net, input, out);
}

/* Out as planes; a differentiable input has no readers but those that were visited. */
static void back_input(struct cu_net *net, int i) {
    const struct nn_node *node = node_at(net, i);
    struct cu_value *value = &net->values[i];
    const struct cu_ref g = settle(net, i);
    const size_t planes =
        (size_t)value->n * (size_t)node->c * (size_t)node->h * (size_t)node->w * sizeof(float);
    value->gradient = cu_net_kept(net, planes);
    struct cu_op *op = cu_net_op(net, cu_run_unpack, CU_BACKWARD, i);
    op->n = value->n;
    op->h = node->h;
    op->w = node->w;
    op->stride = value->stride;
    op->channels = node->c;
    cu_op_read(op, g, value->bytes);
    cu_op_write(op, value->gradient, planes);
}

void cu_net_bring(struct cu_net *net, int node, struct cu_ref gradient) {
    push(net, node, gradient);
}

void cu_net_backward(struct cu_net *net) {
    static void (*const back[])(struct cu_net *, int) = {
        [NN_INPUT] = back_input, [NN_CONV] = back_layer,
        [NN_DENSE] = back_layer, [NN_DEPTH_TO_SPACE] = back_shuffle,
        [NN_NORM] = back_norm,   [NN_CONCAT] = back_concat,
        [NN_STACK] = back_stack, [NN_PART] = back_part,
        [NN_POOL] = back_resize, [NN_UPSAMPLE] = back_resize,
        [NN_BLEND] = back_blend, [NN_SIGMOID] = back_head,
        [NN_PLANES] = back_head,
    };
    for (int i = net->graph->count; i-- > 0 && !net->status;) {
        const struct cu_value *value = &net->values[i];
        if (value->reached && value->wanted) {
            back[net->graph->nodes[i].kind](net, i);
        }
    }
    cu_net_late(net);
}
