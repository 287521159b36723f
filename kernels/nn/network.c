#include <string.h>

#include "kernels/nn/lower_internal.h"
#include "kernels/nn/memory.h"
#include "kernels/nn/reduce_internal.h"

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
        network->resolution = arch->resolution;
        network->net.fade = arch->fade;
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
    const int whole = network->resolution, size = input->h;
    const size_t area = (size_t)whole * (size_t)whole, own = (size_t)size * (size_t)size;
    float *in = nn_net_at(&network->net, input->value);
    const float *image = nn_net_at(&network->net, network->outputs[identity].image->value);
    const float *mask = nn_net_at(&network->net, network->outputs[identity].mask->value);
    for (int done = 0; done < count; done += input->n) {
        const size_t part = (size_t)(count - done < input->n ? count - done : input->n);
        const size_t first = (size_t)done;
        nn_reduce_planes(faces + first * 3 * area, 3 * part, whole, size, in);
        memset(in + part * 3 * own, 0, ((size_t)input->n - part) * 3 * own * sizeof *in);
        const enum us_nn_status status = nn_net_forward(&network->net, 1u << identity);
        if (status) {
            return status;
        }
        nn_enlarge_planes(image, 3 * part, size, whole, images + first * 3 * area);
        if (masks) {
            nn_enlarge_planes(mask, part, size, whole, masks + first * area);
        }
    }
    return US_NN_OK;
}
