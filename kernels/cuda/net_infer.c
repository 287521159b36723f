#include <cuda_runtime_api.h>

#include "kernels/cuda/net_internal.h"
#include "kernels/cuda/resize_planes.h"

/* Planes of the faces' resolution from the host into planes of the net's. */
static enum us_nn_status bring_in(const struct cu_net *net, float *to, const float *from,
                                  size_t count, cudaStream_t stream) {
    const int size = net->graph->nodes[0].h;
    const size_t whole = net->whole ? (size_t)net->resolution : (size_t)size;
    float *there = net->whole ? net->whole : to;
    cudaError_t error = cudaMemcpyAsync(there, from, count * whole * whole * sizeof *from,
                                        cudaMemcpyHostToDevice, stream);
    if (error == cudaSuccess && net->whole) {
        error = cu_reduce_planes(there, count, net->resolution, size, to, stream);
    }
    return cu_status(error);
}

static enum us_nn_status bring_out(const struct cu_net *net, float *to, const float *from,
                                   size_t count, cudaStream_t stream) {
    const int size = net->graph->nodes[0].h;
    const size_t whole = net->whole ? (size_t)net->resolution : (size_t)size;
    cudaError_t error = cudaSuccess;
    if (net->whole) {
        error = cu_enlarge_planes(from, count, size, net->resolution, net->whole, stream);
        from = net->whole;
    }
    if (error == cudaSuccess) {
        error = cudaMemcpyAsync(to, from, count * whole * whole * sizeof *from,
                                cudaMemcpyDeviceToHost, stream);
    }
    return cu_status(error);
}

/* At most the net's batch. Faces that are missing are 0. */
static enum us_nn_status infer_some(const struct cu_net *net, const struct cu_streams *streams,
                                    int identity, const float *faces, int count, float *images,
                                    float *masks) {
    const int image = net->graph->outputs[identity].image,
              mask = net->graph->outputs[identity].mask;
    const size_t size = (size_t)net->graph->nodes[0].h, planes = 3 * size * size;
    const size_t n = (size_t)count, spare = (size_t)(net->batch - count);
    const struct cu_selection all = {.decoders = 1u << identity};
    float *in = cu_net_at(net, net->values[0].raw);
    cudaStream_t stream = (cudaStream_t)streams->at[0];
    enum us_nn_status status = bring_in(net, in, faces, 3 * n, stream);
    if (!status && spare > 0) {
        status =
            cu_status(cudaMemsetAsync(in + n * planes, 0, spare * planes * sizeof *in, stream));
    }
    status = status ? status : cu_net_run(net, &all, streams);
    status = status ? status
                    : bring_out(net, images, cu_net_at(net, net->values[image].ref), 3 * n, stream);
    if (!status && masks && mask >= 0) {
        status = bring_out(net, masks, cu_net_at(net, net->values[mask].ref), n, stream);
    }
    return status ? status : cu_status(cudaStreamSynchronize(stream));
}

enum us_nn_status cu_net_infer(const struct cu_net *net, const struct cu_streams *streams,
                               int identity, const float *faces, int count, float *images,
                               float *masks) {
    const size_t whole = (size_t)(net->whole ? net->resolution : net->graph->nodes[0].h);
    const size_t area = whole * whole;
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
