#include <stdio.h>

#include "kernels/nn/lower_internal.h"
#include "kernels/nn/ops_internal.h"

struct lowering {
    struct nn_net *net;
    const struct nn_graph *graph;
    int batch;
    struct nn_tensor **tensors;
    struct nn_tensor *images[NN_GRAPH_NODES]; /* of inputs, before the cast */
    int uses[NN_GRAPH_NODES];
    int user[NN_GRAPH_NODES]; /* the last node that reads it */
};

static bool is_output(const struct nn_node *node) {
    return node->kind == NN_SIGMOID || node->kind == NN_PLANES;
}

static void count_uses(struct lowering *l) {
    for (int i = 0; i < l->graph->count; i++) {
        const struct nn_node *node = &l->graph->nodes[i];
        const int read[] = {node->inputs[0], node->inputs[1], node->residual};
        for (int k = 0; k < 3; k++) {
            if (read[k] >= 0) {
                l->uses[read[k]]++;
                l->user[read[k]] = i;
            }
        }
    }
}

/* The node that alone reads this one, or NULL. */
static const struct nn_node *only_user(const struct lowering *l, int node) {
    return l->uses[node] == 1 ? &l->graph->nodes[l->user[node]] : NULL;
}

/* Whether only an output reads it, maybe larger or blended: then it stays float. */
static bool leads_to_output(const struct lowering *l, int node) {
    const struct nn_node *next = only_user(l, node);
    if (next && (next->kind == NN_UPSAMPLE || next->kind == NN_BLEND)) {
        return leads_to_output(l, l->user[node]);
    }
    return next && is_output(next);
}

/* A linear convolution that only an output reads, maybe through depth-to-space. */
static bool is_head(const struct lowering *l, int conv) {
    const struct nn_node *node = &l->graph->nodes[conv], *next = only_user(l, conv);
    if (node->kind != NN_CONV || node->activation != NN_LINEAR || !next) {
        return false;
    }
    if (next->kind == NN_DEPTH_TO_SPACE) {
        next = only_user(l, l->user[conv]);
    }
    return next && is_output(next);
}

static bool is_shuffled(const struct lowering *l, int conv) {
    const struct nn_node *next = only_user(l, conv);
    return next && next->kind == NN_DEPTH_TO_SPACE && l->graph->nodes[conv].kind == NN_CONV &&
           !is_head(l, conv);
}

static struct nn_weight *weight_of(const struct lowering *l, const struct nn_node *node,
                                   enum nn_row_order order, int size) {
    struct nn_params *params = l->net->params;
    if (node->layer_count == 1) {
        return nn_params_layer(params, node->layers[0].text, order, size);
    }
    char name[sizeof node->layers[0].text + 2];
    const char *parts[NN_GRAPH_PARTS];
    for (int i = 0; i < node->layer_count; i++) {
        parts[i] = node->layers[i].text;
    }
    snprintf(name, sizeof name, "%s+", parts[0]);
    return node->kernel == 3 && order == NN_ROWS_PLAIN
               ? nn_params_merged(params, name, parts, node->layer_count)
               : NULL;
}

static struct nn_tensor *lower_input(struct lowering *l, int i) {
    const struct nn_node *node = &l->graph->nodes[i];
    l->images[i] = nn_net_image(l->net, node->units * l->batch, node->c, node->h, node->w);
    if (l->images[i]) {
        nn_net_use_value(l->net, l->images[i], 0);
    }
    return nn_input(l->net, l->images[i], node->differentiable);
}

static struct nn_tensor *lower_conv(struct lowering *l, int i) {
    const struct nn_node *node = &l->graph->nodes[i], *in = &l->graph->nodes[node->inputs[0]];
    const bool shuffled = is_shuffled(l, i), leaky = node->activation == NN_LEAKY;
    if (shuffled && node->residual >= 0) {
        return NULL;
    }
    struct nn_weight *weight = weight_of(l, node, shuffled ? NN_ROWS_SHUFFLE : NN_ROWS_PLAIN, 0);
    const struct nn_conv_options options = {
        .stride = node->stride,
        .slope = leaky ? node->slope : 1,
        .residual = node->residual < 0 ? NULL : l->tensors[node->residual],
        .slope_after = shuffled && leaky,
        .wide = node->activation == NN_LINEAR && (is_head(l, i) || leads_to_output(l, i)),
        .first = in->kind == NN_INPUT && !in->differentiable,
    };
    struct nn_tensor *y = nn_conv(l->net, l->tensors[node->inputs[0]], weight, &options);
    return node->activation == NN_COSINE && !shuffled ? nn_cosine(l->net, y) : y;
}

/* Whether only dense layers read it: then it need not be blocks of channels. */
static bool feeds_dense(const struct nn_graph *graph, int node) {
    for (int i = node + 1; i < graph->count; i++) {
        const struct nn_node *user = &graph->nodes[i];
        const bool reads =
            user->inputs[0] == node || user->inputs[1] == node || user->residual == node;
        if (reads && user->kind != NN_DENSE && (user->kind != NN_PART || !feeds_dense(graph, i))) {
            return false;
        }
    }
    return true;
}

