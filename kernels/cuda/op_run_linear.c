#include <string.h>

#include "kernels/cuda/op_run_internal.h"
#include "kernels/nn/memory.h"
#include "kernels/nn/norm_cuda.h"

/* A dense layer is a convolution of images of one pixel. */
struct layer {
    struct us_conv_desc desc; /* FORWARD */
    struct us_desk_map x, y;
    enum nn_cuda_type type;
};

static struct layer layer_of(const struct us_nn_op_call *call) {
    const bool dense = call->op == US_NN_OP_DENSE;
    const struct us_nn_op_sizes s = us_nn_op_sizes(call, call->x2 != NULL);
    struct layer l = {.type = call->bf16 ? NN_CUDA_BF16 : NN_CUDA_F32,
                      .y = {call->n, s.y_c, s.y_h, s.y_w}};
    l.x = dense ? (struct us_desk_map){call->n, call->c * call->h * call->w, 1, 1}
                : (struct us_desk_map){call->n, call->c, call->h, call->w};
    l.desc = (struct us_conv_desc){.op = US_CONV_FORWARD,
                                   .type = call->bf16 ? US_CONV_BF16 : US_CONV_F32,
                                   .batch = call->n,
                                   .in_height = l.x.h,
                                   .in_width = l.x.w,
                                   .in_channels = us_desk_padded(l.x.c),
                                   .out_channels = us_desk_padded(l.y.c),
                                   .kernel_height = dense ? 1 : call->kernel,
                                   .kernel_width = dense ? 1 : call->kernel,
                                   .stride = dense ? 1 : call->stride,
                                   .bias = true,
                                   .residual = call->x2 != NULL,
                                   .slope = call->slope};
    us_conv_desc_same(&l.desc);
    return l;
}

/* Where element i of canonical [out][in][taps] lies in [out padded][taps][in padded]. */
static int padded_place(const struct layer *l, int i) {
    const int taps = l->desc.kernel_height * l->desc.kernel_width;
    const int tap = i % taps, c = i / taps % l->x.c, k = i / taps / l->x.c;
    return (k * taps + tap) * l->desc.in_channels + c;
}

static size_t padded_count(const struct layer *l) {
    return (size_t)l->desc.out_channels * (size_t)l->desc.in_channels *
           (size_t)(l->desc.kernel_height * l->desc.kernel_width);
}

static size_t canonical_count(const struct layer *l) {
    return (size_t)l->y.c * (size_t)l->x.c * (size_t)(l->desc.kernel_height * l->desc.kernel_width);
}

enum us_nn_status us_op_run_plan(struct us_op_run *run, struct us_desk *desk,
                                 const struct us_conv_desc *desc, struct us_conv_buffers *buffers) {
    struct us_conv_plan *plan = NULL;
    enum us_nn_status status = desk->status;
    if (!status && !run->planner) {
        status = us_conv_planner_create(run->ordinal, NULL, NULL, &run->planner);
    }
    status = status ? status : us_conv_plan_create(run->planner, desc, &plan);
    if (!status) {
        const size_t bytes = us_conv_plan_workspace(plan);
        buffers->workspace = bytes ? us_desk_block(desk, bytes) : NULL;
        status = desk->status ? desk->status : us_conv_plan_run(plan, desk->stream, buffers);
    }
    if (!status) {
        us_desk_check(desk, cudaStreamSynchronize(desk->stream));
    }
    us_conv_plan_destroy(plan);
    desk->status = desk->status ? desk->status : status;
    return desk->status;
}

struct tensors {
    void *x, *x2, *w, *y, *pull, *g; /* g: the gradient before the leaky ReLU */
    float *bias, *bias_gradient;
};

