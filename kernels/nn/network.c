#include <string.h>

#include "kernels/nn/lower_internal.h"
#include "kernels/nn/memory.h"

static struct nn_tensor *named(struct nn_tensor *const *tensors, int node) {
    return node < 0 ? NULL : tensors[node];
}

enum us_nn_status nn_network_init(struct nn_network *network, struct nn_params *params,
                                  const struct us_nn_arch *arch, bool training, int batch,
                                  bool bf16) {
    struct nn_tensor *tensors[NN_GRAPH_NODES];
    nn_net_init(&network->net, params, training, bf16);
    struct nn_graph *graph = nn_graph_of(arch, training);
    if (!graph) {
        return US_NN_NO_MEMORY;
    }
    nn_lower(&network->net, graph, batch, tensors);
    if (!network->net.status) {
        network->input = tensors[0];
        network->code = named(tensors, graph->code);
        for (int i = 0; i < graph->identities; i++) {
            network->outputs[i].image = named(tensors, graph->outputs[i].image);
            network->outputs[i].mask = named(tensors, graph->outputs[i].mask);
            network->outputs[i].first = training ? graph->outputs[i].unit * batch : 0;
        }
    }
    nn_graph_destroy(graph);
    return network->net.status;
}

enum us_nn_status nn_network_infer(struct nn_network *network, int identity, const float *faces,
                                   int count, float *images, float *masks) {
    const struct nn_tensor *input = network->input;
    const size_t area = (size_t)input->h * (size_t)input->w, face = 3 * area;
    float *in = nn_net_at(&network->net, input->value);
    const float *image = nn_net_at(&network->net, network->outputs[identity].image->value);
    const float *mask = nn_net_at(&network->net, network->outputs[identity].mask->value);
    for (int done = 0; done < count; done += input->n) {
        const size_t part = (size_t)(count - done < input->n ? count - done : input->n);
        const size_t first = (size_t)done;
        memcpy(in, faces + first * face, part * face * sizeof *in);
        memset(in + part * face, 0, ((size_t)input->n - part) * face * sizeof *in);
        const enum us_nn_status status = nn_net_forward(&network->net, 1u << identity);
        if (status) {
            return status;
        }
        memcpy(images + first * face, image, part * face * sizeof *images);
        if (masks) {
            memcpy(masks + first * area, mask, part * area * sizeof *masks);
        }
    }
    return US_NN_OK;
}