static struct nn_tensor *lower_dense(struct lowering *l, int i) {
    const struct nn_node *node = &l->graph->nodes[i], *in = &l->graph->nodes[node->inputs[0]];
    const bool vector = node->h * node->w == 1 && feeds_dense(l->graph, i);
    if (node->h != node->w || in->h != in->w || node->residual >= 0) {
        return NULL;
    }
    struct nn_weight *weight =
        weight_of(l, node, vector ? NN_ROWS_PLAIN : NN_ROWS_VECTOR, vector ? in->h : node->h);
    struct nn_tensor *y =
        nn_dense(l->net, l->tensors[node->inputs[0]], weight, node->c, vector ? 0 : node->h,
                 node->activation == NN_LEAKY ? node->slope : 1);
    return node->activation == NN_COSINE ? nn_cosine(l->net, y) : y;
}

/* Depth-to-space and the activation of the convolution before it. */
static struct nn_tensor *lower_depth_to_space(struct lowering *l, int i) {
    const struct nn_node *node = &l->graph->nodes[i], *conv = &l->graph->nodes[node->inputs[0]];
    if (is_head(l, node->inputs[0])) {
        return l->tensors[node->inputs[0]];
    }
    if (!is_shuffled(l, node->inputs[0])) {
        return NULL;
    }
    struct nn_tensor *y = nn_shuffle(l->net, l->tensors[node->inputs[0]], node->c,
                                     conv->activation == NN_LEAKY ? conv->slope : 1);
    return conv->activation == NN_COSINE ? nn_cosine(l->net, y) : y;
}

static struct nn_tensor *lower_output(struct lowering *l, int i) {
    const struct nn_node *node = &l->graph->nodes[i], *in = &l->graph->nodes[node->inputs[0]];
    const bool shuffled = in->kind == NN_DEPTH_TO_SPACE && is_head(l, in->inputs[0]);
    if (!shuffled &&
        (!leads_to_output(l, node->inputs[0]) || l->tensors[node->inputs[0]]->type != dnnl_f32)) {
        return NULL;
    }
    return nn_head(l->net, l->tensors[node->inputs[0]], node->c, shuffled ? 2 : 1,
                   node->kind == NN_SIGMOID);
}

/* Parts that together are the whole tensor, each read equally often: then every gradient of the
 * whole is written entirely. */
static bool shared_out(const struct lowering *l, int whole) {
    const struct nn_graph *graph = l->graph;
    int units = 0, parts = 0, reads = -1;
    for (int i = whole + 1; i < graph->count; i++) {
        const struct nn_node *node = &graph->nodes[i];
        if (node->kind != NN_PART || node->inputs[0] != whole) {
            continue;
        }
        if (node->first_unit != units || (reads >= 0 && l->uses[i] != reads)) {
            return false;
        }
        reads = l->uses[i];
        units += node->units;
        parts++;
    }
    return units == graph->nodes[whole].units && parts == l->uses[whole];
}

static struct nn_tensor *lower_part(struct lowering *l, int i) {
    const struct nn_node *node = &l->graph->nodes[i];
    const int first = node->first_unit * l->batch, n = node->units * l->batch;
    struct nn_tensor *whole = l->tensors[node->inputs[0]];
    return shared_out(l, node->inputs[0]) ? nn_net_view(l->net, whole, first, n)
                                          : nn_part(l->net, whole, first, n);
}

static struct nn_tensor *lower_node(struct lowering *l, int i) {
    const struct nn_node *node = &l->graph->nodes[i];
    struct nn_tensor *a = node->inputs[0] < 0 ? NULL : l->tensors[node->inputs[0]];
    struct nn_tensor *b = node->inputs[1] < 0 ? NULL : l->tensors[node->inputs[1]];
    switch (node->kind) {
    case NN_INPUT:
        return lower_input(l, i);
    case NN_CONV:
        return lower_conv(l, i);
    case NN_DENSE:
        return lower_dense(l, i);
    case NN_DEPTH_TO_SPACE:
        return lower_depth_to_space(l, i);
    case NN_NORM:
        return nn_pixel_norm(l->net, a);
    case NN_PART:
        return lower_part(l, i);
    case NN_SIGMOID:
    case NN_PLANES:
        return lower_output(l, i);
    case NN_CONCAT:
        return nn_concat(l->net, a, b);
    case NN_STACK:
        return nn_stack(l->net, a, b);
    case NN_POOL:
        return nn_pool(l->net, a);
    case NN_UPSAMPLE:
        return nn_upsample(l->net, a);
    case NN_BLEND:
        return nn_blend(l->net, a, b);
    }
    return NULL;
}

void nn_lower(struct nn_net *net, const struct nn_graph *graph, int batch,
              struct nn_tensor *tensors[NN_GRAPH_NODES]) {
    struct lowering l = {.net = net, .graph = graph, .batch = batch, .tensors = tensors};
    count_uses(&l);
    for (int i = 0; i < graph->count && !net->status; i++) {
        net->sides = graph->nodes[i].decoders;
        tensors[i] = lower_node(&l, i);
        if (!tensors[i] && !net->status) {
            net->status = US_NN_UNSUPPORTED;
        }
    }
    for (int i = 0; i < graph->count; i++) {
        const bool inside =
            is_shuffled(&l, i) || is_head(&l, i) ||
            (graph->nodes[i].kind == NN_DEPTH_TO_SPACE && is_head(&l, graph->nodes[i].inputs[0]));
        tensors[i] = graph->nodes[i].kind == NN_INPUT ? l.images[i] : inside ? NULL : tensors[i];
    }
}
