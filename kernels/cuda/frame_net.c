#include <string.h>

#include "kernels/cuda/frame_internal.h"
#include "kernels/nn/memory.h"

struct us_cuda_net {
    int device;
    float *weights; /* all steps', one after another */
    size_t weight_bytes, floats, count;
    struct us_net_step steps[];
};

/* Weights lie on borders of 16 floats. */
static size_t aligned(size_t floats) {
    return (floats + 15) / 16 * 16;
}

static float *send(struct us_cuda_frame *frame, const float *from, size_t count, float **to) {
    float *at = *to;
    if (count == 0) {
        return NULL;
    }
    cuda_frame_up(frame, at, from, count * sizeof *from);
    *to += aligned(count);
    return at;
}

struct us_cuda_net *cuda_net_create(struct us_cuda_frame *frame, const struct us_net_plan *plan) {
    struct us_cuda_net *net = us_nn_alloc(sizeof *net + plan->count * sizeof *plan->steps);
    size_t floats = 0;
    for (size_t i = 0; i < plan->count; i++) {
        floats += aligned(plan->steps[i].weight_count) + aligned(plan->steps[i].bias_count);
    }
    if (!net) {
        return NULL;
    }
    net->device = cuda_frame_device(frame);
    net->floats = plan->floats;
    net->count = plan->count;
    net->weight_bytes = floats * sizeof(float);
    net->weights = cuda_block_take(net->device, net->weight_bytes);
    if (!net->weights) {
        us_nn_free(net);
        return NULL;
    }
    float *to = net->weights;
    for (size_t i = 0; i < plan->count; i++) {
        struct us_net_step *step = &net->steps[i];
        *step = plan->steps[i];
        step->weights = send(frame, step->weights, step->weight_count, &to);
        step->bias = send(frame, step->bias, step->bias_count, &to);
    }
    return net;
}

void cuda_net_destroy(struct us_cuda_net *net) {
    if (net) {
        us_cuda_frame_table.release(net->device, net->weights, net->weight_bytes);
        us_nn_free(net);
    }
}

static struct us_nhwc_batch batch_of(const struct us_cuda_net *net,
                                     const struct us_net_tensor *tensor, float *memory, int count) {
    return (struct us_nhwc_batch){memory + tensor->offset, net->floats,   count,
                                  tensor->height,          tensor->width, tensor->channels};
}

static void run_step(const struct us_cuda_net *net, const struct us_net_step *step, float *memory,
                     int count, void *stream) {
    struct us_nhwc_batch in = batch_of(net, &step->in, memory, count);
    struct us_nhwc_batch out = batch_of(net, &step->out, memory, count);
    switch (step->kind) {
    case US_NET_CONV:
        us_tflite_conv_cuda(in, out, step->weights, step->bias, &step->window, stream);
        return;
    case US_NET_DEPTHWISE:
        us_tflite_depthwise_cuda(in, out, step->weights, step->bias, &step->window, stream);
        return;
    case US_NET_MAX_POOL:
        us_tflite_max_pool_cuda(in, out, &step->window, stream);
        return;
    case US_NET_PAD:
        us_tflite_pad_cuda(in, out, step->before, stream);
        return;
    case US_NET_RESIZE:
        us_tflite_resize_bilinear_cuda(in, out, step->align_corners, step->half_pixel_centers,
                                       stream);
        return;
    case US_NET_ADD:
        us_tflite_add_cuda(in, batch_of(net, &step->other, memory, count), out, step->window.fused,
                           stream);
        return;
    case US_NET_RELU:
        us_tflite_relu_cuda(in, out, step->window.fused, stream);
        return;
    case US_NET_PRELU:
        us_tflite_prelu_cuda(in, out, step->weights, stream);
        return;
    case US_NET_PLACE:
        us_tflite_place_cuda(in, out, step->outer, step->inner, step->step, stream);
        return;
    }
}

void cuda_net_run(struct us_cuda_frame *frame, const struct us_cuda_net *net, float *memory,
                  int count) {
    for (size_t i = 0; i < net->count; i++) {
        run_step(net, &net->steps[i], memory, count, cuda_frame_stream(frame));
    }
}