static void upload(struct us_desk *desk, const struct layer *l, const struct us_nn_op_call *call,
                   struct tensors *t, float *padded) {
    float bias[1024] = {0};
    memset(padded, 0, padded_count(l) * sizeof *padded);
    for (int i = 0; i < (int)canonical_count(l); i++) {
        padded[padded_place(l, i)] = call->weights[i];
    }
    memcpy(bias, call->weights + canonical_count(l), (size_t)l->y.c * sizeof *bias);
    t->w = us_desk_values(desk, l->type, padded, padded_count(l));
    t->bias = us_desk_values(desk, NN_CUDA_F32, bias, (size_t)l->desc.out_channels);
    t->x = us_desk_upload(desk, l->type, call->x, &l->x);
    t->x2 = call->x2 ? us_desk_upload(desk, l->type, call->x2, &l->y) : NULL;
    t->pull = us_desk_upload(desk, l->type, call->pull, &l->y);
    t->y = us_desk_room(desk, l->type, &l->y);
    t->g = us_desk_room(desk, l->type, &l->y);
    t->bias_gradient = us_desk_block(desk, (size_t)l->desc.out_channels * sizeof(float));
}

static void backward(struct us_op_run *run, struct us_desk *desk, const struct layer *l,
                     const struct us_nn_op_call *call, struct tensors *t, float *padded) {
    const size_t rows = (size_t)(l->y.n * l->y.h * l->y.w);
    const int channels = l->desc.out_channels;
    void *scratch = us_desk_block(desk, nn_cuda_bias_scratch(rows, channels));
    if (!desk->status) {
        us_desk_check(desk, nn_cuda_bias_gradient(l->type, t->pull, NULL, t->y, call->slope, t->g,
                                                  t->bias_gradient, rows, channels, scratch,
                                                  desk->stream));
    }
    struct us_conv_desc desc = l->desc;
    desc.bias = desc.residual = false;
    desc.slope = 1;
    desc.op = US_CONV_DATA_GRADIENT;
    void *dx = us_desk_room(desk, l->type, &l->x);
    us_op_run_plan(run, desk, &desc,
                   &(struct us_conv_buffers){.dy = t->g, .w = t->w, .x = t->x, .out = dx});
    desc.op = US_CONV_WEIGHT_GRADIENT;
    void *dw = us_desk_block(desk, padded_count(l) * nn_cuda_size(l->type));
    us_op_run_plan(run, desk, &desc, &(struct us_conv_buffers){.dy = t->g, .x = t->x, .out = dw});
    us_desk_download(desk, l->type, dx, call->x_gradient, &l->x);
    us_desk_read_values(desk, l->type, dw, padded, padded_count(l));
    us_desk_read(desk, t->bias_gradient, call->weight_gradient + canonical_count(l),
                 (size_t)l->y.c * sizeof(float));
    for (int i = 0; i < (int)canonical_count(l) && !desk->status; i++) {
        call->weight_gradient[i] = padded[padded_place(l, i)];
    }
    if (call->x2) {
        us_desk_download(desk, l->type, t->g, call->x2_gradient, &l->y);
    }
}

enum us_nn_status us_op_run_linear(struct us_op_run *run, const struct us_nn_op_call *call) {
    const struct layer l = layer_of(call);
    if (us_conv_desc_problem(&l.desc) || l.desc.out_channels > 1024) {
        return US_NN_BAD_CONFIG;
    }
    float *padded = us_nn_alloc(padded_count(&l) * sizeof *padded);
    if (!padded) {
        return US_NN_NO_MEMORY;
    }
    struct us_desk desk;
    struct tensors t;
    us_desk_open(&desk);
    upload(&desk, &l, call, &t, padded);
    struct us_conv_buffers buffers = {
        .x = t.x, .w = t.w, .residual = t.x2, .bias = t.bias, .out = t.y};
    us_op_run_plan(run, &desk, &l.desc, &buffers);
    us_desk_download(&desk, l.type, t.y, call->y, &l.y);
    backward(run, &desk, &l, call, &t, padded);
    us_nn_free(padded);
    return us_desk_close(&desk);
}
