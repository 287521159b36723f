#include <math.h>
#include <omp.h>
#include <string.h>

#include "kernels/nn/arch_internal.h"
#include "kernels/nn/loss_internal.h"
#include "kernels/nn/memory.h"
#include "kernels/nn/op_call.h"
#include "kernels/nn/ops_internal.h"
#include "kernels/nn/trainer.h"

/* A network of one operation. */
struct bench {
    const struct us_nn_op_call *call;
    struct nn_params params;
    struct nn_net net;
    struct nn_tensor *x, *x2, *y;
    float *weights, *gradients; /* arenas */
};

/* The input of depth-to-space has four groups of channels, each padded by itself. */
static bool grouped(const struct bench *b, const struct nn_tensor *t) {
    return t == b->x && b->call->op == US_NN_OP_DEPTH_TO_SPACE;
}

static size_t canonical_channels(const struct bench *b, const struct nn_tensor *t) {
    return grouped(b, t) ? (size_t)b->call->c : (size_t)t->c;
}

/* Where the canonical element `index` of a tensor lies. */
static size_t place_of(const struct bench *b, const struct nn_tensor *t, size_t index) {
    const size_t area = (size_t)(t->h * t->w), block = (size_t)b->params.block;
    const size_t channels = canonical_channels(b, t), pixel = index % area;
    const size_t n = index / area / channels, blocks = (size_t)t->padded / block;
    size_t c = index / area % channels;
    if (grouped(b, t)) {
        c = c / (channels / 4) * ((size_t)t->c / 4) + c % (channels / 4);
    }
    return t->format != NN_BLOCKED ? index
                                   : ((n * blocks + c / block) * area + pixel) * block + c % block;
}

