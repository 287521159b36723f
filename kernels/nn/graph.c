#include "kernels/nn/graph.h"

#include <stdio.h>
#include <string.h>

#include "kernels/nn/memory.h"

void nn_graph_init(struct nn_graph *graph, bool training, int identities) {
    memset(graph, 0, sizeof *graph);
    graph->training = training;
    graph->identities = identities;
    graph->decoders = (1u << identities) - 1;
    graph->code = -1;
}

/* A copy of the input's shape, to be changed by the caller; NULL with status set. */
static struct nn_node *append(struct nn_graph *graph, enum nn_kind kind, int a, int b) {
    if (!graph->status && (graph->count == NN_GRAPH_NODES || a < 0 || a >= graph->count)) {
        graph->status = US_NN_FAILED;
    }
    if (graph->status) {
        return NULL;
    }
    struct nn_node *node = &graph->nodes[graph->count++];
    *node = graph->nodes[a];
    node->kind = kind;
    node->inputs[0] = a;
    node->inputs[1] = b;
    node->residual = -1;
    node->first_unit = 0;
    node->layer_count = 0;
    node->kernel = node->stride = 1;
    node->activation = NN_LINEAR;
    node->slope = 1;
    node->decoders = graph->decoders;
    return node;
}

static int last(const struct nn_graph *graph, const struct nn_node *node) {
    return node && !graph->status ? (int)(node - graph->nodes) : -1;
}

static int refuse(struct nn_graph *graph) {
    graph->status = graph->status ? graph->status : US_NN_FAILED;
    return -1;
}

static void set_after(struct nn_node *node, const struct nn_after *after) {
    node->activation = after->activation;
    node->slope = after->activation == NN_LEAKY ? after->slope : 1;
    node->residual = after->residual;
}

static void set_layer(struct nn_node *node, int index, const char *name, int kernel) {
    snprintf(node->layers[index].text, sizeof node->layers[index].text, "%s", name);
    node->kernels[index] = kernel;
    node->kernel = kernel > node->kernel ? kernel : node->kernel;
    node->layer_count = index + 1;
}

int nn_graph_input(struct nn_graph *graph, int units, int c, int h, int w) {
    if (graph->status || graph->count == NN_GRAPH_NODES) {
        return refuse(graph);
    }
    graph->nodes[graph->count] = (struct nn_node){.kind = NN_INPUT,
                                                  .inputs = {-1, -1},
                                                  .residual = -1,
                                                  .units = units,
                                                  .c = c,
                                                  .h = h,
                                                  .w = w,
                                                  .kernel = 1,
                                                  .stride = 1,
                                                  .slope = 1,
                                                  .decoders = graph->decoders};
    return graph->count++;
}

int nn_graph_convs(struct nn_graph *graph, int input, const struct nn_layer_name *layers,
                   const int *kernels, int layer_count, int each, const struct nn_after *after) {
    struct nn_node *node = append(graph, NN_CONV, input, -1);
    if (!node || layer_count < 1 || layer_count > NN_GRAPH_PARTS) {
        return refuse(graph);
    }
    for (int i = 0; i < layer_count; i++) {
        set_layer(node, i, layers[i].text, kernels[i]);
    }
    node->c = each * layer_count;
    set_after(node, after);
    return last(graph, node);
}

int nn_graph_conv(struct nn_graph *graph, int input, const char *layer, int channels, int kernel,
                  int stride, const struct nn_after *after) {
    struct nn_node *node = append(graph, NN_CONV, input, -1);
    if (!node) {
        return -1;
    }
    set_layer(node, 0, layer, kernel);
    node->c = channels;
    node->stride = stride;
    node->h = (node->h + stride - 1) / stride;
    node->w = (node->w + stride - 1) / stride;
    set_after(node, after);
    return last(graph, node);
}

