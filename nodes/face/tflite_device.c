#include "nodes/face/tflite_device.h"

#include <pthread.h>
#include <string.h>

#include "nodes/face/tflite_model.h"
#include "runtime/base/mem.h"

/* The model's place on one device. */
struct us_tflite_copy {
    struct us_tflite_copy *next;
    const struct us_cuda_frame_api *api;
    int device;
    struct us_cuda_net *net;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static struct us_net_tensor tensor_at(const struct us_tflite *model, int32_t index) {
    const struct us_tflite_tensor *t = &model->tensors[index];
    struct us_nhwc image = us_tflite_image(t, NULL);
    return (struct us_net_tensor){t->offset, image.height, image.width, image.channels};
}

static size_t rounded(int32_t channels) {
    return ((size_t)channels + US_TFLITE_BLOCK - 1) / US_TFLITE_BLOCK * US_TFLITE_BLOCK;
}

/* Copies of runs: one step for each input. */
static size_t add_places(const struct us_tflite *model, const struct us_tflite_op *op,
                         struct us_net_step *steps) {
    size_t step = 0, at = 0;
    for (int32_t i = 0; i < op->input_count; i++) {
        step += op->inner[i];
    }
    for (int32_t i = 0; i < op->input_count; i++) {
        steps[i] = (struct us_net_step){.kind = US_NET_PLACE,
                                        .in = tensor_at(model, op->inputs[i]),
                                        .out = tensor_at(model, op->output),
                                        .outer = op->outer,
                                        .inner = op->inner[i],
                                        .step = step};
        steps[i].out.offset += at;
        at += op->inner[i];
    }
    return (size_t)op->input_count;
}

/* Of a convolution, either kind, or of slopes. */
static void add_weights(const struct us_tflite_op *op, struct us_net_step *step) {
    int32_t taps = op->window.kernel_height * op->window.kernel_width;
    step->weights = op->weights;
    step->bias = op->bias;
    step->bias_count = op->bias ? rounded(step->out.channels) : 0;
    step->weight_count = step->kind == US_NET_CONV
                             ? us_tflite_packed_floats(taps, step->in.channels, step->out.channels)
                         : step->kind == US_NET_DEPTHWISE ? (size_t)taps * (size_t)step->in.channels
                                                          : (size_t)step->in.channels;
}

static enum us_net_kind kind_of(const struct us_tflite_op *op) {
    switch (op->kind) {
    case US_TFLITE_CONV_2D:
        return US_NET_CONV;
    case US_TFLITE_DEPTHWISE_CONV_2D:
        return US_NET_DEPTHWISE;
    case US_TFLITE_MAX_POOL_2D:
        return US_NET_MAX_POOL;
    case US_TFLITE_PAD:
        return US_NET_PAD;
    case US_TFLITE_RESIZE_BILINEAR:
        return US_NET_RESIZE;
    case US_TFLITE_ADD:
        return US_NET_ADD;
    case US_TFLITE_PRELU:
        return US_NET_PRELU;
    case US_TFLITE_RELU:
    case US_TFLITE_RELU6:
        return US_NET_RELU;
    default:
        return US_NET_PLACE;
    }
}

/* The steps of one operator; returns how many, at most US_TFLITE_INPUTS. */
static size_t add_steps(const struct us_tflite *model, const struct us_tflite_op *op,
                        struct us_net_step *steps) {
    struct us_net_step step = {.kind = kind_of(op),
                               .in = tensor_at(model, op->inputs[0]),
                               .out = tensor_at(model, op->output),
                               .window = op->window,
                               .align_corners = op->align_corners,
                               .half_pixel_centers = op->half_pixel_centers};
    if (op->kind == US_TFLITE_DEQUANTIZE) {
        return 0;
    }
    if (op->kind == US_TFLITE_CONCATENATION) {
        return add_places(model, op, steps);
    }
    memcpy(step.before, op->before, sizeof step.before);
    if (step.kind == US_NET_ADD) {
        step.other = tensor_at(model, op->inputs[1]);
    }
    if (step.kind == US_NET_CONV || step.kind == US_NET_DEPTHWISE || step.kind == US_NET_PRELU) {
        add_weights(op, &step);
    }
    if (step.kind == US_NET_ADD || step.kind == US_NET_RELU) { /* value by value, as the output */
        size_t in = step.in.offset, other = step.other.offset;
        step.in = step.other = step.out;
        step.in.offset = in;
        step.other.offset = other;
    }
    if (step.kind == US_NET_PLACE) {
        step.outer = 1;
        step.inner = step.step = model->tensors[op->output].elements;
    }
    steps[0] = step;
    return 1;
}

static struct us_cuda_net *send(const struct us_tflite *model, struct us_gpu *gpu) {
    struct us_net_step *steps = us_calloc(model->op_count * US_TFLITE_INPUTS + 1, sizeof *steps);
    struct us_net_plan plan = {.steps = steps, .floats = model->memory};
    for (uint32_t i = 0; i < model->op_count; i++) {
        plan.count += add_steps(model, &model->ops[i], steps + plan.count);
    }
    struct us_cuda_net *net = gpu->api->net_create(gpu->frame, &plan);
    us_free(steps);
    return net;
}

static struct us_tflite_copy *find(const struct us_tflite *model, const struct us_gpu *gpu) {
    struct us_tflite_copy *copy = model->copies;
    while (copy && (copy->api != gpu->api || copy->device != gpu->device)) {
        copy = copy->next;
    }
    return copy;
}

/* Another line of work may run it at once: it is there before anybody can find it. */
static struct us_error *make(const struct us_tflite *model, struct us_gpu *gpu,
                             struct us_tflite_copy **made) {
    struct us_cuda_net *net = send(model, gpu);
    if (!net) {
        gpu->failed = true;
        return us_fail(US_DEVICE_FULL, "no memory for a network on device cuda:%d", gpu->device);
    }
    struct us_error *error = us_gpu_down(gpu, NULL, 0);
    if (error) {
        gpu->api->net_destroy(net);
        return error;
    }
    *made = us_malloc(sizeof **made);
    **made = (struct us_tflite_copy){model->copies, gpu->api, gpu->device, net};
    ((struct us_tflite *)model)->copies = *made; /* beside what is constant */
    return NULL;
}

struct us_error *us_tflite_on_device(const struct us_tflite *model, struct us_gpu *gpu,
                                     const struct us_cuda_net **net) {
    struct us_error *error = NULL;
    pthread_mutex_lock(&lock);
    struct us_tflite_copy *copy = find(model, gpu);
    if (!copy) {
        error = make(model, gpu, &copy);
    }
    *net = copy ? copy->net : NULL;
    pthread_mutex_unlock(&lock);
    return error;
}

void us_tflite_forget(struct us_tflite *model) {
    while (model->copies) {
        struct us_tflite_copy *copy = model->copies;
        model->copies = copy->next;
        copy->api->net_destroy(copy->net);
        us_free(copy);
    }
}
