#include <cuda_runtime_api.h>

#include "kernels/cuda/net_internal.h"

static enum us_nn_status bring(void *to, const void *from, size_t bytes, bool out, void *stream) {
    return cu_status(cudaMemcpyAsync(to, from, bytes,
                                     out ? cudaMemcpyDeviceToHost : cudaMemcpyHostToDevice,
                                     (cudaStream_t)stream));
}

/* At most the net's batch. Faces that are missing are 0. */
static enum us_nn_status infer_some(const struct cu_net *net, const struct cu_streams *streams,
                                    int identity, const float *faces, int count, float *images,
                                    float *masks) {
    const struct nn_node *input = &net->graph->nodes[0];
    const int image = net->graph->outputs[identity].image,
              mask = net->graph->outputs[identity].mask;
    const size_t plane = (size_t)input->h * (size_t)input->w * sizeof(float), n = (size_t)count;
    const size_t spare = (size_t)(net->batch - count);
    const struct cu_selection all = {.decoders = 1u << identity};
    char *in = cu_net_at(net, net->values[0].raw);
    void *stream = streams->at[0];
    enum us_nn_status status = bring(in, faces, 3 * n * plane, false, stream);
    if (!status && spare > 0) {
        status = cu_status(
            cudaMemsetAsync(in + 3 * n * plane, 0, 3 * spare * plane, (cudaStream_t)stream));
    }
    status = status ? status : cu_net_run(net, &all, streams);
    status =
        status ? status
               : bring(images, cu_net_at(net, net->values[image].ref), 3 * n * plane, true, stream);
    if (!status && masks && mask >= 0) {
        status = bring(masks, cu_net_at(net, net->values[mask].ref), n * plane, true, stream);
    }
    return status ? status : cu_status(cudaStreamSynchronize((cudaStream_t)stream));
}

enum us_nn_status cu_net_infer(const struct cu_net *net, const struct cu_streams *streams,
                               int identity, const float *faces, int count, float *images,
                               float *masks) {
    const struct nn_node *input = &net->graph->nodes[0];
    const size_t area = (size_t)input->h * (size_t)input->w;
    enum us_nn_status status = US_NN_OK;
    if (identity < 0 || identity >= net->graph->identities) {
        return US_NN_BAD_CONFIG;
    }
    for (int done = 0; done < count && !status; done += net->batch) {
        const int some = count - done < net->batch ? count - done : net->batch;
        const size_t first = (size_t)done * area;
        status = infer_some(net, streams, identity, faces + 3 * first, some, images + 3 * first,
                            masks ? masks + first : NULL);
    }
    return status;
}
