/* Dense layers, in float also in a bfloat16 net: reading the weights takes the time, and so they
 * are read once. */
#include "kernels/nn/dnnl_internal.h"
#include "kernels/nn/multiply_internal.h"
#include "kernels/nn/ops_internal.h"
#include "kernels/nn/pointwise_internal.h"

struct dense {
    struct nn_op op;
    struct nn_tensor *input, *output;
    struct nn_weight *weight;
    float slope;
    struct nn_ref input_gradient;
    /* Floats in a bfloat16 net: what forward reads and makes, what backward reads and makes. */
    struct nn_ref x, y, x_again, y_gradient, x_gradient;
};

static size_t width_of(const struct nn_tensor *t) {
    return nn_tensor_elements(t) / (size_t)t->n;
}

/* Rows of weights are laid out as a sample of the input is. */
static enum us_nn_status place(struct nn_net *net, const struct nn_tensor *input,
                               struct nn_weight *w) {
    const bool flat = input->format == NN_FLAT;
    const dnnl_format_tag_t tag = flat                       ? dnnl_ab
                                  : net->params->block == 16 ? dnnl_aBcd16b
                                                             : dnnl_aBcd8b;
    const dnnl_dims_t dims = {w->out, w->in, w->height, w->width};
    dnnl_memory_desc_t desc;
    if ((size_t)w->in * (size_t)w->height * (size_t)w->width != width_of(input)) {
        return US_NN_UNSUPPORTED;
    }
    const enum us_nn_status status =
        nn_dnnl(dnnl_memory_desc_init_by_tag(&desc, flat ? 2 : 4, dims, dnnl_f32, tag));
    return status ? status : nn_params_place(net->params, w, &desc);
}

static struct nn_ref widened(struct nn_net *net, const struct nn_tensor *t, int moment) {
    const struct nn_ref none = {.buffer = -1};
    return net->type == dnnl_f32
               ? none
               : nn_net_temporary(net, nn_tensor_elements(t) * sizeof(float), moment, moment);
}

static void plan_buffers(struct nn_net *net, struct dense *d) {
    const int now = nn_forward_moment(&d->op), later = nn_backward_moment(&d->op);
    nn_net_use_value(net, d->input, now);
    nn_net_use_value(net, d->output, now);
    d->x = widened(net, d->input, now);
    d->y = widened(net, d->output, now);
    d->input_gradient.buffer = -1;
    if (net->training) {
        nn_net_use_value(net, d->input, later);
        if (d->slope < 1) {
            nn_net_use_value(net, d->output, later);
        }
        d->x_again = widened(net, d->input, later);
        d->y_gradient = widened(net, d->output, later);
        d->x_gradient = widened(net, d->input, later);
        d->input_gradient = nn_net_claim(net, d->input, later, NULL);
    }
}

/* The values as floats, in `wide` when they are not. */
static const float *as_floats(struct nn_net *net, const struct nn_tensor *t, struct nn_ref values,
                              struct nn_ref wide) {
    const void *from = nn_net_at(net, values);
    float *to = nn_net_at(net, wide);
    if (!to) {
        return from;
    }
    nn_widen(net->type, from, to, nn_tensor_elements(t));
    return to;
}

static void add_bias(const struct dense *d, const float *bias, float *y) {
    const size_t out = width_of(d->output);
    const float slope = d->slope;
#pragma omp parallel for schedule(static) collapse(2)
    for (int n = 0; n < d->output->n; n++) {
        for (size_t o = 0; o < out; o++) {
            const float sum = y[(size_t)n * out + o] + bias[o];
            y[(size_t)n * out + o] = sum > 0 ? sum : sum * slope;
        }
    }
}