int nn_graph_dense(struct nn_graph *graph, int input, const char *layer, int c, int h, int w,
                   const struct nn_after *after) {
    struct nn_node *node = append(graph, NN_DENSE, input, -1);
    if (!node) {
        return -1;
    }
    set_layer(node, 0, layer, 1);
    node->c = c;
    node->h = h;
    node->w = w;
    set_after(node, after);
    return last(graph, node);
}

int nn_graph_depth_to_space(struct nn_graph *graph, int input) {
    struct nn_node *node = append(graph, NN_DEPTH_TO_SPACE, input, -1);
    if (!node || node->c % 4) {
        return refuse(graph);
    }
    node->c /= 4;
    node->h *= 2;
    node->w *= 2;
    return last(graph, node);
}

int nn_graph_norm(struct nn_graph *graph, int input) {
    return last(graph, append(graph, NN_NORM, input, -1));
}

int nn_graph_concat(struct nn_graph *graph, int a, int b) {
    struct nn_node *node = b < 0 ? NULL : append(graph, NN_CONCAT, a, b);
    if (!node || node->units != graph->nodes[b].units || node->h != graph->nodes[b].h ||
        node->w != graph->nodes[b].w) {
        return refuse(graph);
    }
    node->c += graph->nodes[b].c;
    return last(graph, node);
}

int nn_graph_stack(struct nn_graph *graph, int a, int b) {
    struct nn_node *node = b < 0 ? NULL : append(graph, NN_STACK, a, b);
    if (!node || node->c != graph->nodes[b].c || node->h != graph->nodes[b].h ||
        node->w != graph->nodes[b].w) {
        return refuse(graph);
    }
    node->units += graph->nodes[b].units;
    return last(graph, node);
}

int nn_graph_part(struct nn_graph *graph, int input, int first_unit, int units) {
    struct nn_node *node = append(graph, NN_PART, input, -1);
    if (!node || first_unit < 0 || units < 1 || first_unit + units > node->units) {
        return refuse(graph);
    }
    node->first_unit = first_unit;
    node->units = units;
    return last(graph, node);
}

int nn_graph_pool(struct nn_graph *graph, int input) {
    struct nn_node *node = append(graph, NN_POOL, input, -1);
    if (!node || node->h % 2 || node->w % 2) {
        return refuse(graph);
    }
    node->h /= 2;
    node->w /= 2;
    return last(graph, node);
}

int nn_graph_upsample(struct nn_graph *graph, int input) {
    struct nn_node *node = append(graph, NN_UPSAMPLE, input, -1);
    if (!node) {
        return -1;
    }
    node->h *= 2;
    node->w *= 2;
    return last(graph, node);
}

int nn_graph_blend(struct nn_graph *graph, int a, int b) {
    struct nn_node *node = b < 0 ? NULL : append(graph, NN_BLEND, a, b);
    if (!node || node->c != graph->nodes[b].c || node->h != graph->nodes[b].h ||
        node->w != graph->nodes[b].w || node->units != graph->nodes[b].units) {
        return refuse(graph);
    }
    return last(graph, node);
}

int nn_graph_planes(struct nn_graph *graph, int input, bool sigmoid) {
    return last(graph, append(graph, sigmoid ? NN_SIGMOID : NN_PLANES, input, -1));
}

void nn_graph_destroy(struct nn_graph *graph) {
    us_nn_free(graph);
}

double nn_graph_macs(const struct nn_graph *graph) {
    double macs = 0;
    for (int i = 0; i < graph->count; i++) {
        const struct nn_node *node = &graph->nodes[i];
        if (node->kind != NN_CONV && node->kind != NN_DENSE) {
            continue;
        }
        const struct nn_node *input = &graph->nodes[node->inputs[0]];
        const double outputs = (double)node->c * node->h * node->w * node->units;
        double each = node->kind == NN_DENSE ? (double)input->c * input->h * input->w : 0;
        for (int k = 0; node->kind == NN_CONV && k < node->layer_count; k++) {
            each += (double)input->c * node->kernels[k] * node->kernels[k] / node->layer_count;
        }
        macs += outputs * each;
    }
    return macs;
}
