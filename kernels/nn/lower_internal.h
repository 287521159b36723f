/* From what a network computes (graph.h) to the operations of the CPU (net_internal.h).
 *
 * A convolution, the depth-to-space after it and its activation become two operations that pass
 * over the tensor once; an output's convolution, depth-to-space and sigmoid likewise. Parts that
 * share out a tensor evenly are views of it. */
#ifndef US_KERNELS_NN_LOWER_INTERNAL_H
#define US_KERNELS_NN_LOWER_INTERNAL_H

#include "kernels/nn/graph.h"
#include "kernels/nn/net_internal.h"

/* Adds a graph's operations to a net that nn_net_init made, for `batch` faces a unit. tensors[i]
 * is where the value of node i lies: NULL when it became a step inside a later node's operation.
 * An input's is planes of floats, to be filled before each forward. Outputs (NN_SIGMOID,
 * NN_PLANES) have the gradient slot the loss writes. Problems stay in net->status. */
void nn_lower(struct nn_net *net, const struct nn_graph *graph, int batch,
              struct nn_tensor *tensors[NN_GRAPH_NODES]);

/* An architecture's network with its own memory and shared weights. */
struct nn_network {
    struct nn_net net;
    struct nn_tensor *input; /* units x batch planar faces */
    struct nn_tensor *code;  /* what graph->code names, or NULL */
    int resolution;          /* of faces; input and outputs may be smaller */
    struct {
        struct nn_tensor *image, *mask; /* mask NULL: none is made */
        int first;                      /* of the tensor's faces: identity's first */
    } outputs[US_NN_IDENTITIES];
};

/* Describes it; the caller binds network->net and finishes it. params->layout is the
 * architecture's. */
enum us_nn_status nn_network_init(struct nn_network *network, struct nn_params *params,
                                  const struct us_nn_arch *arch, bool training, int batch,
                                  bool bf16);
/* Any number of faces through one identity's decoder, the net's batch at a time; as
 * us_nn_trainer_infer. */
enum us_nn_status nn_network_infer(struct nn_network *network, int identity, const float *faces,
                                   int count, float *images, float *masks);

#endif