static enum us_nn_status dense_forward(struct nn_net *net, struct nn_op *op) {
    struct dense *d = (struct dense *)op;
    void *made = nn_net_at(net, d->output->value);
    float *wide = nn_net_at(net, d->y), *y = wide ? wide : made;
    const struct nn_product product = {
        .m = d->input->n,
        .n = (int64_t)width_of(d->output),
        .k = (int64_t)width_of(d->input),
        .flip_b = true,
        .alpha = 1,
        .a = as_floats(net, d->input, d->input->value, d->x),
        .b = net->weights + d->weight->offset,
        .c = y,
    };
    const enum us_nn_status status = nn_multiply(&product);
    if (!status) {
        add_bias(d, net->weights + d->weight->bias_offset, y);
    }
    if (!status && wide) {
        nn_cast(net->type, wide, made, nn_tensor_elements(d->output));
    }
    return status;
}

static void bias_gradient(const struct dense *d, const float *g, float *bias) {
    const size_t out = width_of(d->output);
#pragma omp parallel for schedule(static)
    for (size_t o = 0; o < out; o++) {
        float sum = 0;
        for (size_t n = 0; n < (size_t)d->output->n; n++) {
            sum += g[n * out + o];
        }
        bias[o] = sum;
    }
}

static enum us_nn_status weight_gradient(struct nn_net *net, const struct dense *d,
                                         const float *g) {
    const struct nn_product product = {
        .m = (int64_t)width_of(d->output),
        .n = (int64_t)width_of(d->input),
        .k = d->input->n,
        .flip_a = true,
        .alpha = 1,
        .a = g,
        .b = as_floats(net, d->input, d->input->value, d->x_again),
        .c = net->gradients + d->weight->offset,
    };
    bias_gradient(d, g, net->gradients + d->weight->bias_offset);
    return nn_multiply(&product);
}

static enum us_nn_status data_gradient(struct nn_net *net, const struct dense *d, const float *g) {
    void *made = nn_net_at(net, d->input_gradient);
    float *wide = nn_net_at(net, d->x_gradient);
    const struct nn_product product = {
        .m = d->input->n,
        .n = (int64_t)width_of(d->input),
        .k = (int64_t)width_of(d->output),
        .alpha = 1,
        .a = g,
        .b = net->weights + d->weight->offset,
        .c = wide ? wide : made,
    };
    const enum us_nn_status status = nn_multiply(&product);
    if (!status && wide) {
        nn_cast(net->type, wide, made, nn_tensor_elements(d->input));
    }
    return status;
}

static enum us_nn_status dense_backward(struct nn_net *net, struct nn_op *op) {
    struct dense *d = (struct dense *)op;
    const struct nn_tensor *y = d->output;
    if (d->slope < 1 || y->grad_count > 1) {
        nn_slope_backward(net->type, nn_net_at(net, y->grads[0]), nn_net_at(net, y->grads[1]),
                          nn_net_at(net, y->value), d->slope, nn_tensor_elements(y));
    }
    const float *g = as_floats(net, y, y->grads[0], d->y_gradient);
    const enum us_nn_status status = weight_gradient(net, d, g);
    return status ? status : data_gradient(net, d, g);
}

static const struct nn_op_type dense_type = {NULL, dense_forward, dense_backward, NULL, 2};

struct nn_tensor *nn_dense(struct nn_net *net, struct nn_tensor *input, struct nn_weight *weight,
                           int channels, int size, float slope) {
    struct dense *d = input && weight ? nn_net_op(net, &dense_type, sizeof *d) : NULL;
    if (!d) {
        net->status = net->status ? net->status : US_NN_FAILED;
        return NULL;
    }
    d->input = input;
    d->weight = weight;
    d->slope = slope;
    d->output = size > 0 ? nn_net_tensor(net, NN_BLOCKED, input->n, channels, size, size, false)
                         : nn_net_tensor(net, NN_FLAT, input->n, channels, 1, 1, false);
    if (!d->output) {
        return NULL;
    }
    const enum us_nn_status status =
        (size_t)weight->out == width_of(d->output) ? place(net, input, weight) : US_NN_UNSUPPORTED;
    net->status = net->status ? net->status : status;
    if (!net->status) {
        d->output->producer = &d->op;
        d->op.output = d->output;
        d->op.weight = weight;
        plan_buffers(net, d);
    }
    return net->status ? NULL : d->output;
}