static float narrow_get(const void *at, size_t i) {
    uint16_t half;
    memcpy(&half, (const char *)at + 2 * i, sizeof half);
    const uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void narrow_put(void *at, size_t i, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    const uint16_t half = (uint16_t)((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
    memcpy((char *)at + 2 * i, &half, sizeof half);
}

static size_t canonical_count(const struct bench *b, const struct nn_tensor *t) {
    return (size_t)t->n * canonical_channels(b, t) * (size_t)t->h * (size_t)t->w;
}

static void scatter(const struct bench *b, const struct nn_tensor *t, struct nn_ref ref,
                    dnnl_data_type_t type, const float *values) {
    void *to = nn_net_at(&b->net, ref);
    memset(to, 0, nn_tensor_elements(t) * nn_type_size(type));
    for (size_t i = 0; i < canonical_count(b, t); i++) {
        const size_t at = place_of(b, t, i);
        if (type == dnnl_bf16) {
            narrow_put(to, at, values[i]);
        } else {
            ((float *)to)[at] = values[i];
        }
    }
}

/* values += the tensor's, or = when `first`. */
static void gather(const struct bench *b, const struct nn_tensor *t, struct nn_ref ref,
                   dnnl_data_type_t type, bool first, float *values) {
    const void *from = nn_net_at(&b->net, ref);
    for (size_t i = 0; i < canonical_count(b, t); i++) {
        const size_t at = place_of(b, t, i);
        const float v = type == dnnl_bf16 ? narrow_get(from, at) : ((const float *)from)[at];
        values[i] = first ? v : values[i] + v;
    }
}

static struct nn_tensor *add_conv(struct bench *b) {
    const struct us_nn_op_call *k = b->call;
    nn_layout_conv(&b->params.layout, "layer", k->channels, k->c, k->kernel);
    const struct nn_conv_options options = {
        .stride = k->stride, .slope = k->slope, .residual = b->x2};
    return nn_conv(&b->net, b->x, nn_params_layer(&b->params, "layer", NN_ROWS_PLAIN, 0), &options);
}

static struct nn_tensor *add_dense(struct bench *b) {
    const struct us_nn_op_call *k = b->call;
    nn_layout_dense(&b->params.layout, "layer", k->channels, k->c * k->h * k->w);
    return nn_dense(&b->net, b->x, nn_params_layer(&b->params, "layer", NN_ROWS_PLAIN, k->h),
                    k->channels, 0, k->slope);
}

static struct nn_tensor *add_op(struct bench *b) {
    const struct us_nn_op_call *k = b->call;
    switch (k->op) {
    case US_NN_OP_CONV:
        return add_conv(b);
    case US_NN_OP_DENSE:
        return add_dense(b);
    case US_NN_OP_DEPTH_TO_SPACE:
        return nn_shuffle(&b->net, b->x, k->c / 4, k->slope);
    case US_NN_OP_NORM:
        return nn_pixel_norm(&b->net, b->x);
    case US_NN_OP_HEAD:
        return nn_head(&b->net, b->x, k->channels, k->factor, true);
    case US_NN_OP_COSINE:
        return nn_cosine(&b->net, b->x);
    case US_NN_OP_POOL:
        return nn_pool(&b->net, b->x);
    case US_NN_OP_UPSAMPLE:
        return nn_upsample(&b->net, b->x);
    case US_NN_OP_CONCAT:
        return nn_concat(&b->net, b->x, b->x2);
    case US_NN_OP_BLEND:
        break;
    }
    b->net.fade = k->fade;
    return nn_blend(&b->net, b->x, b->x2);
}

static void keep(struct bench *b, const struct nn_tensor *t) {
    nn_net_use_value(&b->net, t, 0);
    nn_net_use_value(&b->net, t, NN_PLAN_END);
    for (int i = 0; i < t->grad_count; i++) {
        nn_plan_use(&b->net.plan, t->grads[i].buffer, NN_PLAN_END);
    }
}

static enum us_nn_status build(struct bench *b) {
    const struct us_nn_op_call *k = b->call;
    const struct us_nn_op_sizes s = us_nn_op_sizes(k, k->x2 != NULL);
    nn_net_init(&b->net, &b->params, true, k->bf16);
    const bool wide = k->op == US_NN_OP_HEAD;
    const bool shuffles = k->op == US_NN_OP_DEPTH_TO_SPACE;
    b->x =
        nn_net_tensor(&b->net, k->op == US_NN_OP_CONV && k->c == 3 ? NN_PLANAR : NN_BLOCKED, k->n,
                      shuffles ? 4 * nn_params_pad(&b->params, k->c / 4) : k->c, k->h, k->w, wide);
    if (k->x2) {
        b->x2 = k->op == US_NN_OP_CONV
                    ? nn_net_tensor(&b->net, NN_BLOCKED, k->n, s.y_c, s.y_h, s.y_w, false)
                    : nn_net_tensor(&b->net, NN_BLOCKED, k->n, k->c, k->h, k->w, false);
    }
    b->y = add_op(b);
    if (!b->y) {
        return b->net.status ? b->net.status : US_NN_FAILED;
    }
    if (b->y->grad_count == 0) {
        nn_net_claim(&b->net, b->y, NN_LOSS_MOMENT, NULL);
    }
    keep(b, b->x);
    keep(b, b->y);
    if (b->x2) {
        keep(b, b->x2);
    }
    const size_t arena = (b->params.arena_count + 16) * sizeof(float);
    b->weights = us_nn_alloc(arena);
    b->gradients = us_nn_alloc(arena);
    if (!b->weights || !b->gradients) {
        return US_NN_NO_MEMORY;
    }
    const enum us_nn_status status = nn_net_bind(&b->net, b->weights, b->gradients);
    return status ? status : nn_params_make_masks(&b->params);
}

/* x as it lies before the operation: for depth-to-space the leaky ReLU is the convolution's. */
static enum us_nn_status scatter_x(struct bench *b) {
    const struct us_nn_op_call *k = b->call;
    const size_t count = canonical_count(b, b->x);
    float *values = us_nn_alloc(count * sizeof *values);
    if (!values) {
        return US_NN_NO_MEMORY;
    }
    const float slope = k->op == US_NN_OP_DEPTH_TO_SPACE ? k->slope : 1;
    for (size_t i = 0; i < count; i++) {
        values[i] = k->x[i] > 0 ? k->x[i] : k->x[i] * slope;
    }
    scatter(b, b->x, b->x->value, b->x->type, values);
    us_nn_free(values);
    return US_NN_OK;
}

static void gather_gradient(const struct bench *b, const struct nn_tensor *t, float *values) {
    for (int i = 0; i < t->grad_count; i++) {
        gather(b, t, t->grads[i], t->grad_type, i == 0, values);
    }
}

static enum us_nn_status run(struct bench *b) {
    const struct us_nn_op_call *k = b->call;
    memset(b->net.arena, 0xFF, b->net.plan.size);
    enum us_nn_status status = scatter_x(b);
    if (!status && k->weights) {
        status = nn_params_import(&b->params, k->weights, b->weights);
    }
    if (!status && b->x2) {
        scatter(b, b->x2, b->x2->value, b->x2->type, k->x2);
    }
    status = status ? status : nn_net_forward(&b->net, NN_ALL_SIDES);
    if (status) {
        return status;
    }
    gather(b, b->y, b->y->value, b->y->type, true, k->y);
    scatter(b, b->y, b->y->grads[0], b->y->grad_type, k->pull);
    status = nn_net_backward(&b->net);
    if (!status && k->weights) {
        status = nn_params_export(&b->params, b->gradients, k->weight_gradient);
    }
    gather_gradient(b, b->x, k->x_gradient);
    if (b->x2) {
        gather_gradient(b, b->x2, k->x2_gradient);
    }
    return status;
}

static enum us_nn_status cpu_op(void *context, const struct us_nn_op_call *call) {
    static const struct us_nn_arch any = {
        .resolution = 32, .ae_dims = 4, .e_dims = 4, .d_dims = 4, .d_mask_dims = 4};
    (void)context;
    if (call->bf16 && !us_nn_has_bf16()) {
        return US_NN_UNSUPPORTED;
    }
    struct bench *b = us_nn_alloc(sizeof *b); /* large */
    if (!b) {
        return US_NN_NO_MEMORY;
    }
    b->call = call;
    enum us_nn_status status = nn_params_init(&b->params, &any);
    b->params.layout.slice_count = 0;
    b->params.layout.count = 0;
    status = status ? status : build(b);
    status = status ? status : run(b);
    nn_net_finish(&b->net);
    nn_params_finish(&b->params);
    us_nn_free(b->weights);
    us_nn_free(b->gradients);
    us_nn_free(b);
    return status;
}

static enum us_nn_status cpu_loss(void *context, struct us_nn_loss_call *call) {
    (void)context;
    struct nn_loss loss;
    const enum us_nn_status status =
        nn_loss_init(&loss, &call->weights, call->size, call->count, omp_get_max_threads());
    if (!status) {
        const struct nn_loss_images images = {.image = call->image,
                                              .mask = call->mask,
                                              .target = call->target,
                                              .target_mask = call->target_mask,
                                              .priority = call->priority,
                                              .image_gradient = call->image_gradient,
                                              .mask_gradient = call->mask_gradient};
        call->terms = nn_loss_run(&loss, &images);
    }
    nn_loss_finish(&loss);
    return status;
}

static enum us_nn_status cpu_optimize(void *context, const struct us_nn_optimizer_call *call) {
    (void)context;
    const struct us_nn_optimizer_state state = {.parameters = call->parameters,
                                                .moment1 = call->moment1,
                                                .moment2 = call->moment2,
                                                .average = call->average,
                                                .gradients = call->gradients,
                                                .count = call->count};
    us_nn_optimizer_step(&call->optimizer, &state, call->step,
                         us_nn_sum_of_squares(call->gradients, call->count), call->seed);
    return US_NN_OK;
}

static enum us_nn_status cpu_augment(void *context, const struct us_nn_augment_call *call) {
    (void)context;
    const size_t area = (size_t)call->size * (size_t)call->size;
    float *scratch = us_nn_alloc(us_augment_scratch(call->size) * sizeof *scratch);
    struct us_augment_job job = {0};
    for (uint32_t i = 0; scratch && i < (uint32_t)call->batch; i++) {
        job.face = call->faces +
                   4 * area * us_augment_pick(call->count, call->seed, call->stream, call->step, i);
        job.input = call->inputs + i * 3 * area;
        job.target = call->targets + i * 3 * area;
        job.mask = call->masks + i * area;
        us_augment_draw(&call->ranges, call->size, call->seed, call->stream, call->step, i,
                        &job.draw);
        us_augment_run(&job, 1, call->size, 1, scratch);
    }
    us_nn_free(scratch);
    return scratch ? US_NN_OK : US_NN_NO_MEMORY;
}

const struct us_nn_op_engine us_nn_cpu_ops = {
    .op = cpu_op, .loss = cpu_loss, .optimize = cpu_optimize, .augment = cpu_augment};
