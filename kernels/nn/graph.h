/* What a network computes, said once for every engine: the CPU's, the GPU's, the ONNX writer.
 *
 * A graph is a list of nodes in an order in which they can be computed. A node works on `units`
 * units of `batch` faces each: training has one unit an identity (source first, then destination,
 * then others), inference has one. A node's output is c channels of h x w per face; a vector is
 * c x 1 x 1. Building never fails at once: the first problem stays in graph->status, and later
 * calls return -1.
 *
 * Layers are named by the slices of their parameters: "NAME.weight" and "NAME.bias"; two nodes may
 * use one layer. The layout of the parameters is the order in which layers are first used. */
#ifndef US_KERNELS_NN_GRAPH_H
#define US_KERNELS_NN_GRAPH_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/nn/arch.h"
#include "kernels/nn/status.h"

#define NN_GRAPH_NODES 512
#define NN_GRAPH_PARTS 4

enum nn_kind {
    NN_INPUT, /* planes: faces, or what another graph made; needs no gradient unless
                 `differentiable` */
    NN_CONV,  /* activation(conv(x) + bias + residual), padded "same": an even total
                 symmetric, an odd one with the extra row or column at the end. With
                 several layers each makes its share of the channels, in order; smaller
                 kernels see the same centre */
    NN_DENSE, /* activation(W x + b) over x in (channel, row, column) order, to c x h x w in
                 the same order */
    NN_DEPTH_TO_SPACE, /* y[c][2i + dy][2j + dx] = x[(2 dy + dx) C + c][i][j], C = channels of y */
    NN_NORM,           /* x / sqrt(mean(x^2) + 1e-6) over all values of a face */
    NN_CONCAT,         /* channels of the first input, then of the second */
    NN_STACK,          /* units of the first input, then of the second */
    NN_PART,           /* `units` units of the input from `first_unit` on */
    NN_POOL,           /* the largest of each 2 x 2 */
    NN_UPSAMPLE,       /* each value 2 x 2 times */
    NN_BLEND,          /* a + fade (b - a), the fade given at each step (us_nn_trainer_set_fade) */
    NN_SIGMOID,        /* into planes of floats: an output, or a logit's probability */
    NN_PLANES,         /* into planes of floats as it is: the logits of a discriminator */
};

enum nn_activation { NN_LINEAR, NN_LEAKY, NN_COSINE /* x cos x */ };

struct nn_layer_name {
    char text[48];
};

struct nn_node {
    enum nn_kind kind;
    int inputs[2]; /* nodes, or -1 */
    int residual;  /* NN_CONV: a node added before the activation, or -1 */
    int units, first_unit;
    bool differentiable; /* NN_INPUT: its gradient is wanted */
    int c, h, w;         /* of the output */
    int kernel, stride;
    enum nn_activation activation;
    float slope;                                 /* of NN_LEAKY for x < 0 */
    struct nn_layer_name layers[NN_GRAPH_PARTS]; /* NN_CONV, NN_DENSE */
    int kernels[NN_GRAPH_PARTS];                 /* NN_CONV: of each layer */
    int layer_count;
    unsigned decoders; /* inference: bit i: needed for the output of identity i */
};

struct nn_graph {
    enum us_nn_status status;
    bool training;
    int identities;
    struct nn_node nodes[NN_GRAPH_NODES];
    int count;
    unsigned decoders; /* given to new nodes */
    /* What identity i's output is: planes of [3][R][R] and [1][R][R], both NN_SIGMOID. Training: of
     * `batch` faces of that identity, unit `unit` of the node. Inference: of the whole batch. */
    struct {
        int image, mask; /* nodes; mask -1: the architecture makes none */
        int unit;
    } outputs[US_NN_IDENTITIES];
    int code; /* the node that a code discriminator judges (df), or -1 */
};

/* What follows a convolution or dense layer. */
struct nn_after {
    enum nn_activation activation;
    float slope;
    int residual; /* -1: none */
};

void nn_graph_init(struct nn_graph *graph, bool training, int identities);

/* Each returns the new node, or -1 (also for an input of -1) with graph->status set. */
int nn_graph_input(struct nn_graph *graph, int units, int c, int h, int w);
int nn_graph_conv(struct nn_graph *graph, int input, const char *layer, int channels, int kernel,
                  int stride, const struct nn_after *after);
/* One convolution of several layers of `each` channels; the widest kernel is the node's. */
int nn_graph_convs(struct nn_graph *graph, int input, const struct nn_layer_name *layers,
                   const int *kernels, int layer_count, int each, const struct nn_after *after);
int nn_graph_dense(struct nn_graph *graph, int input, const char *layer, int c, int h, int w,
                   const struct nn_after *after);
int nn_graph_depth_to_space(struct nn_graph *graph, int input);
int nn_graph_norm(struct nn_graph *graph, int input);
int nn_graph_concat(struct nn_graph *graph, int a, int b);
int nn_graph_stack(struct nn_graph *graph, int a, int b);
int nn_graph_part(struct nn_graph *graph, int input, int first_unit, int units);
int nn_graph_pool(struct nn_graph *graph, int input);
int nn_graph_upsample(struct nn_graph *graph, int input);
int nn_graph_blend(struct nn_graph *graph, int a, int b);
/* into planes; sigmoid or as they are */
int nn_graph_planes(struct nn_graph *graph, int input, bool sigmoid);

/* The graph of an architecture, for training or for inference. On the heap (it is large): NULL
 * when there is no memory or the architecture cannot be built. Free with nn_graph_destroy. */
struct nn_graph *nn_graph_of(const struct us_nn_arch *arch, bool training);
void nn_graph_destroy(struct nn_graph *graph);

/* Multiply-adds of a forward pass of one face through each unit (training: of all units). */
double nn_graph_macs(const struct nn_graph *graph);

#endif
